//! How much a client may upload.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::{Problem, ProblemCode};

use super::owner::{Client, OwnerId};

/// People behind one address.
const OWNERS_PER_ADDRESS: u32 = 4;
/// Network prefix that one IPv6 subscriber has (RFC 6177).
const IPV6_PREFIX_BITS: u32 = 64;

/// Limits of one owner; an address has four times as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// Uploads announced per hour, also at once.
    pub per_hour: NonZeroU32,
    /// Mebibytes announced per day, also at once.
    pub mebibytes_per_day: NonZeroU32,
}

/// What clients have used, in this process.
pub struct UploadQuota {
    owners: Meter<OwnerId>,
    addresses: Meter<IpAddr>,
}

impl UploadQuota {
    /// Nothing used yet.
    pub fn new(limits: UploadLimits) -> Self {
        Self {
            owners: Meter::new(limits, 1),
            addresses: Meter::new(limits, OWNERS_PER_ADDRESS),
        }
    }

    /// Counts an upload of `bytes`.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with `retry_after`.
    pub fn take(&self, client: &Client, bytes: u64) -> Result<(), Problem> {
        let now = Instant::now();
        if let Some(address) = client.address {
            self.addresses.take(subscriber(address), bytes, now)?;
        }
        self.owners.take(client.owner.clone(), bytes, now)
    }

    /// Forgets clients whose quota is whole again.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        self.owners.forget_idle(now);
        self.addresses.forget_idle(now);
    }
}

/// Uploads and bytes of each client.
struct Meter<K> {
    uploads: Limiter<K>,
    bytes: Limiter<K>,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    fn new(limits: UploadLimits, times: u32) -> Self {
        let hour = Duration::from_secs(3600);
        let bytes = u64::from(limits.mebibytes_per_day.get()) << 20;
        Self {
            uploads: Limiter::new(hour, u64::from(limits.per_hour.get()) * u64::from(times)),
            bytes: Limiter::new(24 * hour, bytes * u64::from(times)),
        }
    }

    fn take(&self, key: K, bytes: u64, now: Instant) -> Result<(), Problem> {
        let limited_to = |what| move |wait| limited(what, wait);
        self.uploads
            .take(key.clone(), 1, now)
            .map_err(limited_to("uploads in the last hour"))?;
        self.bytes
            .take(key, bytes, now)
            .map_err(limited_to("bytes in the last day"))
    }

    fn forget_idle(&self, now: Instant) {
        self.uploads.forget_idle(now);
        self.bytes.forget_idle(now);
    }
}

/// The generic cell rate algorithm (ITU-T I.371, as a virtual schedule): so many units per period, also at once.
struct Limiter<K> {
    period: Duration,
    units: u64,
    /// When each client's quota will be whole again.
    whole_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq> Limiter<K> {
    fn new(period: Duration, units: u64) -> Self {
        Self {
            period,
            units,
            whole_at: Mutex::default(),
        }
    }

    /// Takes `units`, or says how long to wait for them.
    fn take(&self, key: K, units: u64, now: Instant) -> Result<(), Duration> {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let known = whole_at.get(&key).copied().unwrap_or(now).max(now);
        let cost = self.period.mul_f64(units as f64 / self.units as f64);
        let next = known + cost;
        let wait = next.duration_since(now).saturating_sub(self.period);
        // Fractions of a nanosecond add up.
        if wait > Duration::from_millis(1) {
            return Err(wait);
        }
        whole_at.insert(key, next);
        Ok(())
    }

    fn forget_idle(&self, now: Instant) {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        whole_at.retain(|_, whole_at| *whole_at > now);
    }
}

/// One IPv6 subscriber has a whole network.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (128 - IPV6_PREFIX_BITS);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
        v4 => v4,
    }
}

fn limited(what: &str, wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_secs())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let mut problem = Problem::new(
        ProblemCode::RateLimited,
        format!("too many {what} from this client"),
    )
    .with_hint("The picture is still in your browser: download it, or save it later.");
    problem.retry_after = Some(seconds);
    problem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn client(token: &str, address: &str) -> Client {
        Client {
            owner: OwnerId::of(token),
            address: address.parse().ok(),
        }
    }

    fn quota(per_hour: u32, mebibytes_per_day: u32) -> UploadQuota {
        UploadQuota::new(UploadLimits {
            per_hour: NonZeroU32::new(per_hour).unwrap(),
            mebibytes_per_day: NonZeroU32::new(mebibytes_per_day).unwrap(),
        })
    }

    #[test]
    fn an_owner_has_so_many_uploads() {
        let quota = quota(3, 100);
        let (a, b) = (client("a", "10.0.0.1"), client("b", "10.0.0.2"));
        for _ in 0..3 {
            quota.take(&a, 1).unwrap();
        }
        let refused = quota.take(&a, 1).unwrap_err();
        assert_eq!(refused.code, ProblemCode::RateLimited);
        assert!((1..=1201).contains(&refused.retry_after.unwrap()));
        quota.take(&b, 1).unwrap();
    }

    #[test]
    fn what_was_used_comes_back_with_time() {
        let limiter = Limiter::new(Duration::from_secs(60), 6);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        limiter.take("a", 6, start).unwrap();
        let wait = limiter.take("a", 1, at(1)).unwrap_err();
        assert!(
            wait.abs_diff(Duration::from_secs(9)) < Duration::from_millis(1),
            "{wait:?}"
        );
        limiter.take("a", 1, at(11)).unwrap();
        assert!(limiter.take("a", 1, at(12)).is_err());
        // Refusals cost nothing; more than a full quota never comes.
        limiter.take("a", 1, at(21)).unwrap();
        assert!(limiter.take("b", 7, at(10_000)).is_err());
        limiter.forget_idle(at(200));
        assert!(limiter.whole_at.lock().unwrap().is_empty());
    }

    #[test]
    fn an_owner_has_so_many_bytes() {
        let quota = quota(100, 2);
        let a = client("a", "10.0.0.1");
        quota.take(&a, 2 << 20).unwrap();
        assert_eq!(
            quota.take(&a, 1024).unwrap_err().code,
            ProblemCode::RateLimited
        );
    }

    #[test]
    fn new_cookies_do_not_help_behind_one_address() {
        let quota = quota(2, 100);
        for n in 0..8 {
            quota
                .take(&client(&n.to_string(), "2001:db8::1"), 1)
                .unwrap();
        }
        for address in ["2001:db8::1", "2001:db8::ffff"] {
            assert!(quota.take(&client("new", address), 1).is_err());
        }
        quota.take(&client("new", "2001:db8:0:1::1"), 1).unwrap();
    }
}
