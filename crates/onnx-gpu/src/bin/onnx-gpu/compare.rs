//! `onnx-gpu compare`.

use onnx_gpu::{Error, ErrorKind, Result, Tensor, Tolerance};

/// Share of the expected range that an element may be off by if no tolerance is given.
const SHARE_OF_RANGE: f64 = 2e-3;
/// Share of the largest expected magnitude that an element may always be off by: some tens of roundings to 32 bits.
const SHARE_OF_MAGNITUDE: f64 = 1e-5;
/// What an element may be off by where nothing but zeros is expected.
const OF_ZEROS: f64 = 1e-6;

/// Differences between an output and what was expected.
struct Difference {
    max_abs: f64,
    max_rel: f64,
    /// Smallest and largest expected number, infinities apart.
    range: Option<(f64, f64)>,
    beyond: usize,
    len: usize,
}

/// The elements as numbers in which every type but int64 beyond 2^53 is exact.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.to_i64_vec() {
        Ok(whole) => whole.into_iter().map(|v| v as f64).collect(),
        Err(_) => tensor.to_f32_vec().into_iter().map(f64::from).collect(),
    }
}

/// The tolerance where none is given: integers and truth values have to be equal.
fn default_absolute(expected: &Tensor, range: Option<(f64, f64)>) -> f64 {
    let (true, Some((low, high))) = (expected.dtype().is_float(), range) else {
        return 0.0;
    };
    let magnitude = low.abs().max(high.abs());
    let width = if high > low { high - low } else { magnitude };
    if magnitude == 0.0 {
        OF_ZEROS
    } else {
        (SHARE_OF_RANGE * width).max(SHARE_OF_MAGNITUDE * magnitude)
    }
}

fn difference(
    actual: &Tensor,
    expected: &Tensor,
    rtol: Option<f64>,
    atol: Option<f64>,
) -> Difference {
    let (a, e) = (numbers(actual), numbers(expected));
    let finite = e.iter().copied().filter(|v| v.is_finite());
    let range = finite.fold(None, |range: Option<(f64, f64)>, v| {
        let (low, high) = range.unwrap_or((v, v));
        Some((low.min(v), high.max(v)))
    });
    let tolerance = Tolerance {
        absolute: match (atol, rtol) {
            (Some(atol), _) => atol,
            (None, Some(_)) => 0.0,
            (None, None) => default_absolute(expected, range),
        },
        relative: rtol.unwrap_or(0.0),
    };
    let mut out = Difference {
        max_abs: 0.0,
        max_rel: 0.0,
        range,
        beyond: 0,
        len: e.len(),
    };
    for (&a, &e) in a.iter().zip(&e) {
        if a == e || (a.is_nan() && e.is_nan()) {
            continue;
        }
        let error = (a - e).abs();
        // `max` would drop a NaN.
        out.max_abs = out
            .max_abs
            .max(if error.is_nan() { f64::INFINITY } else { error });
        if e != 0.0 && e.is_finite() && error.is_finite() {
            out.max_rel = out.max_rel.max(error / e.abs());
        }
        out.beyond += usize::from(!tolerance.accepts(a, e));
    }
    out
}

impl Difference {
    fn print(&self, name: &str) {
        let width = self.range.map_or(0.0, |(low, high)| high - low);
        let share = if width > 0.0 {
            format!(" ({:.3e} of the range)", self.max_abs / width)
        } else {
            String::new()
        };
        let range = match self.range {
            Some((low, high)) => format!("expected from {low} to {high}"),
            None => "no number expected".to_owned(),
        };
        println!(
            "{name}: {}, max abs error {:.3e}{share}, max rel error {:.3e}, {range}, {} of {} elements beyond tolerance",
            if self.beyond == 0 { "ok" } else { "FAIL" },
            self.max_abs,
            self.max_rel,
            self.beyond,
            self.len
        );
    }
}

/// Prints the differences; whether all expected outputs have the expected type and shape and are within tolerance.
pub fn print(
    outputs: &[(String, Tensor)],
    expected: &[(String, Tensor)],
    rtol: Option<f64>,
    atol: Option<f64>,
) -> Result<bool> {
    let mut pass = true;
    for (name, wanted) in expected {
        let (_, actual) = outputs.iter().find(|(n, _)| n == name).ok_or_else(|| {
            let known: Vec<&str> = outputs.iter().map(|(n, _)| n.as_str()).collect();
            Error::new(
                ErrorKind::InvalidInput,
                format!("the model has no output '{name}'; it has {known:?}"),
            )
        })?;
        if actual.shape() != wanted.shape() || actual.dtype() != wanted.dtype() {
            println!(
                "{name}: FAIL, {} {:?} where {} {:?} is expected",
                actual.dtype(),
                actual.shape(),
                wanted.dtype(),
                wanted.shape()
            );
            pass = false;
            continue;
        }
        let found = difference(actual, wanted, rtol, atol);
        found.print(name);
        pass &= found.beyond == 0;
    }
    for (name, _) in outputs {
        if !expected.iter().any(|(n, _)| n == name) {
            println!("{name}: nothing expected, not compared");
        }
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

    fn beyond(a: &[f32], e: &[f32], rtol: Option<f64>, atol: Option<f64>) -> usize {
        difference(&tensor(a), &tensor(e), rtol, atol).beyond
    }

    #[test]
    fn tolerance_is_absolute_plus_relative() {
        let (a, e) = ([1.01, -2.0], [1.0, -2.0]);
        assert_eq!(beyond(&a, &e, Some(0.02), None), 0);
        assert_eq!(beyond(&a, &e, None, Some(0.005)), 1);
        assert_eq!(beyond(&a, &e, Some(0.006), Some(0.005)), 0);
        // The range is 3, so 2e-3 of it is 6e-3.
        assert_eq!(beyond(&a, &e, None, None), 1);
        assert_eq!(beyond(&[1.005, -2.0], &e, None, None), 0);
    }

    #[test]
    fn nan_and_infinity_never_pass_unnoticed() {
        const SPECIAL: [f32; 4] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2.0];
        for (i, &e) in SPECIAL.iter().enumerate() {
            for (j, &a) in SPECIAL.iter().enumerate() {
                for (rtol, atol) in [
                    (None, None),
                    (Some(1e-6), None),
                    (Some(1.0), Some(1e9)),
                    (None, Some(f64::INFINITY)),
                ] {
                    let d = difference(&tensor(&[a, 1.0]), &tensor(&[e, 1.0]), rtol, atol);
                    assert_eq!(d.beyond, usize::from(i != j), "{a} for {e}");
                    assert_eq!(d.max_abs, if i == j { 0.0 } else { f64::INFINITY });
                }
            }
        }
        // Nothing but infinities expected: there is no range to take a share of.
        let inf = f32::INFINITY;
        assert_eq!(beyond(&[1.0, 2.0], &[inf, -inf], None, None), 2);
    }

    #[test]
    fn a_range_of_nothing_still_leaves_room_for_rounding() {
        // One number, and several that are equal: a share of the magnitude.
        assert_eq!(beyond(&[3.001e-8], &[3e-8], None, None), 0);
        assert_eq!(beyond(&[3.1e-8], &[3e-8], None, None), 1);
        assert_eq!(beyond(&[0.5, 0.500_1], &[0.5, 0.5], None, None), 0);
        assert_eq!(beyond(&[0.5, 0.502], &[0.5, 0.5], None, None), 1);
        // A range of one rounding.
        let e = [0.5, 0.500_000_06];
        assert_eq!(beyond(&[0.500_000_06, 0.5], &e, None, None), 0);
        assert_eq!(beyond(&[0.500_1, 0.5], &e, None, None), 1);
        assert_eq!(beyond(&[1e-7], &[0.0], None, None), 0);
        assert_eq!(beyond(&[1e-5], &[0.0], None, None), 1);
        // A tolerance that is given is taken as it is.
        assert_eq!(beyond(&[0.500_000_06], &[0.5], None, Some(0.0)), 1);
    }

    #[test]
    fn integers_are_equal_or_wrong() {
        let of = |v: i64| Tensor::i64([2], vec![v, 0]).unwrap();
        let wide = (1 << 24) + 1;
        assert_eq!(difference(&of(wide), &of(wide), None, None).beyond, 0);
        assert_eq!(difference(&of(wide), &of(wide - 1), None, None).beyond, 1);
        let near = difference(&of(wide), &of(wide - 1), None, Some(1.0));
        assert_eq!(near.beyond, 0);
    }

    #[test]
    fn types_and_shapes_have_to_be_those_expected() {
        let pass = |a: &Tensor, e: &Tensor| {
            let named = |t: &Tensor| [("y".to_owned(), t.clone())];
            print(&named(a), &named(e), None, None).unwrap()
        };
        let x = tensor(&[1.0, 2.0]);
        assert!(pass(&x, &x));
        assert!(!pass(&x, &x.reshaped([1, 2]).unwrap()));
        assert!(!pass(&x, &x.cast(onnx_gpu::DType::F16)));
        assert!(!pass(&x, &tensor(&[1.0, 2.0, 3.0])));
        let missing = print(&[], &[("y".to_owned(), x)], None, None);
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
