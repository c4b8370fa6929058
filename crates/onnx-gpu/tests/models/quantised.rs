//! Cases of `tests/data/quantised.py` with ONNX Runtime's results.

use std::collections::BTreeMap;
use std::path::Path;

use onnx_gpu::{Session, npy};

use super::options;

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
