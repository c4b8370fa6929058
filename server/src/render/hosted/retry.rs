//! When to send a request again.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// Upper bound of the first pause.
const FIRST: Duration = Duration::from_millis(250);
/// Upper bound of every pause that the endpoint did not ask for.
const LONGEST: Duration = Duration::from_secs(8);

/// Pause after failed attempt number `attempt` (from 1): exponential with full jitter, at least what the endpoint
/// asked for. `random` is uniform in [0, 1).
pub fn pause(attempt: u32, asked: Option<Duration>, random: f64) -> Duration {
    let growth = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let bound = FIRST.saturating_mul(growth).min(LONGEST);
    let jittered = bound.mul_f64(random);
    asked.map_or(jittered, |asked| asked + jittered)
}

/// `Retry-After` in either form (RFC 9110, 10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let longest = |attempt| pause(attempt, None, 1.0);
        assert_eq!(longest(1), FIRST);
        assert_eq!(longest(2), 2 * FIRST);
        assert_eq!(longest(40), LONGEST);
        assert_eq!(pause(3, None, 0.0), Duration::ZERO);
        let asked = Duration::from_secs(20);
        assert_eq!(pause(1, Some(asked), 0.0), asked);
        assert!((0.0..1.0).contains(&crate::random::fraction()));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let read = |value: &str, now| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers, now)
        };
        // The example of RFC 9110 is 1999-12-31 23:59:59 GMT, 946684799 s after the epoch.
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_799);
        let seconds = Duration::from_secs;
        assert_eq!(read("120", then), Some(seconds(120)));
        assert_eq!(read(date, then - seconds(90)), Some(seconds(90)));
        assert_eq!(read(date, then + seconds(90)), Some(seconds(0)));
        assert_eq!(read("soon", then), None);
    }
}
