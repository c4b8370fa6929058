//! Whether a worker should go on taking jobs.

use std::time::Duration;

use super::super::redelivery::Backoff;

/// Failures in a row from which a worker steps back.
const TWICE: u32 = 2;

/// Counts failures in a row for which the worker itself is the reason: its device is lost, its renderer crashed or got
/// stuck, its memory was too small.
pub struct Health {
    pauses: Backoff,
    failures: u32,
    reason: String,
}

impl Health {
    pub fn new(pauses: Backoff) -> Self {
        Self {
            pauses,
            failures: 0,
            reason: String::new(),
        }
    }

    /// It failed for a reason of its own.
    pub fn failed(&mut self, reason: &str) {
        self.failures = self.failures.saturating_add(1);
        reason.clone_into(&mut self.reason);
    }

    /// It did its part, whatever became of the job.
    pub fn did_its_part(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row, and the reason of the latest one.
    pub fn failures(&self) -> (u32, &str) {
        (self.failures, &self.reason)
    }

    /// How long it should leave the queue to others, if it should. `spread` is uniform in [0, 1).
    pub fn rest(&self, spread: f64) -> Option<Duration> {
        let beyond = self.failures.checked_sub(TWICE - 1).filter(|n| *n > 0)?;
        Some(self.pauses.pause(beyond, spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_from_the_second_failure_in_a_row_and_longer_each_time() {
        let seconds = Duration::from_secs;
        let mut health = Health::new(Backoff {
            first: seconds(5),
            longest: seconds(15),
        });
        assert_eq!(health.rest(0.0), None);
        let mut rests = Vec::new();
        for _ in 0..5 {
            health.failed("the GPU went away");
            rests.push(health.rest(0.0));
        }
        let grown = [None, Some(5), Some(10), Some(15), Some(15)];
        assert_eq!(rests, grown.map(|rest| rest.map(seconds)));
        assert_eq!(health.failures(), (5, "the GPU went away"));
        health.did_its_part();
        health.failed("again");
        assert_eq!(health.rest(0.0), None);
    }
}
