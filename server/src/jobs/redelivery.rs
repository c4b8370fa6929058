//! When something that failed is tried again.

use std::time::{Duration, SystemTime};

/// Pauses of a job that a worker gave back.
const JOB: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
};
/// Longest pause that a problem can ask for, in seconds; a job is not kept waiting for longer.
pub const LONGEST_ASKED: u32 = 900;

/// Exponential back-off with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Shortest pause after the first failure.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// Pause after failure number `failure` (from 1): doubled each time, up to half as long again by `spread`, which is
    /// uniform in [0, 1).
    pub fn pause(&self, failure: u32, spread: f64) -> Duration {
        let growth = 2_u32.saturating_pow(failure.saturating_sub(1));
        let pause = self.first.saturating_mul(growth).min(self.longest);
        pause.mul_f64(1.0 + spread / 2.0).min(self.longest)
    }
}

/// Pause of a job that was given back for the `time`th time with a problem that asks for `retry_after` seconds.
pub fn delay(time: u32, retry_after: Option<u32>, spread: f64) -> Duration {
    match retry_after {
        // Those that were sent away together need not come back together.
        Some(seconds) => {
            Duration::from_secs(seconds.min(LONGEST_ASKED).into())
                + Duration::from_secs(1).mul_f64(spread)
        }
        None => JOB.pause(time, spread),
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(2),
        longest: Duration::from_secs(20),
    };

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread() {
        let seconds = |n, spread| BACKOFF.pause(n, spread).as_secs_f64();
        for (n, expected) in [
            (1, 2.0),
            (2, 4.0),
            (3, 8.0),
            (4, 16.0),
            (5, 20.0),
            (99, 20.0),
        ] {
            assert!((seconds(n, 0.0) - expected).abs() < 1e-9, "{n}");
        }
        assert!((seconds(2, 0.5) - 5.0).abs() < 1e-9);
        assert!((seconds(4, 0.99) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn what_a_problem_asks_for_is_kept_to_within_reason() {
        let seconds = |asked, spread| delay(1, asked, spread).as_secs_f64();
        assert!((seconds(Some(30), 0.0) - 30.0).abs() < 1e-9);
        assert!(seconds(Some(30), 0.9) > 30.0);
        assert!(seconds(Some(86_400), 0.9) < 901.0);
        assert!(seconds(None, 0.0) >= 1.0);
    }
}
