//! From the times of recorded products to the speed of an adapter.

use protocol::KernelSpeed;

/// How long a recording of equal dispatches took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Dispatches in it.
    pub dispatches: usize,
    /// Milliseconds from handing it over to hearing of its end.
    pub ms: f64,
}

/// The median; for an even count the mean of the two in the middle. 0 for none.
pub fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let half = times.len() / 2;
    match times.len() {
        0 => 0.0,
        n if n % 2 == 1 => times[half],
        _ => (times[half - 1] + times[half]) / 2.0,
    }
}

/// The speed that explains the times.
///
/// `idle` are a short and a long recording of products that are all overhead: their slope is the time of a dispatch, what is
/// left of the short one the round trip. `busy` are one or two recordings of products of `flops` operations: their slope is the
/// time of a product, or, where there is one, what is left of it without the round trip.
pub fn fit(idle: [Sample; 2], busy: &[Sample], flops: u64) -> KernelSpeed {
    let dispatch_ms = slope(idle[0], idle[1]).max(0.0);
    let round_trip_ms = (idle[0].ms - idle[0].dispatches as f64 * dispatch_ms).max(0.0);
    let product_ms = match busy {
        [] => 0.0,
        [only] => (only.ms - round_trip_ms) / only.dispatches as f64,
        [short, .., long] => {
            let slope = slope(*short, *long);
            // Noise that makes the longer one the quicker: its whole time is an upper bound.
            if slope > 0.0 {
                slope
            } else {
                long.ms / long.dispatches as f64
            }
        }
    };
    // No clock of a browser tells less than 5 µs apart.
    let product_ms = product_ms.max(0.005);
    KernelSpeed {
        flops_per_second: flops as f64 / product_ms * 1e3,
        dispatch_ms,
        round_trip_ms,
        upload_bytes_per_second: None,
    }
}

/// Bytes per second where writing `bytes` and hearing of it took `ms` milliseconds, of which `round_trip_ms` had nothing to do with
/// them.
pub fn upload(bytes: usize, ms: f64, round_trip_ms: f64) -> f64 {
    // No clock of a browser tells less than 5 µs apart; noise may make the round trip the longer one.
    let own = ms - round_trip_ms;
    let own = if own > 0.0 { own } else { ms };
    bytes as f64 / own.max(0.005) * 1e3
}

/// Milliseconds per dispatch.
fn slope(short: Sample, long: Sample) -> f64 {
    (long.ms - short.ms) / (long.dispatches as f64 - short.dispatches as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(fixed: f64, each: f64) -> [Sample; 2] {
        [1, 32].map(|dispatches| Sample {
            dispatches,
            ms: fixed + each * dispatches as f64,
        })
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn medians() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }

    /// A device that takes 2 ms to answer, 0.01 ms per dispatch and 0.5 ms per product of 10⁹ operations.
    #[test]
    fn a_made_up_device_is_recovered() {
        let speed = fit(samples(2.0, 0.01), &samples(2.0, 0.5), 1_000_000_000);
        assert!(close(speed.dispatch_ms, 0.01));
        assert!(close(speed.round_trip_ms, 2.0));
        assert!(close(speed.flops_per_second, 2e12));
    }

    #[test]
    fn bytes_take_their_time_without_the_round_trip() {
        assert!(close(upload(16_000_000, 18.0, 2.0), 1e9));
        assert!(close(upload(16_000_000, 2.0, 2.0), 8e9));
        assert!(upload(16_000_000, 0.0, 0.0).is_finite());
    }

    #[test]
    fn one_slow_product_is_enough() {
        let [one, _] = samples(2.0, 100.0);
        let speed = fit(samples(2.0, 0.01), &[one], 1_000_000_000);
        assert!(close(speed.flops_per_second, 1e10));
    }

    #[test]
    fn noise_never_makes_a_device_infinitely_fast() {
        let flat = [1, 32].map(|dispatches| Sample {
            dispatches,
            ms: 1.0,
        });
        let backwards = [
            Sample {
                dispatches: 1,
                ms: 5.0,
            },
            Sample {
                dispatches: 32,
                ms: 4.0,
            },
        ];
        for busy in [flat, backwards] {
            let speed = fit(flat, &busy, 1_000_000_000);
            assert!(speed.flops_per_second.is_finite() && speed.flops_per_second <= 2e14);
            assert!(speed.dispatch_ms >= 0.0 && speed.round_trip_ms >= 0.0);
        }
    }
}
