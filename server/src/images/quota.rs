//! How much a client may upload.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use protocol::{Problem, ProblemCode};

use super::owner::{Client, OwnerId};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Commits for every upload that may be announced: one that fails may be tried again.
const COMMITS_PER_UPLOAD: u32 = 2;
/// Reports of one owner per hour.
const REPORTS_PER_HOUR: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
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
    commits: Counts,
    reports: Counts,
}

/// Requests per hour of owners and addresses.
struct Counts {
    owners: DefaultKeyedRateLimiter<OwnerId>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
}

impl Counts {
    fn new(per_hour: NonZeroU32) -> Self {
        Self {
            owners: limiter(per_hour, 1, HOUR),
            addresses: limiter(per_hour, OWNERS_PER_ADDRESS, HOUR),
        }
    }

    fn take(&self, owner: Option<&OwnerId>, address: IpAddr, what: &str) -> Result<(), Problem> {
        let limited = |wait: Option<Duration>| limited(what, wait.unwrap_or(HOUR));
        take(&self.addresses, &subscriber(address), NonZeroU32::MIN).map_err(limited)?;
        match owner {
            Some(owner) => take(&self.owners, owner, NonZeroU32::MIN).map_err(limited),
            None => Ok(()),
        }
    }

    fn forget_idle(&self) {
        forget_idle(&self.owners);
        forget_idle(&self.addresses);
    }
}

fn limiter<K: Hash + Eq + Clone>(
    units: NonZeroU32,
    factor: u32,
    period: Duration,
) -> DefaultKeyedRateLimiter<K> {
    let units = units.saturating_mul(NonZeroU32::MIN.saturating_add(factor - 1));
    let each = (period / units.get()).max(Duration::from_nanos(1));
    let quota = Quota::with_period(each).unwrap_or(Quota::per_second(units));
    RateLimiter::dashmap(quota.allow_burst(units))
}

fn forget_idle<K: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

impl UploadQuota {
    /// Nothing used yet.
    pub fn new(limits: UploadLimits) -> Self {
        Self {
            owners: Meter::new(limits, 1),
            addresses: Meter::new(limits, OWNERS_PER_ADDRESS),
            commits: Counts::new(
                limits
                    .per_hour
                    .saturating_mul(NonZeroU32::MIN.saturating_add(COMMITS_PER_UPLOAD - 1)),
            ),
            reports: Counts::new(REPORTS_PER_HOUR),
        }
    }

    /// Counts an attempt to commit.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with `retry_after`.
    pub fn take_commit(&self, owner: &OwnerId, address: IpAddr) -> Result<(), Problem> {
        self.commits
            .take(Some(owner), address, "commits in the last hour")
    }

    /// Counts a report.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with `retry_after`.
    pub fn take_report(&self, owner: Option<&OwnerId>, address: IpAddr) -> Result<(), Problem> {
        self.reports
            .take(owner, address, "reports in the last hour")
            .map_err(|problem| problem.with_hint("Thank you; the operator has your other reports."))
    }

    /// Counts an upload of `bytes`.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with `retry_after`.
    pub fn take(&self, client: &Client, bytes: u64) -> Result<(), Problem> {
        self.addresses.take(&subscriber(client.address), bytes)?;
        self.owners.take(&client.owner, bytes)
    }

    /// Forgets clients whose quota is whole again.
    pub fn forget_idle(&self) {
        self.owners.forget_idle();
        self.addresses.forget_idle();
        self.commits.forget_idle();
        self.reports.forget_idle();
    }
}

/// Uploads and bytes of each client.
struct Meter<K: Hash + Eq + Clone> {
    uploads: DefaultKeyedRateLimiter<K>,
    kibibytes: DefaultKeyedRateLimiter<K>,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    fn new(limits: UploadLimits, times: u32) -> Self {
        Self {
            uploads: limiter(limits.per_hour, times, HOUR),
            kibibytes: limiter(limits.mebibytes_per_day, times * 1024, DAY),
        }
    }

    fn take(&self, key: &K, bytes: u64) -> Result<(), Problem> {
        take(&self.uploads, key, NonZeroU32::MIN)
            .map_err(|wait| limited("uploads in the last hour", wait.unwrap_or(HOUR)))?;
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        match NonZeroU32::new(kibibytes) {
            Some(count) => take(&self.kibibytes, key, count)
                .map_err(|wait| limited("bytes in the last day", wait.unwrap_or(DAY))),
            None => Ok(()),
        }
    }

    fn forget_idle(&self) {
        forget_idle(&self.uploads);
        forget_idle(&self.kibibytes);
    }
}

/// Takes units, or says how long to wait for them; without a time if a whole quota has fewer.
fn take<K: Hash + Eq + Clone>(
    limiter: &DefaultKeyedRateLimiter<K>,
    key: &K,
    units: NonZeroU32,
) -> Result<(), Option<Duration>> {
    match limiter.check_key_n(key, units) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(until)) => Err(Some(until.wait_time_from(limiter.clock().now()))),
        Err(_) => Err(None),
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
            address: address.parse().unwrap(),
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
    fn an_owner_has_so_many_bytes() {
        let quota = quota(100, 2);
        let a = client("a", "10.0.0.1");
        quota.take(&a, 2 << 20).unwrap();
        let refused = quota.take(&a, 1024).unwrap_err();
        assert_eq!(refused.code, ProblemCode::RateLimited);
        // 1 KiB of 2 MiB a day.
        assert!((40..=43).contains(&refused.retry_after.unwrap()));
        let larger = quota.take(&client("b", "10.0.0.2"), (2 << 20) + 1);
        assert_eq!(larger.unwrap_err().retry_after, Some(24 * 3600 + 1));
    }

    #[test]
    fn commits_are_counted_by_owner_and_by_address() {
        let quota = quota(3, 100);
        let address = "10.0.0.1".parse().unwrap();
        for _ in 0..6 {
            quota.take_commit(&OwnerId::of("a"), address).unwrap();
        }
        let refused = quota.take_commit(&OwnerId::of("a"), address).unwrap_err();
        assert_eq!(refused.code, ProblemCode::RateLimited);
        // Four people behind the address; the refused attempt counts there.
        let taken = (0..24).filter(|n| {
            let owner = OwnerId::of(&format!("b{n}"));
            quota.take_commit(&owner, address).is_ok()
        });
        assert_eq!(taken.count(), 24 - 7);
        let elsewhere = "10.0.0.2".parse().unwrap();
        quota.take_commit(&OwnerId::of("b0"), elsewhere).unwrap();
    }

    #[test]
    fn reporters_without_a_cookie_are_counted_by_address() {
        let quota = quota(1, 1);
        let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let taken = (0..200).filter(|_| quota.take_report(None, here).is_ok());
        assert_eq!(taken.count(), 80);
        quota.take_report(None, there).unwrap();
    }

    #[test]
    fn who_used_nothing_is_forgotten() {
        let quota = quota(3_600_000, 1 << 20);
        quota.take(&client("a", "10.0.0.1"), 1).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        quota.forget_idle();
        assert!(quota.owners.uploads.is_empty() && quota.owners.kibibytes.is_empty());
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
