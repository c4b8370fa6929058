//! Packs of cases, as `tests/data/generate.py` describes them.

use std::collections::BTreeMap;
use std::path::Path;

use onnx_gpu::{Tensor, npy};

/// A model, what it is given, and what it has to give.
#[derive(Default)]
pub struct Case {
    pub model: Vec<u8>,
    pub tolerance: (f32, f32),
    pub inputs: Vec<(String, Tensor)>,
    pub outputs: Vec<(String, Tensor)>,
}

/// A file of `tests/data`.
pub fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Records are a line "CASE/FILE BYTES" and that many bytes.
pub fn unpack(mut rest: &[u8]) -> BTreeMap<String, Case> {
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|&b| b == b'\n')
            .expect("a header line");
        let header = std::str::from_utf8(&rest[..end]).unwrap();
        let (path, size) = header.rsplit_once(' ').unwrap();
        let (body, tail) = rest[end + 1..].split_at(size.parse().unwrap());
        rest = tail;
        let (name, file) = path.split_once('/').unwrap();
        let case = cases.entry(name.to_owned()).or_default();
        let tensor = |dir: &str| {
            let value = file.strip_prefix(dir)?.strip_suffix(".npy")?;
            Some((value.to_owned(), npy::read(body).unwrap()))
        };
        match file {
            "model.onnx" => case.model = body.to_vec(),
            "tolerance" => {
                let text = std::str::from_utf8(body).unwrap();
                let (rtol, atol) = text.split_once(' ').unwrap();
                case.tolerance = (rtol.parse().unwrap(), atol.parse().unwrap());
            }
            _ if file.starts_with("in/") => case.inputs.extend(tensor("in/")),
            _ => case.outputs.extend(tensor("out/")),
        }
    }
    cases
}
