//! Pauses between attempts at a download.

/// Failed attempts without a byte in between after which a download is given up.
pub const MAX_ATTEMPTS: u32 = 6;
/// Pause after the first failure in milliseconds; it doubles with each one.
const FIRST_MS: u32 = 250;
/// Longest pause in milliseconds.
const LONGEST_MS: u32 = 8_000;

/// The same of an address that another one can take the place of.
const ATTEMPTS_OF_MANY: u32 = 3;

/// Counts failures since the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    most: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            failures: 0,
            most: MAX_ATTEMPTS,
        }
    }
}

impl Backoff {
    /// At an address behind which there is another one, or none.
    pub fn at(is_last: bool) -> Self {
        Self {
            failures: 0,
            most: if is_last {
                MAX_ATTEMPTS
            } else {
                ATTEMPTS_OF_MANY
            },
        }
    }

    /// Bytes arrived.
    pub fn progressed(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed; the pause before the next one in milliseconds, none when there shall be no other.
    /// `random` in [0, 1) spreads clients that failed together: the pause is 1 to 1.5 times its nominal length.
    pub fn failed(&mut self, random: f64) -> Option<i32> {
        self.failures += 1;
        if self.failures >= self.most {
            return None;
        }
        let nominal = FIRST_MS
            .saturating_mul(1 << (self.failures - 1).min(16))
            .min(LONGEST_MS);
        Some((f64::from(nominal) * (1.0 + random.clamp(0.0, 1.0) / 2.0)) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.failed(0.0)).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000]);
        assert_eq!(backoff.failed(0.0), None);
        let mut first_of_two = Backoff::at(false);
        let pauses: Vec<_> = std::iter::from_fn(|| first_of_two.failed(0.0)).collect();
        assert_eq!(pauses, [250, 500]);
        assert_eq!(Backoff::at(true), Backoff::default());
    }

    #[test]
    fn a_byte_starts_the_count_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..3 {
            backoff.failed(0.0);
        }
        backoff.progressed();
        assert_eq!(backoff.failed(0.999), Some(374));
    }
}
