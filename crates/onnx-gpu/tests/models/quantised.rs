//! Cases of `tests/data/quantised.py` with ONNX Runtime's results.

use std::collections::BTreeMap;
use std::path::Path;

use onnx_gpu::{Session, npy};

use super::encode::{attribute, floats, info, ints, model, node, node_with, raw};
use super::{open, options, run, tensor};

/// Records are a line "CASE/FILE BYTES" and that many bytes.
fn unpack(mut rest: &[u8]) -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let mut cases: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
        let header = std::str::from_utf8(&rest[..end]).unwrap();
        let (path, size) = header.rsplit_once(' ').unwrap();
        let (body, tail) = rest[end + 1..].split_at(size.parse().unwrap());
        let (case, file) = path.split_once('/').unwrap();
        let files = cases.entry(case.to_owned()).or_default();
        files.insert(file.to_owned(), body.to_vec());
        rest = tail;
    }
    cases
}

#[test]
fn quantised_weights_give_onnx_runtimes_results() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/quantised.pack");
    let cases = unpack(&std::fs::read(path).unwrap());
    assert!(cases.len() >= 18);
    let mut wrong = Vec::new();
    for (name, files) in &cases {
        let x = npy::read(&files["in/x.npy"]).unwrap();
        let expected = npy::read(&files["out/y.npy"]).unwrap();
        let session = match Session::from_bytes_blocking(&files["model.onnx"], options()) {
            Ok(session) => session,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let y = &session.run_blocking(&[("x", x)]).unwrap()[0].1;
        assert_eq!(y.shape(), expected.shape(), "{name}");
        let expected = expected.to_f32_vec();
        assert!(expected.iter().all(|v| v.is_finite()), "{name}");
        let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        // Blocks are exact, weights behind DequantizeLinear are rounded to 16 bits.
        let tolerance = if name.starts_with("nbits") {
            1e-5
        } else {
            1e-3
        } * largest;
        for (i, (a, b)) in y.to_f32_vec().iter().zip(&expected).enumerate() {
            let near = (a - b).abs() <= tolerance;
            if !near {
                wrong.push(format!("{name}: element {i} is {a}, not {b}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An element of 4 bits takes 4.5 where 32 share a scale of 16 bits, and what a zero point has, where there are some: nothing is kept in
/// another form beside them.
#[test]
fn blocks_take_the_bits_that_they_have_in_the_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/quantised.pack");
    let cases = unpack(&std::fs::read(path).unwrap());
    // Rows, blocks of a row, bytes of a block, of a scale and of a row's zero points.
    for (name, [n, blocks, bytes, scale, zeros]) in [
        ("half_nbits_4_32_large", [288, 17, 16, 2, 0]),
        ("nbits_4_32_zero_large", [288, 17, 16, 4, 9]),
        ("half_nbits_3_16_zero_large", [288, 49, 6, 2, 19]),
        ("nbits_8_16_zero_large", [288, 17, 16, 4, 17]),
    ] {
        let files = &cases[name];
        let session = Session::from_bytes_blocking(&files["model.onnx"], options()).unwrap();
        let x = npy::read(&files["in/x.npy"]).unwrap();
        session.run_blocking(&[("x", x)]).unwrap();
        let mut wanted = n * (blocks * (bytes + scale) + zeros);
        if name == "nbits_8_16_zero_large" {
            // A bias.
            wanted += 4 * n;
        }
        let held = session.stats().weight_bytes;
        // Each buffer has whole words.
        assert!(
            held >= wanted && held < wanted + 16,
            "{name}: {held}, {wanted}"
        );
    }
}

/// Elements and 16-bit steps are read as they lie on the device, and what follows the product rides on it: a bias for each column, a
/// computed addend and an activation, whichever of them there are.
#[test]
fn blocks_with_steps_of_sixteen_bits_are_multiplied_in_one_dispatch() {
    // Row n has n mod 16 less 8 everywhere, and one of three steps.
    const ROWS: usize = 40_000;
    let levels: Vec<u8> = (0..ROWS).flat_map(|n| [(n % 16 * 17) as u8; 8]).collect();
    // An eighth, a quarter and a half.
    let steps: Vec<u8> = (0..ROWS)
        .flat_map(|n| [0x3000u16, 0x3400, 0x3800][n % 3].to_le_bytes())
        .collect();
    let product = |n: usize| 16.0 * (n % 16) as f32 - 128.0;
    let step = |n: usize| [0.125, 0.25, 0.5][n % 3];
    let bias: Vec<f32> = (0..ROWS).map(|n| (n % 5) as f32).collect();
    let beside: Vec<f32> = (0..ROWS).map(|n| (n % 7) as f32 - 3.0).collect();
    for added in 0..8 {
        let [biased, residual, active] = [1, 2, 4].map(|bit| added & bit > 0);
        let attributes = [
            ("K", 16),
            ("N", ROWS as i64),
            ("bits", 4),
            ("block_size", 16),
        ];
        let attributes = attributes.map(|(name, value)| attribute(name, value));
        let mut nodes = vec![
            raw("q", &[ROWS, 1, 8], 2, &levels),
            raw("half", &[ROWS, 1], 10, &steps),
            floats("b", &[ROWS], &bias),
            node_with("", "Cast", &["half"], "s", &[attribute("to", 1)]),
            node_with(
                "com.microsoft",
                "MatMulNBits",
                &["x", "q", "s"],
                "v0",
                &attributes,
            ),
            node(
                "Add",
                if biased {
                    &["v0", "b"]
                } else {
                    &["v0", "zero"]
                },
                "v1",
            ),
            node(
                "Add",
                if residual {
                    &["r", "v1"]
                } else {
                    &["v1", "zero"]
                },
                "v2",
            ),
            node(if active { "Relu" } else { "Identity" }, &["v2"], "y"),
            floats("zero", &[], &[0.0]),
        ];
        nodes.extend([
            info(11, "x", 1, &[1, 16]),
            info(11, "r", 1, &[1, ROWS]),
            info(12, "y", 1, &[1, ROWS]),
        ]);
        let session = open(&model(&nodes)).unwrap();
        if (biased, residual) == (true, true) {
            assert_eq!(session.stats().dispatches, 1, "{added:03b}");
        }
        let x = tensor(&[1, 16], &[1.0; 16]);
        let r = tensor(&[1, ROWS], &beside);
        let y = run(&session, &[("x", x), ("r", r)]);
        for (n, &y) in y.iter().enumerate() {
            let mut wanted = product(n) * step(n);
            wanted += if biased { bias[n] } else { 0.0 };
            wanted += if residual { beside[n] } else { 0.0 };
            wanted = if active { wanted.max(0.0) } else { wanted };
            assert_eq!(y, wanted, "{added:03b}, {n}");
        }
    }
}

/// A convolution as its definition says, of one image.
fn convolved(
    x: &[f32],
    [channels, side]: [usize; 2],
    w: &[f32],
    [out, kernel]: [usize; 2],
    groups: usize,
) -> Vec<f32> {
    let (within, pad) = (channels / groups, kernel / 2);
    let mut sums = vec![0.0; out * side * side];
    for (at, sum) in sums.iter_mut().enumerate() {
        let (o, y, x0) = (at / side / side, at / side % side, at % side);
        let first = o / (out / groups) * within;
        for c in 0..within {
            for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                let (iy, ix) = ((y + ky).wrapping_sub(pad), (x0 + kx).wrapping_sub(pad));
                if iy < side && ix < side {
                    let weight = w[((o * within + c) * kernel + ky) * kernel + kx];
                    *sum += weight * x[((first + c) * side + iy) * side + ix];
                }
            }
        }
    }
    sums
}

/// Whole numbers of a convolution are read as they lie on the device and each channel's sum is multiplied by its scale once: nothing is
/// kept beside them, and all numbers here are exact.
#[test]
fn whole_weights_of_a_convolution_are_read_as_they_are() {
    const SIDE: usize = 5;
    for (channels, out, kernel, groups) in [
        (64, 128, 3, 1),
        (256, 320, 1, 1),
        (64, 256, 3, 2),
        (8, 4, 3, 1),
    ] {
        let within = channels / groups;
        let numbers = out * within * kernel * kernel;
        let whole: Vec<i8> = (0..numbers).map(|i| (i * 7 % 23) as i8 - 11).collect();
        let scales: Vec<f32> = (0..out).map(|o| [0.125, 0.25, 0.5][o % 3]).collect();
        let bias: Vec<f32> = (0..out).map(|o| (o % 5) as f32).collect();
        let x: Vec<f32> = (0..channels * SIDE * SIDE)
            .map(|i| (i % 13) as f32 - 6.0)
            .collect();
        let shape = [1, out, SIDE, SIDE];
        let bytes: Vec<u8> = whole.iter().map(|&q| q as u8).collect();
        let conv = [
            attribute("group", groups as i64),
            ints("pads", &[(kernel / 2) as i64; 4]),
        ];
        let session = open(&model(&[
            raw("q", &[out, within, kernel, kernel], 3, &bytes),
            floats("s", &[out], &scales),
            floats("b", &[out], &bias),
            node_with(
                "",
                "DequantizeLinear",
                &["q", "s"],
                "w",
                &[attribute("axis", 0)],
            ),
            node_with("", "Conv", &["x", "w", "b"], "c", &conv),
            node("Add", &["r", "c"], "a"),
            node("Relu", &["a"], "y"),
            info(11, "x", 1, &[1, channels, SIDE, SIDE]),
            info(11, "r", 1, &shape),
            info(12, "y", 1, &shape),
        ]))
        .unwrap();
        let stats = session.stats();
        let what = format!("{channels} to {out}, {kernel} wide, {groups} groups");
        assert_eq!(stats.dispatches, 1, "{what}");
        if numbers > 1 << 16 {
            // Beside the numbers there are a scale and a bias for each channel.
            assert_eq!(stats.weight_bytes, (numbers + 8 * out) as u64, "{what}");
        }
        let widened: Vec<f32> = whole
            .iter()
            .enumerate()
            .map(|(i, &q)| f32::from(q) * scales[i / (numbers / out)])
            .collect();
        let mut wanted = convolved(&x, [channels, SIDE], &widened, [out, kernel], groups);
        let beside: Vec<f32> = (0..wanted.len()).map(|i| (i % 7) as f32 - 3.0).collect();
        for (i, sum) in wanted.iter_mut().enumerate() {
            *sum = (*sum + bias[i / SIDE / SIDE] + beside[i]).max(0.0);
        }
        let (x, r) = (
            tensor(&[1, channels, SIDE, SIDE], &x),
            tensor(&shape, &beside),
        );
        assert_eq!(run(&session, &[("x", x), ("r", r)]), wanted, "{what}");
    }
}
