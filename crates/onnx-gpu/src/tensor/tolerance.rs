//! When a number counts as the expected one.

/// How far an element may be from what is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// Allowed for every number.
    pub absolute: f64,
    /// Allowed beside it, as a share of the expected number's magnitude.
    pub relative: f64,
}

impl Tolerance {
    /// Whether `actual` passes: a NaN where NaN is expected, an infinity where the same one is, a number within
    /// `absolute + relative · |expected|`. No tolerance makes infinity or NaN pass for anything else, or anything else for them.
    pub fn accepts(self, actual: f64, expected: f64) -> bool {
        if actual.is_finite() && expected.is_finite() {
            return (actual - expected).abs() <= self.absolute + self.relative * expected.abs();
        }
        actual == expected || (actual.is_nan() && expected.is_nan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinities_pass_for_themselves_alone() {
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0];
        for absolute in [0.0, 1e9, f64::INFINITY, f64::NAN] {
            for relative in [0.0, 1.0, f64::INFINITY] {
                let tolerance = Tolerance { absolute, relative };
                for (i, &actual) in special.iter().enumerate() {
                    for (j, &expected) in special.iter().enumerate() {
                        if i < 3 || j < 3 {
                            let what = format!("{actual} for {expected} within {tolerance:?}");
                            assert_eq!(tolerance.accepts(actual, expected), i == j, "{what}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_pass_within_the_sum_of_both_parts() {
        let tolerance = Tolerance {
            absolute: 0.5,
            relative: 0.25,
        };
        assert!(tolerance.accepts(5.5, 4.0) && tolerance.accepts(-5.5, -4.0));
        assert!(!tolerance.accepts(5.75, 4.0) && !tolerance.accepts(4.0, -4.0));
        assert!(Tolerance::default().accepts(0.0, -0.0));
        assert!(!Tolerance::default().accepts(1.0, 1.0 + f64::EPSILON));
    }
}
