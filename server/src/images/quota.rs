//! How much a client may upload.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use protocol::{LimitName, Problem, ProblemCode};

use super::owner::{Client, OwnerId};
use crate::network::Network;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Commits for every upload that may be announced: one that fails may be tried again.
const COMMITS_PER_UPLOAD: u32 = 2;
/// Reports of one owner per hour.
const REPORTS_PER_HOUR: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// People behind one address.
const OWNERS_PER_ADDRESS: u32 = 4;

/// What is counted, as a refusal says it, and its limits' names.
struct Counted {
    what: &'static str,
    of_owner: LimitName,
    of_address: LimitName,
}

const UPLOADS: Counted = Counted {
    what: "uploads in the last hour",
    of_owner: LimitName::UploadsPerHour,
    of_address: LimitName::UploadsPerHourOfAddress,
};
const BYTES: Counted = Counted {
    what: "bytes in the last day",
    of_owner: LimitName::BytesPerDay,
    of_address: LimitName::BytesPerDayOfAddress,
};
const COMMITS: Counted = Counted {
    what: "commits in the last hour",
    of_owner: LimitName::CommitsPerHour,
    of_address: LimitName::CommitsPerHourOfAddress,
};
const REPORTS: Counted = Counted {
    what: "reports in the last hour",
    of_owner: LimitName::ReportsPerHour,
    of_address: LimitName::ReportsPerHourOfAddress,
};

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
    uploads: Meter,
    kibibytes: Meter,
    commits: Meter,
    reports: Meter,
}

/// What owners and their networks used of one thing.
struct Meter {
    counted: Counted,
    period: Duration,
    owners: DefaultKeyedRateLimiter<OwnerId>,
    networks: DefaultKeyedRateLimiter<Network>,
}

impl Meter {
    /// `units` in a `period` for an owner.
    fn new(counted: Counted, units: NonZeroU32, period: Duration) -> Self {
        Self {
            counted,
            period,
            owners: limiter(units, 1, period),
            networks: limiter(units, OWNERS_PER_ADDRESS, period),
        }
    }

    fn take(
        &self,
        owner: Option<&OwnerId>,
        network: Network,
        units: NonZeroU32,
    ) -> Result<(), Problem> {
        let limited = |name: LimitName| {
            move |wait: Option<Duration>| {
                limited(self.counted.what, wait.unwrap_or(self.period)).with_limit(name)
            }
        };
        take(&self.networks, &network, units).map_err(limited(self.counted.of_address))?;
        match owner {
            Some(owner) => take(&self.owners, owner, units).map_err(limited(self.counted.of_owner)),
            None => Ok(()),
        }
    }

    fn forget_idle(&self) {
        forget_idle(&self.owners);
        forget_idle(&self.networks);
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
        let times = |units: NonZeroU32, factor: u32| {
            units.saturating_mul(NonZeroU32::MIN.saturating_add(factor - 1))
        };
        let commits = times(limits.per_hour, COMMITS_PER_UPLOAD);
        let kibibytes = times(limits.mebibytes_per_day, 1024);
        Self {
            uploads: Meter::new(UPLOADS, limits.per_hour, HOUR),
            kibibytes: Meter::new(BYTES, kibibytes, DAY),
            commits: Meter::new(COMMITS, commits, HOUR),
            reports: Meter::new(REPORTS, REPORTS_PER_HOUR, HOUR),
        }
    }

    /// Counts an attempt to commit.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with the limit's name and `retry_after`.
    pub fn take_commit(&self, owner: &OwnerId, address: IpAddr) -> Result<(), Problem> {
        self.commits
            .take(Some(owner), address.into(), NonZeroU32::MIN)
    }

    /// Counts a report.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with the limit's name and `retry_after`.
    pub fn take_report(&self, owner: Option<&OwnerId>, address: IpAddr) -> Result<(), Problem> {
        self.reports
            .take(owner, address.into(), NonZeroU32::MIN)
            .map_err(|problem| problem.with_hint("Thank you; the operator has your other reports."))
    }

    /// Counts an upload of `bytes`.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with the limit's name and `retry_after`.
    pub fn take(&self, client: &Client, bytes: u64) -> Result<(), Problem> {
        self.take_bytes(Some(&client.owner), client.address.into(), bytes)
    }

    /// Counts a picture to begin with, or a mask, like an upload.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with the limit's name and `retry_after`.
    pub fn take_input(
        &self,
        owner: Option<&OwnerId>,
        address: IpAddr,
        bytes: u64,
    ) -> Result<(), Problem> {
        self.take_bytes(owner, address.into(), bytes)
            .map_err(|problem| problem.with_hint("Make the picture in your browser, or wait."))
    }

    fn take_bytes(
        &self,
        owner: Option<&OwnerId>,
        network: Network,
        bytes: u64,
    ) -> Result<(), Problem> {
        self.uploads.take(owner, network, NonZeroU32::MIN)?;
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        match NonZeroU32::new(kibibytes) {
            Some(units) => self.kibibytes.take(owner, network, units),
            None => Ok(()),
        }
    }

    /// Forgets clients whose quota is whole again.
    pub fn forget_idle(&self) {
        for meter in [&self.uploads, &self.kibibytes, &self.commits, &self.reports] {
            meter.forget_idle();
        }
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
        assert_eq!(refused.limit, Some(LimitName::UploadsPerHour));
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
        assert_eq!(refused.limit, Some(LimitName::BytesPerDay));
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
        assert_eq!(refused.limit, Some(LimitName::CommitsPerHour));
        // Four people behind the address; the refused attempt counts there.
        let taken = (0..24).filter(|n| {
            let owner = OwnerId::of(&format!("b{n}"));
            quota.take_commit(&owner, address).is_ok()
        });
        assert_eq!(taken.count(), 24 - 7);
        let refused = quota.take_commit(&OwnerId::of("c"), address).unwrap_err();
        assert_eq!(refused.limit, Some(LimitName::CommitsPerHourOfAddress));
        let elsewhere = "10.0.0.2".parse().unwrap();
        quota.take_commit(&OwnerId::of("b0"), elsewhere).unwrap();
    }

    #[test]
    fn reporters_without_a_cookie_are_counted_by_address() {
        let quota = quota(1, 1);
        let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let taken = (0..200).filter(|_| quota.take_report(None, here).is_ok());
        assert_eq!(taken.count(), 80);
        let refused = quota.take_report(None, here).unwrap_err();
        assert_eq!(refused.limit, Some(LimitName::ReportsPerHourOfAddress));
        quota.take_report(None, there).unwrap();
    }

    #[test]
    fn who_used_nothing_is_forgotten() {
        let quota = quota(3_600_000, 1 << 20);
        quota.take(&client("a", "10.0.0.1"), 1).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        quota.forget_idle();
        assert!(quota.uploads.owners.is_empty() && quota.kibibytes.owners.is_empty());
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
            let refused = quota.take(&client("new", address), 1).unwrap_err();
            assert_eq!(refused.limit, Some(LimitName::UploadsPerHourOfAddress));
        }
        quota.take(&client("new", "2001:db8:0:1::1"), 1).unwrap();
    }
}
