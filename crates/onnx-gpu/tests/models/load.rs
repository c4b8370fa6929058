use std::borrow::Cow;
use std::sync::Mutex;

use half::f16;
use onnx_gpu::weights::{Bytes, CHUNK, Folder, Reading};
use onnx_gpu::{AdapterChoice, ErrorKind, Gpu, Options, Session, Tensor, WeightSource};

use super::encode::{attribute, external, floats, info, longs, model, node, node_with, raw};
use super::options;

/// Element `i` of every weight here: small integers, exact in 16 bits.
fn value(i: usize) -> f32 {
    (i * 7 % 23) as f32 - 11.0
}

fn half_bytes(n: usize) -> Vec<u8> {
    (0..n)
        .flat_map(|i| f16::from_f32(value(i)).to_le_bytes())
        .collect()
}

/// `y[j] = Σ_k x[k] · value(k · n + j)`.
fn product(x: &[f32], n: usize) -> Vec<f32> {
    (0..n)
        .map(|j| (0..x.len()).map(|k| x[k] * value(k * n + j)).sum())
        .collect()
}

fn x(k: usize) -> Tensor {
    Tensor::f32([1, k], (0..k).map(|i| (i % 5) as f32 - 2.0).collect()).unwrap()
}

fn check(session: &Session, k: usize, n: usize) {
    let x = x(k);
    let outputs = session.run_blocking(&[("x", x.clone())]).unwrap();
    let expected = product(x.as_f32().unwrap(), n);
    // Sums of small integers are exact.
    assert_eq!(outputs[0].1.to_f32_vec(), expected);
}

/// `y = x · cast(w)` for a 16-bit weight.
fn cast_product(k: usize, n: usize, weight: Vec<u8>) -> Vec<u8> {
    model(&[
        node_with("", "Cast", &["w"], "wide", &[attribute("to", 1)]),
        node("MatMul", &["x", "wide"], "y"),
        weight,
        info(11, "x", 1, &[1, k]),
        info(12, "y", 1, &[1, n]),
    ])
}

#[test]
fn a_16_bit_weight_behind_a_cast_is_multiplied() {
    let (k, n) = (301, 207);
    let graph = cast_product(k, n, raw("w", &[k, n], 10, &half_bytes(k * n)));
    let session = Session::from_bytes_blocking(&graph, options()).unwrap();
    check(&session, k, n);
}

#[test]
fn a_16_bit_weight_stays_so_when_its_axes_are_swapped() {
    // As exporters write a linear layer: the weight lies by outputs. An odd number of elements, and a slice of it.
    let (k, n) = (331, 207);
    let by_output: Vec<u8> = (0..(n + 1) * k)
        .flat_map(|at| {
            let (j, i) = (at / k, at % k);
            let v = if j == 0 { 99.0 } else { value(i * n + j - 1) };
            f16::from_f32(v).to_le_bytes()
        })
        .collect();
    let graph = model(&[
        node("Slice", &["w", "one", "end", "zero"], "part"),
        node("Transpose", &["part"], "turned"),
        node_with("", "Cast", &["turned"], "wide", &[attribute("to", 1)]),
        node("MatMul", &["x", "wide"], "y"),
        raw("w", &[n + 1, k], 10, &by_output),
        longs("zero", &[0]),
        longs("one", &[1]),
        longs("end", &[1 << 30]),
        info(11, "x", 1, &[1, k]),
        info(12, "y", 1, &[1, n]),
    ]);
    let session = Session::from_bytes_blocking(&graph, options()).unwrap();
    check(&session, k, n);
    assert_eq!(session.stats().weight_bytes, (k * n).div_ceil(2) as u64 * 4);
}

#[test]
fn external_data_come_from_memory_and_from_a_folder() {
    let (k, n) = (130, 260);
    let graph = cast_product(k, n, external("w", &[k, n], 10, "parts/w.bin", 12));
    let mut file = vec![0xee; 12];
    file.extend(half_bytes(k * n));
    let bytes = Bytes::new().file("parts/w.bin", &file);
    let session = Session::load_blocking(&graph, &bytes, options()).unwrap();
    check(&session, k, n);

    let folder = std::env::temp_dir().join(format!("onnx-gpu-weights-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("parts")).unwrap();
    std::fs::write(folder.join("parts/w.bin"), &file).unwrap();
    std::fs::write(folder.join("model.onnx"), &graph).unwrap();
    let session = Session::open_blocking(folder.join("model.onnx"), options()).unwrap();
    check(&session, k, n);

    std::fs::write(folder.join("parts/w.bin"), &file[..file.len() - 1]).unwrap();
    let error = Session::open_blocking(folder.join("model.onnx"), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("parts/w.bin"), "{error}");

    #[cfg(unix)]
    {
        std::fs::remove_file(folder.join("parts/w.bin")).unwrap();
        let outside = folder.with_extension("outside");
        std::fs::write(&outside, &file).unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("parts/w.bin")).unwrap();
        let error = Session::open_blocking(folder.join("model.onnx"), options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
        std::fs::remove_file(outside).unwrap();
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn missing_files_are_named() {
    let graph = cast_product(2, 2, external("w", &[2, 2], 10, "w.bin", 0));
    let error = Session::from_bytes_blocking(&graph, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("w.bin"), "{error}");
    let error =
        Session::load_blocking(&graph, &Folder::new("/nonexistent"), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

/// One file in memory that notes the longest range asked for.
struct Watched {
    file: Vec<u8>,
    longest: Mutex<usize>,
}

impl WeightSource for Watched {
    fn size<'a>(&'a self, _: &'a str) -> Reading<'a, u64> {
        let size = self.file.len() as u64;
        Box::pin(async move { Ok(size) })
    }

    fn read<'a>(&'a self, _: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        let mut longest = self.longest.lock().unwrap();
        *longest = length.max(*longest);
        let start = offset as usize;
        Box::pin(async move { Ok(Cow::Borrowed(&self.file[start..start + length])) })
    }
}

#[test]
fn a_large_model_file_is_read_in_ranges_of_bounded_length() {
    let (k, n) = (1031, 2053);
    let file = cast_product(k, n, raw("w", &[k, n], 10, &half_bytes(k * n)));
    assert!(file.len() > CHUNK);
    let source = Watched {
        file,
        longest: Mutex::default(),
    };
    let session = pollster::block_on(Session::open(&source, "m.onnx", options())).unwrap();
    check(&session, k, n);
    let longest = *source.longest.lock().unwrap();
    assert!(longest <= CHUNK, "{longest}");
}

#[test]
fn a_weight_is_shared_by_plans_and_operators_that_need_it_unpacked() {
    let (k, n) = (256, 384);
    let graph = model(&[
        node_with("", "Cast", &["w"], "wide", &[attribute("to", 1)]),
        node("Add", &["wide", "x"], "y"),
        raw("w", &[k, n], 10, &half_bytes(k * n)),
        info(11, "x", 1, &[0, 1]),
        info(12, "y", 1, &[k, n]),
    ]);
    let session = Session::from_bytes_blocking(&graph, options()).unwrap();
    for (rows, shift) in [(1, 0.5f32), (k, 2.0), (1, -1.0)] {
        let x = Tensor::f32([rows, 1], vec![shift; rows]).unwrap();
        let y = session.run_blocking(&[("x", x)]).unwrap();
        let expected: Vec<f32> = (0..k * n).map(|i| value(i) + shift).collect();
        assert_eq!(y[0].1.to_f32_vec(), expected);
        // Unpacking is done once, not in every run.
        assert_eq!(session.stats().dispatches, 1);
    }
}

#[test]
fn weights_of_every_width_arrive() {
    let n = 70_001;
    let cast = |code: i64, data: &[u8]| {
        let graph = model(&[
            node_with("", "Cast", &["w"], "wide", &[attribute("to", 1)]),
            node("Mul", &["wide", "x"], "y"),
            raw("w", &[n], code, data),
            info(11, "x", 1, &[1]),
            info(12, "y", 1, &[n]),
        ]);
        let session = Session::from_bytes_blocking(&graph, options()).unwrap();
        let x = Tensor::f32([1], vec![2.0]).unwrap();
        session.run_blocking(&[("x", x)]).unwrap()[0].1.to_f32_vec()
    };
    let doubled = |f: &dyn Fn(usize) -> f32| -> Vec<f32> { (0..n).map(|i| 2.0 * f(i)).collect() };
    let wide: Vec<u8> = (0..n)
        .flat_map(|i| f64::from(value(i)).to_le_bytes())
        .collect();
    assert_eq!(cast(11, &wide), doubled(&value));
    let signed: Vec<u8> = (0..n).map(|i| value(i) as i8 as u8).collect();
    assert_eq!(cast(3, &signed), doubled(&value));
    let bytes: Vec<u8> = (0..n).map(|i| (i % 256) as u8).collect();
    assert_eq!(cast(2, &bytes), doubled(&|i| (i % 256) as f32));
    let half: Vec<u8> = (0..n.div_ceil(2)).map(|i| (i * 5 % 256) as u8).collect();
    assert_eq!(half.len(), 35_001);
}

#[test]
fn a_weight_may_be_an_output() {
    let n = 50_000;
    let graph = model(&[
        node("Identity", &["w"], "y"),
        node("Identity", &["x"], "z"),
        raw("w", &[n], 10, &half_bytes(n)),
        info(11, "x", 1, &[1]),
        info(12, "y", 10, &[n]),
        info(12, "z", 1, &[1]),
    ]);
    let session = Session::from_bytes_blocking(&graph, options()).unwrap();
    let x = Tensor::f32([1], vec![3.0]).unwrap();
    let outputs = session.run_blocking(&[("x", x)]).unwrap();
    assert_eq!(
        outputs[0].1.to_f32_vec(),
        (0..n).map(value).collect::<Vec<_>>()
    );
    assert_eq!(outputs[1].1.to_f32_vec(), [3.0]);
}

#[test]
fn large_lists_of_numbers_in_the_file_are_weights_too() {
    let n = 20_000;
    let folded = model(&[
        node("Add", &["a", "b"], "c"),
        node("Mul", &["c", "x"], "y"),
        floats("a", &[n], &(0..n).map(value).collect::<Vec<_>>()),
        floats("b", &[1], &[0.5]),
        info(11, "x", 1, &[1]),
        info(12, "y", 1, &[n]),
    ]);
    let session = Session::from_bytes_blocking(&folded, options()).unwrap();
    let x = Tensor::f32([1], vec![-2.0]).unwrap();
    let y = session.run_blocking(&[("x", x)]).unwrap();
    let expected: Vec<f32> = (0..n).map(|i| -2.0 * (value(i) + 0.5)).collect();
    assert_eq!(y[0].1.to_f32_vec(), expected);
}

#[test]
fn quantised_weights_go_once_others_are_made_of_them() {
    let (k, n) = (320, 256);
    let levels: Vec<u8> = (0..k * n).map(|i| value(i) as i8 as u8).collect();
    let graph = model(&[
        raw("levels", &[k * n / 64, 64], 3, &levels),
        floats("scales", &[k * n / 64], &vec![1.0; k * n / 64]),
        node_with(
            "",
            "DequantizeLinear",
            &["levels", "scales"],
            "blocks",
            &[attribute("axis", 0)],
        ),
        longs("shape", &[k as i64, n as i64]),
        node("Reshape", &["blocks", "shape"], "w"),
        node("MatMul", &["x", "w"], "y"),
        info(11, "x", 1, &[1, k]),
        info(12, "y", 1, &[1, n]),
    ]);
    let options = Options::default()
        .with_gpu(pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap());
    let session = Session::from_bytes_blocking(&graph, options).unwrap();
    let cost = session.cost(&[("x", &[1, k])]).unwrap();
    let held = session.gpu().stats();
    assert_eq!(
        cost.load_bytes - cost.total_bytes,
        (k * n + k * n / 64 * 4) as u64
    );
    // Kernels' parameters are not counted.
    let near = |held: u64, counted: u64| (counted..counted + 1024).contains(&held);
    assert!(near(held.buffer_bytes, cost.total_bytes), "{held:?}");
    assert!(near(held.peak_buffer_bytes, cost.load_bytes), "{held:?}");
    check(&session, k, n);
    session.forget_plans();
    check(&session, k, n);
}

/// What is made of weights and the weights themselves are not on the device together but for some at a time.
#[test]
fn weights_that_others_are_made_of_are_there_some_at_a_time() {
    const K: usize = 1024;
    const N: usize = 4096;
    const COUNT: usize = 12;
    let levels: Vec<u8> = (0..K * N).map(|i| value(i) as i8 as u8).collect();
    let mut graph = vec![
        floats("s", &[], &[0.5]),
        info(11, "x", 1, &[1, K]),
        info(12, "y", 1, &[1, N]),
    ];
    let mut sum = String::new();
    for index in 0..COUNT {
        let [q, w, y, added] = ["q", "w", "p", "a"].map(|name| format!("{name}{index}"));
        // Other numbers each, so that none is taken for another.
        let mut own = levels.clone();
        own[0] = index as u8;
        graph.push(raw(&q, &[K, N], 3, &own));
        graph.push(node("DequantizeLinear", &[&q, "s"], &w));
        graph.push(node("MatMul", &["x", &w], &y));
        let last = index + 1 == COUNT;
        let into = if last { "y" } else { &added };
        if index == 0 {
            graph.push(node("Identity", &[&y], into));
        } else {
            graph.push(node("Add", &[&sum, &y], into));
        }
        sum = into.to_owned();
    }
    let gpu = pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap();
    let options = Options::default().with_gpu(gpu);
    let session = Session::from_bytes_blocking(&model(&graph), options).unwrap();
    let cost = session.cost(&[("x", &[1, K])]).unwrap();
    let held = session.gpu().stats();
    println!("{cost:?}\n{held:?}");
    let all = (COUNT * K * N) as u64;
    let beside = held.peak_buffer_bytes - cost.total_bytes;
    assert!(beside < all, "{beside} of {all}");
    assert!(beside <= (32 << 20) + 4096, "{beside}");
    assert!(held.peak_buffer_bytes <= cost.load_bytes + 4096);
    assert!(held.buffer_bytes <= cost.total_bytes + 4096);
    let x = x(K);
    let y = session.run_blocking(&[("x", x.clone())]).unwrap().remove(0);
    let first = |index: usize| index as f32 - value(0);
    let mut wanted = product(x.as_f32().unwrap(), N);
    for sum in &mut wanted {
        *sum *= 0.5 * COUNT as f32;
    }
    wanted[0] += (0..COUNT).map(|i| 0.5 * first(i)).sum::<f32>() * x.as_f32().unwrap()[0];
    assert_eq!(y.1.to_f32_vec(), wanted);
}
