//! `onnx-gpu compare`.

use onnx_gpu::{Error, ErrorKind, Result, Tensor};

/// Share of the expected range that an element may be off by if no tolerance is given.
const DEFAULT_SHARE: f64 = 2e-3;

/// Differences between an output and what was expected.
struct Difference {
    max_abs: f64,
    max_rel: f64,
    /// Smallest and largest expected element.
    range: (f64, f64),
    beyond: usize,
    len: usize,
}

fn difference(actual: &Tensor, expected: &Tensor, rtol: f64, atol: Option<f64>) -> Difference {
    let (a, e) = (actual.to_f32_vec(), expected.to_f32_vec());
    let finite = e.iter().copied().filter(|v| v.is_finite()).map(f64::from);
    let range = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
        (lo.min(v), hi.max(v))
    });
    let atol = atol.unwrap_or(DEFAULT_SHARE * (range.1 - range.0).max(0.0));
    let mut out = Difference {
        max_abs: 0.0,
        max_rel: 0.0,
        range,
        beyond: 0,
        len: e.len(),
    };
    for (&a, &e) in a.iter().zip(&e) {
        let (a, e) = (f64::from(a), f64::from(e));
        if a == e || (a.is_nan() && e.is_nan()) {
            continue;
        }
        let error = (a - e).abs();
        // `max` would drop a NaN.
        if error.is_nan() || error > out.max_abs {
            out.max_abs = if error.is_nan() { f64::INFINITY } else { error };
        }
        if e != 0.0 && error.is_finite() {
            out.max_rel = out.max_rel.max(error / e.abs());
        }
        if error.is_nan() || error > atol + rtol * e.abs() {
            out.beyond += 1;
        }
    }
    out
}

/// Prints the differences; whether all outputs are within tolerance.
pub fn print(
    outputs: &[(String, Tensor)],
    expected: &[(String, Tensor)],
    rtol: Option<f64>,
    atol: Option<f64>,
) -> Result<bool> {
    let atol = if atol.is_none() && rtol.is_some() {
        Some(0.0)
    } else {
        atol
    };
    let mut pass = true;
    for (name, wanted) in expected {
        let (_, actual) = outputs.iter().find(|(n, _)| n == name).ok_or_else(|| {
            let known: Vec<&str> = outputs.iter().map(|(n, _)| n.as_str()).collect();
            Error::new(
                ErrorKind::InvalidInput,
                format!("the model has no output '{name}'; it has {known:?}"),
            )
        })?;
        if actual.shape() != wanted.shape() {
            println!(
                "{name}: FAIL, shape {:?} where {:?} is expected",
                actual.shape(),
                wanted.shape()
            );
            pass = false;
            continue;
        }
        let d = difference(actual, wanted, rtol.unwrap_or(0.0), atol);
        let width = d.range.1 - d.range.0;
        let share = if width > 0.0 { d.max_abs / width } else { 0.0 };
        println!(
            "{name}: {}, max abs error {:.3e} ({share:.3e} of the range), max rel error {:.3e}, expected from {} to {}, {} of {} elements beyond tolerance",
            if d.beyond == 0 { "ok" } else { "FAIL" },
            d.max_abs,
            d.max_rel,
            d.range.0,
            d.range.1,
            d.beyond,
            d.len
        );
        pass &= d.beyond == 0;
    }
    Ok(pass)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tensor(v: &[f32]) -> Tensor {
        Tensor::f32([v.len()], v.to_vec()).unwrap()
    }

    #[test]
    fn tolerance_is_absolute_plus_relative() {
        let (a, e) = (tensor(&[1.01, -2.0]), tensor(&[1.0, -2.0]));
        assert_eq!(difference(&a, &e, 0.02, Some(0.0)).beyond, 0);
        assert_eq!(difference(&a, &e, 0.0, Some(0.005)).beyond, 1);
        // The range is 3, so 2e-3 of it is 6e-3.
        assert_eq!(difference(&a, &e, 0.0, None).beyond, 1);
        assert_eq!(difference(&tensor(&[1.005, -2.0]), &e, 0.0, None).beyond, 0);
    }

    #[test]
    fn nan_and_infinity_never_pass_unnoticed() {
        let e = tensor(&[1.0, 2.0]);
        for bad in [f32::NAN, f32::INFINITY] {
            let d = difference(&tensor(&[bad, 2.0]), &e, 1.0, Some(1e9));
            assert_eq!((d.beyond, d.max_abs), (1, f64::INFINITY));
        }
        let nan = tensor(&[f32::NAN, 2.0]);
        assert_eq!(difference(&nan, &nan, 0.0, None).beyond, 0);
        assert_eq!(difference(&e, &nan, 0.0, None).beyond, 1);
    }
}
