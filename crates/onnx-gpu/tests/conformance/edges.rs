//! The ends of what functions take and give, packed by `tests/data/generate_edges.py`: each case with its inputs given at run time
//! and known beforehand, so that what is computed on the CPU and what on the device are held against the same numbers.
//!
//! Infinities and NaN have to be those expected, numbers within the case's own tolerance.

use onnx_gpu::{AdapterChoice, Gpu, Options, Passes, Tensor, Tolerance};

use super::outputs_of;
use super::pack::{Case, data, unpack};

fn check(case: &Case, gpu: &Gpu, passes: Passes) -> Result<(), String> {
    let options = Options::default().with_gpu(gpu.clone()).with_passes(passes);
    let outputs = outputs_of(case, options)?;
    for (name, expected) in &case.outputs {
        let found = outputs.iter().find(|(n, _)| n == name);
        let (_, actual) = found.ok_or_else(|| format!("no output '{name}'"))?;
        let kinds = [actual, expected].map(|t| (t.dtype(), t.shape().to_vec()));
        if kinds[0] != kinds[1] {
            return Err(format!("'{name}' is {:?}, not {:?}", kinds[0], kinds[1]));
        }
        let wrong = differences(actual, expected, case);
        if !wrong.is_empty() {
            return Err(format!("'{name}': {}", wrong.join(", ")));
        }
    }
    Ok(())
}

/// The elements that are not as expected, after the input that they come from, where the two go together.
fn differences(actual: &Tensor, expected: &Tensor, case: &Case) -> Vec<String> {
    let tolerance = Tolerance {
        relative: case.tolerance.0.into(),
        absolute: case.tolerance.1.into(),
    };
    let (a, e) = (actual.to_f32_vec(), expected.to_f32_vec());
    let wrong = |i: &usize| !tolerance.accepts(a[*i].into(), e[*i].into());
    let from = |i: usize| {
        let values: Vec<String> = case
            .inputs
            .iter()
            .filter(|(_, x)| x.len() == a.len())
            .map(|(_, x)| format!("{:e}", x.to_f32_vec()[i]))
            .collect();
        values.join(" and ")
    };
    let wrong = (0..e.len()).filter(wrong);
    wrong
        .map(|i| format!("element {i} of {} is {:e}, not {:e}", from(i), a[i], e[i]))
        .take(9)
        .collect()
}

#[test]
fn the_ends_of_every_function_are_right_on_the_device_and_before_the_run() {
    let cases = unpack(&data("edge_cases.pack"));
    assert!(cases.len() > 500);
    let gpu = pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap();
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        for (passes, what) in [(Passes::ALL, ""), (Passes::NONE, " without passes")] {
            if let Err(error) = check(case, &gpu, passes) {
                wrong.push(format!("{name}{what}: {error}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
