//! What is left when a device goes away or cannot give what is asked: a typed error, never numbers.

use onnx_gpu::{AdapterChoice, ErrorKind, Gpu, Options, Session, Tensor};

use super::encode::{floats, info, model, node, raw};

const SIZE: usize = 192;

fn open() -> Gpu {
    pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap()
}

fn options(gpu: &Gpu) -> Options {
    Options::default().with_gpu(gpu.clone())
}

/// `y = x · w · w · … ` with `w` twice the identity: `y = 256 x`.
fn doubling() -> Vec<u8> {
    let mut identity = vec![0f32; SIZE * SIZE];
    identity.iter_mut().step_by(SIZE + 1).for_each(|v| *v = 2.0);
    let mut graph = vec![
        floats("w", &[SIZE, SIZE], &identity),
        info(11, "x", 1, &[SIZE, SIZE]),
        info(12, "v8", 1, &[SIZE, SIZE]),
    ];
    for i in 1..=8 {
        let from = if i == 1 {
            "x".to_owned()
        } else {
            format!("v{}", i - 1)
        };
        graph.push(node("MatMul", &[&from, "w"], &format!("v{i}")));
    }
    model(&graph)
}

fn ones() -> Tensor {
    Tensor::f32([SIZE, SIZE], vec![1.0; SIZE * SIZE]).unwrap()
}

#[test]
fn a_destroyed_device_is_lost_for_everything_that_follows() {
    let gpu = open();
    let session = Session::from_bytes_blocking(&doubling(), options(&gpu)).unwrap();
    let y = session.run_blocking(&[("x", ones())]).unwrap();
    assert_eq!(y[0].1.as_f32().unwrap(), vec![256.0; SIZE * SIZE]);
    gpu.destroy();
    for _ in 0..2 {
        let error = session.run_blocking(&[("x", ones())]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
    }
    let error = Session::from_bytes_blocking(&doubling(), options(&gpu)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
    // Another device is not touched.
    let session = Session::from_bytes_blocking(&doubling(), options(&open())).unwrap();
    assert!(session.run_blocking(&[("x", ones())]).is_ok());
}

#[test]
fn a_device_destroyed_in_the_middle_of_a_run_gives_no_numbers() {
    let gpu = open();
    let session = Session::from_bytes_blocking(&doubling(), options(&gpu)).unwrap();
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            loop {
                match session.run_blocking(&[("x", ones())]) {
                    // What came back before the end is right.
                    Ok(y) => assert_eq!(y[0].1.as_f32().unwrap(), vec![256.0; SIZE * SIZE]),
                    Err(error) => return error,
                }
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
        gpu.destroy();
        let error = runs.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
    });
}

#[test]
fn a_device_destroyed_while_weights_arrive_is_lost() {
    let gpu = open();
    let n = 1 << 20;
    let graph = model(&[
        node("Add", &["x", "w"], "y"),
        raw("w", &[n], 1, &vec![0; 4 * n]),
        info(11, "x", 1, &[1]),
        info(12, "y", 1, &[n]),
    ]);
    gpu.destroy();
    let error = Session::from_bytes_blocking(&graph, options(&gpu)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
}

#[test]
fn a_value_beyond_the_adapters_limits_is_an_error_with_numbers() {
    let gpu = open();
    let limit = gpu.info().max_storage_buffer_binding_size;
    let n = (limit / 4 + 1) as usize;
    let graph = model(&[
        node("Add", &["x", "c"], "y"),
        floats("c", &[1], &[1.0]),
        info(11, "x", 1, &[n]),
        info(12, "y", 1, &[n]),
    ]);
    let error = Session::from_bytes_blocking(&graph, options(&gpu)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    // The device is as good as before.
    let session = Session::from_bytes_blocking(&doubling(), options(&gpu)).unwrap();
    assert!(session.run_blocking(&[("x", ones())]).is_ok());
}
