//! A circuit breaker: an endpoint that keeps failing is left alone for a while, then tried with one request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest pause, in multiples of the first one.
const MAX_GROWTH: u32 = 16;

/// Counts an endpoint's failures and decides whether the next request is sent.
#[derive(Debug)]
pub struct Breaker {
    /// Failures in a row that open it.
    threshold: u32,
    /// First pause.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One request is on its way.
    Probing {
        pause: Duration,
    },
}

/// Leave to send one request. Dropped without a verdict, it counts as not sent.
#[must_use]
pub struct Admission<'a> {
    breaker: &'a Breaker,
    settled: bool,
}

impl Breaker {
    /// A closed breaker that opens for `pause` after `threshold` failures in a row.
    pub fn new(threshold: u32, pause: Duration) -> Self {
        Self {
            threshold,
            pause,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    /// Asks to send a request at `now`.
    ///
    /// # Errors
    /// The time until it is worth asking again.
    pub fn admit(&self, now: Instant) -> Result<Admission<'_>, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => {}
            State::Open { until, pause } if now >= until => *state = State::Probing { pause },
            State::Open { until, .. } => return Err(until - now),
            State::Probing { .. } => return Err(Duration::from_secs(1)),
        }
        Ok(Admission {
            breaker: self,
            settled: false,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission<'_> {
    /// The endpoint did its part.
    pub fn succeeded(mut self) {
        self.settled = true;
        *self.breaker.lock() = State::Closed { failures: 0 };
    }

    /// The endpoint failed at `now`.
    pub fn failed(mut self, now: Instant) {
        self.settled = true;
        let breaker = self.breaker;
        let mut state = breaker.lock();
        let open = |pause| State::Open {
            until: now + pause,
            pause,
        };
        *state = match *state {
            State::Closed { failures } if failures + 1 < breaker.threshold => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => open(breaker.pause),
            State::Probing { pause } => open((pause * 2).min(breaker.pause * MAX_GROWTH)),
            // A request that was sent before it opened.
            State::Open { .. } => *state,
        };
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut state = self.breaker.lock();
        if let State::Probing { pause } = *state {
            *state = State::Open {
                until: Instant::now(),
                pause,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    fn refused(breaker: &Breaker, now: Instant) -> Duration {
        match breaker.admit(now) {
            Ok(_) => panic!("admitted"),
            Err(wait) => wait,
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_success_closes_it() {
        let (breaker, now) = (Breaker::new(3, PAUSE), Instant::now());
        for _ in 0..2 {
            breaker.admit(now).unwrap().failed(now);
        }
        breaker.admit(now).unwrap().succeeded();
        for _ in 0..3 {
            breaker.admit(now).unwrap().failed(now);
        }
        assert_eq!(refused(&breaker, now), PAUSE);
        assert_eq!(refused(&breaker, now + PAUSE / 2), PAUSE / 2);
        breaker.admit(now + PAUSE).unwrap().succeeded();
        breaker.admit(now + PAUSE).unwrap().succeeded();
    }

    #[test]
    fn one_request_probes_and_its_failure_doubles_the_pause_up_to_a_bound() {
        let breaker = Breaker::new(1, PAUSE);
        let mut now = Instant::now();
        breaker.admit(now).unwrap().failed(now);
        for factor in [2, 4, 8, 16, 16] {
            now += refused(&breaker, now);
            let probe = breaker.admit(now).unwrap();
            assert!(breaker.admit(now).is_err());
            probe.failed(now);
            assert_eq!(refused(&breaker, now), PAUSE * factor);
        }
    }

    #[test]
    fn a_probe_that_was_given_up_frees_its_place() {
        let breaker = Breaker::new(1, Duration::ZERO);
        let now = Instant::now();
        breaker.admit(now).unwrap().failed(now);
        drop(breaker.admit(now).unwrap());
        let later = Instant::now();
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn late_failures_do_not_prolong_the_pause() {
        let (breaker, now) = (Breaker::new(1, PAUSE), Instant::now());
        let (first, second) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        first.failed(now);
        second.failed(now + PAUSE / 2);
        assert_eq!(refused(&breaker, now + PAUSE / 2), PAUSE / 2);
    }
}
