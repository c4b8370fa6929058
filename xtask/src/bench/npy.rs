//! How far the outputs of an engine are from the expected ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Largest difference between the files of the same name in two folders, as a share of the range of the expected
/// numbers. Infinite where elements are missing, or where one of two numbers is infinite or NaN and the other not the same.
pub fn error_share(expected: &Path, actual: &Path) -> Result<f64> {
    let mut worst = 0f64;
    let mut seen = 0;
    for entry in
        fs::read_dir(expected).with_context(|| format!("reading {}", expected.display()))?
    {
        let name = entry?.file_name();
        let expected = floats(&expected.join(&name))?;
        let actual = floats(&actual.join(&name))?;
        worst = worst.max(share(&expected, &actual));
        seen += 1;
    }
    ensure!(seen > 0, "{} holds no outputs", expected.display());
    Ok(worst)
}

fn share(expected: &[f32], actual: &[f32]) -> f64 {
    if expected.len() != actual.len() {
        return f64::INFINITY;
    }
    let (mut low, mut high, mut worst) = (f64::INFINITY, f64::NEG_INFINITY, 0f64);
    for (&e, &a) in expected.iter().zip(actual) {
        let (e, a) = (f64::from(e), f64::from(a));
        if !a.is_finite() || !e.is_finite() {
            if a == e || (a.is_nan() && e.is_nan()) {
                continue;
            }
            return f64::INFINITY;
        }
        (low, high) = (low.min(e), high.max(e));
        worst = worst.max((a - e).abs());
    }
    let range = high - low;
    if range > 0.0 { worst / range } else { worst }
}

/// The elements of a `float32` file in C order.
fn floats(path: &Path) -> Result<Vec<f32>> {
    let file = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let length = file.get(8..10).context("no .npy file")?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = String::from_utf8_lossy(file.get(10..start).context("a .npy file is cut off")?);
    if !header.contains("'<f4'") || !header.contains("'fortran_order': False") {
        bail!("{}: {header} is not compared", path.display());
    }
    let (words, _) = file[start..].as_chunks::<4>();
    Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_expected_range() {
        assert_eq!(share(&[0.0, 4.0], &[1.0, 4.0]), 0.25);
        assert_eq!(share(&[2.0, 2.0], &[2.0, 2.5]), 0.5);
        assert_eq!(share(&[0.0, 4.0], &[0.0]), f64::INFINITY);
    }

    #[test]
    fn what_is_not_finite_is_the_same_or_infinitely_wrong() {
        const SPECIAL: [f32; 4] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2.0];
        for (i, &expected) in SPECIAL.iter().enumerate() {
            for (j, &actual) in SPECIAL.iter().enumerate() {
                let found = share(&[0.0, expected, 4.0], &[0.0, actual, 4.0]);
                assert_eq!(found, if i == j { 0.0 } else { f64::INFINITY }, "{actual}");
            }
        }
    }
}
