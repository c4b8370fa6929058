//! Operator cases on this machine's default adapter: the ONNX project's own, packed by `tests/data/generate.py`, and those whose
//! expected values ONNX Runtime computed, packed by `tests/data/generate_runtime.py`.
//!
//! Every case passes except those named in `tests/data/failures.txt` with a reason; one that is named and passes fails the test,
//! so that the list stays true.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "conformance/edges.rs"]
mod edges;
#[path = "models/encode.rs"]
#[allow(dead_code)]
mod encode;
#[path = "conformance/folded.rs"]
mod folded;
#[path = "conformance/pack.rs"]
mod pack;

use std::collections::BTreeMap;

use onnx_gpu::{AdapterChoice, DType, Gpu, Options, Session, Tensor, Tolerance};
use pack::{Case, data, unpack};

/// The outputs of a case on a device.
fn outputs_of(case: &Case, options: Options) -> Result<Vec<(String, Tensor)>, String> {
    let session = Session::from_bytes_blocking(&case.model, options).map_err(|e| e.to_string())?;
    let inputs: Vec<(&str, Tensor)> = case
        .inputs
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.clone()))
        .collect();
    session.run_blocking(&inputs).map_err(|e| e.to_string())
}

fn run(case: &Case, gpu: &Gpu) -> Result<(), String> {
    let options = Options::default().with_gpu(gpu.clone());
    let outputs = outputs_of(case, options)?;
    assert!(!case.outputs.is_empty());
    for (name, expected) in &case.outputs {
        let (_, actual) = outputs
            .iter()
            .find(|(n, _)| n == name)
            .ok_or_else(|| format!("no output '{name}'"))?;
        compare(actual, expected, case.tolerance).map_err(|e| format!("output '{name}': {e}"))?;
    }
    Ok(())
}

fn compare(actual: &Tensor, expected: &Tensor, (rtol, atol): (f32, f32)) -> Result<(), String> {
    if actual.shape() != expected.shape() {
        return Err(format!(
            "shape {:?}, not {:?}",
            actual.shape(),
            expected.shape()
        ));
    }
    if actual.dtype() != expected.dtype() {
        return Err(format!("{}, not {}", actual.dtype(), expected.dtype()));
    }
    // The cases' own 1e-7 is for exact libraries; GPUs may round each function by a few units in the last place.
    let atol = match expected.dtype() {
        DType::F16 => atol.max(1e-3),
        DType::F32 => atol.max(1e-5),
        _ => 0.0,
    };
    let rtol = if expected.dtype().is_float() {
        rtol
    } else {
        0.0
    };
    let tolerance = Tolerance {
        absolute: atol.into(),
        relative: rtol.into(),
    };
    for (i, (&a, &e)) in actual
        .to_f32_vec()
        .iter()
        .zip(&expected.to_f32_vec())
        .enumerate()
    {
        if !tolerance.accepts(a.into(), e.into()) {
            return Err(format!("element {i} is {a}, not {e}"));
        }
    }
    Ok(())
}

/// Runs a pack and fails where it and the declared failures disagree.
fn check(pack: &str, what: &str) {
    let cases = unpack(&data(pack));
    let declared: BTreeMap<String, String> = String::from_utf8(data("failures.txt"))
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, reason) = line.split_once(": ").expect("CASE: REASON");
            assert!(reason.len() > 10, "{name} needs a reason");
            (name.to_owned(), reason.to_owned())
        })
        .filter(|(name, _)| name.starts_with("test_") == (pack == NODE_CASES))
        .collect();
    let gpu = pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap();
    let mut surprises = Vec::new();
    for (name, case) in &cases {
        match (run(case, &gpu), declared.get(name)) {
            (Err(error), None) => surprises.push(format!("{name} fails: {error}")),
            (Ok(()), Some(_)) => surprises.push(format!("{name} is declared to fail and passes")),
            _ => {}
        }
    }
    for name in declared.keys().filter(|name| !cases.contains_key(*name)) {
        surprises.push(format!("{name} is declared and is no case"));
    }
    let passing = cases.len() - declared.len();
    println!(
        "{what}: {passing} of {} pass ({:.1} %), {} declared failures:",
        cases.len(),
        100.0 * passing as f64 / cases.len() as f64,
        declared.len()
    );
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in declared.values() {
        *reasons.entry(reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        println!("  {count:3}  {reason}");
    }
    assert!(
        surprises.is_empty(),
        "{} of {} cases:\n{}",
        surprises.len(),
        cases.len(),
        surprises.join("\n")
    );
}

const NODE_CASES: &str = "node_cases.pack";

#[test]
fn onnx_cases_pass_or_are_declared() {
    check(NODE_CASES, "ONNX's cases of the claimed operators");
}

#[test]
fn runtime_cases_pass_or_are_declared() {
    check("runtime_cases.pack", "cases computed by ONNX Runtime");
}
