//! Wrong tokens, counted by where they came from.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::network::Network;

/// Wrong tokens of an address before it has to wait.
const MOST: u32 = 10;
/// How long they count.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Addresses that are counted; where there are more, what counted longest is forgotten.
const ADDRESSES: usize = 4096;

#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<Network, Count>>);

#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    failed: u32,
}

impl Attempts {
    /// How long an address has to wait before its next token is looked at, if it has to: a right one is not, either, since otherwise
    /// one could go on guessing.
    pub fn wait(&self, from: Network, now: Instant) -> Option<Duration> {
        let counts = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let count = counts.get(&from).filter(|count| count.failed >= MOST)?;
        let left = WINDOW.checked_sub(now.duration_since(count.since))?;
        (!left.is_zero()).then_some(left)
    }

    /// A wrong token came from there.
    pub fn failed(&self, from: Network, now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if counts.len() >= ADDRESSES && !counts.contains_key(&from) {
            counts.retain(|_, count| now.duration_since(count.since) < WINDOW);
            let oldest = counts.iter().min_by_key(|(_, count)| count.since);
            if let Some(oldest) = oldest.map(|(network, _)| *network)
                && counts.len() >= ADDRESSES
            {
                counts.remove(&oldest);
            }
        }
        let fresh = Count {
            since: now,
            failed: 0,
        };
        let count = counts.entry(from).or_insert(fresh);
        if now.duration_since(count.since) >= WINDOW {
            *count = fresh;
        }
        count.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_guesses_has_to_wait_and_nobody_else() {
        let attempts = Attempts::default();
        let network = |address: &str| address.parse::<Network>().unwrap();
        let (one, other) = (network("192.0.2.1"), network("192.0.2.2"));
        let begun = Instant::now();
        for _ in 0..MOST {
            assert_eq!(attempts.wait(one, begun), None);
            attempts.failed(one, begun);
        }
        assert_eq!(attempts.wait(one, begun), Some(WINDOW));
        assert_eq!(attempts.wait(other, begun), None);
        assert_eq!(attempts.wait(one, begun + WINDOW), None);
        attempts.failed(one, begun + WINDOW);
        assert_eq!(attempts.wait(one, begun + WINDOW), None);
    }

    #[test]
    fn many_addresses_take_no_more_room() {
        let attempts = Attempts::default();
        let begun = Instant::now();
        for number in 0..ADDRESSES as u32 + 100 {
            let from = Network::from(std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(
                number,
            )));
            attempts.failed(from, begun + Duration::from_millis(number.into()));
        }
        assert_eq!(attempts.0.lock().unwrap().len(), ADDRESSES);
    }
}
