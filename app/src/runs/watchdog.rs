//! Notices that a run has stopped moving.

/// Longest time that one look counts for: timers of a hidden tab come late, those of a frozen one not at all.
const LOOK_MS: f64 = 2_000.0;
/// Silence of a worker whose event loop is free, after which it is dead; it speaks every two seconds.
const DEAD_MS: f64 = 30_000.0;
/// Longest time for loading and for a step, unless the whole picture was expected to take some of it.
const FIRST_MS: f64 = 900_000.0;
/// Shortest limit of a step.
const LEAST_STEP_MS: f64 = 60_000.0;
/// A step may take this many times as long as the longest one so far.
const FACTOR: f64 = 20.0;
/// A step may take this many times as long as the picture would at the speed that was measured, which no model reaches.
const PATIENCE: f64 = 4.0;

/// Counts the time that the page was awake and nothing happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Watchdog {
    /// Whether the worker speaks while it waits for its device; one that computes itself does not.
    speaks: bool,
    /// Whether the run waits for the network or the visitor.
    resting: bool,
    /// Longest time for a step.
    most_ms: f64,
    silent_ms: f64,
    still_ms: f64,
    longest_step_ms: Option<f64>,
}

/// What the watchdog makes of the silence; the time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alarm {
    /// The worker no longer speaks.
    Dead(f64),
    /// It speaks, but the run does not move.
    Hung(f64),
}

impl Watchdog {
    /// For a run whose worker speaks while it waits; `expected_ms` is the least time that its picture takes, where that is known.
    pub fn new(speaks: bool, expected_ms: Option<f64>) -> Self {
        let expected_ms = expected_ms.unwrap_or_default();
        Self {
            speaks,
            resting: false,
            most_ms: FIRST_MS.max(expected_ms * PATIENCE),
            silent_ms: 0.0,
            still_ms: 0.0,
            longest_step_ms: None,
        }
    }

    /// The worker said that it lives.
    pub fn heard(&mut self) {
        self.silent_ms = 0.0;
    }

    /// The run moved on; `resting` while it waits for the network or the visitor.
    pub fn moved(&mut self, resting: bool) {
        self.heard();
        self.still_ms = 0.0;
        self.resting = resting;
    }

    /// A step ended, `ms` after the one before.
    pub fn stepped(&mut self, ms: f64) {
        self.moved(false);
        self.longest_step_ms = Some(self.longest_step_ms.unwrap_or_default().max(ms));
    }

    /// `elapsed_ms` have passed since the last call, before whatever was heard now.
    pub fn wait(&mut self, elapsed_ms: f64) {
        let counted = elapsed_ms.clamp(0.0, LOOK_MS);
        self.silent_ms += counted;
        self.still_ms += counted;
    }

    /// Whether it has been too long.
    pub fn alarm(&self) -> Option<Alarm> {
        if self.speaks && self.silent_ms >= DEAD_MS {
            return Some(Alarm::Dead(self.silent_ms));
        }
        if self.resting {
            return None;
        }
        let limit = self.longest_step_ms.map_or(self.most_ms, |longest| {
            (longest * FACTOR).clamp(LEAST_STEP_MS, self.most_ms)
        });
        (self.still_ms >= limit).then_some(Alarm::Hung(self.still_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second while the worker keeps speaking, or not.
    fn after_seconds(dog: &mut Watchdog, speaking: bool) -> (u32, Alarm) {
        for second in 1.. {
            dog.wait(1_000.0);
            if speaking {
                dog.heard();
            }
            if let Some(alarm) = dog.alarm() {
                return (second, alarm);
            }
        }
        unreachable!()
    }

    #[test]
    fn a_silent_worker_is_dead_and_a_speaking_one_hung() {
        let mut dog = Watchdog::new(true, None);
        assert_eq!(after_seconds(&mut dog, false), (30, Alarm::Dead(30_000.0)));
        let mut dog = Watchdog::new(true, None);
        assert_eq!(after_seconds(&mut dog, true), (900, Alarm::Hung(900_000.0)));
        // A worker that computes itself is silent for as long as a step may take.
        let mut dog = Watchdog::new(false, None);
        assert_eq!(
            after_seconds(&mut dog, false),
            (900, Alarm::Hung(900_000.0))
        );
    }

    #[test]
    fn a_picture_that_is_known_to_be_slow_is_waited_for() {
        for (expected_s, limit_s) in [(10.0, 900), (225.0, 900), (3_000.0, 12_000)] {
            let mut dog = Watchdog::new(true, Some(expected_s * 1e3));
            assert_eq!(after_seconds(&mut dog, true).0, limit_s, "{expected_s}");
        }
        // Nor does a long step make the next one late.
        let mut dog = Watchdog::new(true, Some(3_000_000.0));
        dog.stepped(1_000_000.0);
        assert_eq!(after_seconds(&mut dog, true).0, 12_000);
    }

    #[test]
    fn the_limit_follows_the_steps() {
        for (step_ms, seconds) in [(100.0, 60), (6_000.0, 120), (600_000.0, 900)] {
            let mut dog = Watchdog::new(true, None);
            dog.stepped(step_ms);
            dog.stepped(50.0);
            assert_eq!(after_seconds(&mut dog, true).0, seconds, "{step_ms}");
        }
    }

    #[test]
    fn a_page_that_slept_did_not_wait() {
        let mut dog = Watchdog::new(true, None);
        dog.stepped(100.0);
        for _ in 0..14 {
            dog.wait(3_600_000.0);
            assert_eq!(dog.alarm(), None);
        }
        dog.wait(3_600_000.0);
        assert!(dog.alarm().is_some());
    }

    #[test]
    fn waiting_for_network_or_visitor_is_no_fault() {
        let mut dog = Watchdog::new(true, None);
        dog.moved(true);
        for _ in 0..5_000 {
            dog.wait(1_000.0);
            dog.heard();
            assert_eq!(dog.alarm(), None);
        }
        // But its worker must live.
        assert_eq!(after_seconds(&mut dog, false).0, 30);
    }
}
