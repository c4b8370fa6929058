//! How fast bytes arrive.

use std::collections::VecDeque;

/// Time that the speed is averaged over, in milliseconds.
const WINDOW_MS: f64 = 5_000.0;
/// Shortest time that a speed is told of, in milliseconds.
const LEAST_MS: f64 = 500.0;

/// Bytes per second over the last seconds.
#[derive(Clone, Debug, Default)]
pub struct Speed {
    /// Time in milliseconds and bytes so far.
    seen: VecDeque<(f64, u64)>,
}

impl Speed {
    /// `bytes` have arrived so far at `now_ms`.
    pub fn record(&mut self, now_ms: f64, bytes: u64) {
        self.seen.push_back((now_ms, bytes));
        while self.seen.len() > 2 && self.seen[1].0 < now_ms - WINDOW_MS {
            self.seen.pop_front();
        }
    }

    /// Forgets the time that was waited.
    pub fn pause(&mut self) {
        self.seen.clear();
    }

    /// Bytes per second; unknown at first.
    pub fn bytes_per_second(&self) -> Option<f64> {
        let ((began, first), (now, last)) = (*self.seen.front()?, *self.seen.back()?);
        let elapsed = now - began;
        (elapsed >= LEAST_MS).then(|| last.saturating_sub(first) as f64 * 1e3 / elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seconds_count() {
        let mut speed = Speed::default();
        speed.record(0.0, 0);
        assert_eq!(speed.bytes_per_second(), None);
        speed.record(1_000.0, 1_000_000);
        assert_eq!(speed.bytes_per_second(), Some(1e6));
        // Ten seconds later at ten times the speed.
        for second in 2..=12u32 {
            let bytes = 1_000_000 + u64::from(second - 1) * 10_000_000;
            speed.record(f64::from(second) * 1e3, bytes);
        }
        assert_eq!(speed.bytes_per_second(), Some(1e7));
    }

    #[test]
    fn a_pause_is_not_slowness() {
        let mut speed = Speed::default();
        speed.record(0.0, 0);
        speed.record(1_000.0, 1_000_000);
        speed.pause();
        assert_eq!(speed.bytes_per_second(), None);
        speed.record(60_000.0, 1_000_000);
        speed.record(61_000.0, 2_000_000);
        assert_eq!(speed.bytes_per_second(), Some(1e6));
    }
}
