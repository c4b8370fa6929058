use onnx_gpu::ErrorKind;
use onnx_gpu::gpu::{AdapterChoice, Gpu, Recording};
use onnx_gpu::kernels::strided_copy::fill;
use onnx_gpu::kernels::{Elem, Launch, elementwise};

use crate::harness::gpu;

fn block<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

#[test]
fn uploads_of_any_length_read_back() {
    for len in [0usize, 1, 3, 4, 5, 4 << 20, (4 << 20) + 7] {
        let data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        let buffer = block(gpu().upload(&data)).unwrap();
        assert_eq!(buffer.size() % 16, 0);
        assert_eq!(block(gpu().read(&buffer, len as u64)).unwrap(), data);
    }
}

#[test]
fn upload_longer_than_one_window_reads_back() {
    let data: Vec<u8> = (0..(64usize << 20) + 12).map(|i| (i % 253) as u8).collect();
    let buffer = block(gpu().upload(&data)).unwrap();
    assert!(block(gpu().read(&buffer, data.len() as u64)).unwrap() == data);
}

#[test]
fn a_buffer_beyond_the_limit_is_an_error_with_numbers() {
    let limit = gpu().info().max_storage_buffer_binding_size;
    let error = gpu().buffer(limit + 16, "too large").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains(&limit.to_string()), "{error}");
}

#[test]
fn a_broken_shader_is_an_error_and_the_device_lives_on() {
    let device = gpu();
    let buffer = device.buffer(16, "out").unwrap();
    let broken = Launch {
        key: "broken".into(),
        wgsl: "@group(0) @binding(1) var<storage, read_write> out: array<f32>;\nnonsense".into(),
        ..fill(4, 0).unwrap()
    };
    for _ in 0..2 {
        let error = block(Recording::new(
            device,
            &[(broken.clone(), vec![buffer.clone()])],
        ))
        .err()
        .unwrap();
        assert_eq!(error.kind(), ErrorKind::Validation);
    }
    let steps = [(fill(4, 7).unwrap(), vec![buffer.clone()])];
    let recording = block(Recording::new(device, &steps)).unwrap();
    block(recording.execute()).unwrap();
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(&block(device.read(&buffer, 16)).unwrap());
    assert_eq!(words, [7; 4]);
}

#[test]
fn wrong_buffers_are_refused() {
    let device = gpu();
    let buffer = device.buffer(16, "x").unwrap();
    let launch = elementwise::unary(elementwise::UnaryOp::Neg, Elem::F32, 4).unwrap();
    for buffers in [vec![buffer.clone()], vec![buffer.clone(), buffer]] {
        let error = block(Recording::new(device, &[(launch.clone(), buffers)]))
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn recordings_replay_in_order() {
    let device = gpu();
    let buffers: Vec<_> = (0..2).map(|_| device.buffer(16, "x").unwrap()).collect();
    let double = |from: usize| {
        (
            elementwise::unary(
                elementwise::UnaryOp::Affine {
                    scale: 2.0,
                    shift: 0.0,
                },
                Elem::F32,
                4,
            )
            .unwrap(),
            vec![buffers[from].clone(), buffers[1 - from].clone()],
        )
    };
    let steps: Vec<_> = (0..70).map(|i| double(i % 2)).collect();
    let recording = block(Recording::new(device, &steps)).unwrap();
    assert_eq!(recording.dispatches(), 70);
    let one = 2f32.powi(-80);
    device
        .write(
            &buffers[0],
            bytemuck::cast_slice(&[one, -one, 0.0, 3.0 * one]),
        )
        .unwrap();
    for run in 1..=2 {
        block(recording.execute()).unwrap();
        let bytes = block(device.read(&buffers[0], 16)).unwrap();
        let scale = 2f32.powi(70 * run - 80);
        let got: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        assert_eq!(got, [scale, -scale, 0.0, 3.0 * scale]);
    }
    let times = block(recording.profile()).unwrap();
    assert_eq!(times.len(), 70);
    assert!(
        times
            .iter()
            .all(|time| time.label == "unary" && time.seconds > 0.0 && time.bytes > 0)
    );
}

#[test]
fn adapters_are_found_by_index_and_name_and_missing_ones_reported() {
    let adapters = Gpu::adapters();
    assert!(!adapters.is_empty());
    let by_index = block(Gpu::request(&AdapterChoice::Index(0))).unwrap();
    assert_eq!(by_index.info().name, adapters[0].name);
    let name = AdapterChoice::Name(adapters[0].name.to_uppercase());
    assert_eq!(
        block(Gpu::request(&name)).unwrap().info().name,
        adapters[0].name
    );
    let missing = AdapterChoice::Name("no such adapter".into());
    let error = block(Gpu::request(&missing)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoAdapter);
}
