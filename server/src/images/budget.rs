//! What is stored for all clients together, counted from the store itself: a restart forgets nothing.
//!
//! Now and then the bytes of pictures and thumbnails are listed and summed up. What this process lets in is added to
//! the last sum until a sum that was begun later has it. What other replicas let in is known from the next sum on.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use protocol::{LimitName, Problem, ProblemCode};
use tokio::time::Instant;

use self::sum::Sum;
use super::references::now;
use super::{ImageId, Images};
use crate::storage::Audience;
use crate::telemetry::metrics::names;

mod sum;

/// A sum that is older is made anew before anything is let in.
const OLD: Duration = Duration::from_secs(600);
/// One that is older is made anew before anything is refused.
const STALE: Duration = Duration::from_secs(60);
/// How much longer than a sum took the next one is waited for at least, however many are refused.
const REST: u32 = 10;
/// When a client that finds no room may ask again, in seconds.
const AGAIN: u32 = 600;

/// What may be stored for all clients; absent: as much as the store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageLimits {
    /// Bytes, whenever they came.
    pub in_all: Option<NonZeroU64>,
    /// Bytes that came in the last day.
    pub per_day: Option<NonZeroU64>,
}

impl StorageLimits {
    /// Limits in mebibytes.
    pub fn of_mebibytes(in_all: Option<NonZeroU32>, per_day: Option<NonZeroU32>) -> Self {
        let mebibyte =
            NonZeroU64::MIN.saturating_mul(NonZeroU64::MIN.saturating_add((1 << 20) - 1));
        let bytes = |limit: NonZeroU32| NonZeroU64::from(limit).saturating_mul(mebibyte);
        Self {
            in_all: in_all.map(bytes),
            per_day: per_day.map(bytes),
        }
    }

    /// Those that hold for whoever writes: a picture that was made here is not thrown away for the day's limit, which
    /// refused further jobs.
    fn of(self, audience: Audience) -> Self {
        match audience {
            Audience::Public => self,
            Audience::Internal => Self {
                per_day: None,
                ..self
            },
        }
    }
}

/// What this process knows to be stored.
#[derive(Default)]
pub struct Holdings {
    limits: StorageLimits,
    known: Mutex<Known>,
    /// One sum at a time.
    summing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    sum: Option<Sum>,
    /// What was let in and the sum may lack.
    since: HashMap<ImageId, Since>,
    /// When bytes were last removed.
    shrank: Option<Instant>,
}

/// Bytes of one picture. They are in every sum begun after `settled`: then they have arrived, or no longer can.
struct Since {
    bytes: u64,
    settled: Instant,
}

impl Known {
    fn since(&self) -> u64 {
        self.since.values().map(|since| since.bytes).sum()
    }

    fn in_all(&self) -> u64 {
        self.sum.as_ref().map_or(0, Sum::bytes) + self.since()
    }

    fn of_day(&self, now: u64) -> u64 {
        self.sum.as_ref().map_or(0, |sum| sum.of_day(now)) + self.since()
    }

    /// Whether the sum is too old to let something in by it, or, where it would refuse, to do that.
    fn is_outdated(&self, refusing: bool) -> bool {
        let Some(sum) = &self.sum else {
            return true;
        };
        let age = sum.begun.elapsed();
        let shrank = self.shrank.is_some_and(|at| at >= sum.begun);
        let stale = age > STALE || shrank;
        age > OLD || (refusing && stale && age > sum.took * REST)
    }

    fn check(&self, limits: StorageLimits, bytes: u64) -> Result<(), Problem> {
        if let Some(limit) = limits.in_all
            && self.in_all().saturating_add(bytes) > limit.get()
        {
            return Err(full(limit));
        }
        if let Some(limit) = limits.per_day {
            let now = now();
            let over = self.of_day(now).saturating_add(bytes);
            let over = over.saturating_sub(limit.get());
            if over > 0 {
                let wait = self.sum.as_ref().and_then(|sum| sum.time_to(over, now));
                return Err(spent(limit, wait.unwrap_or(sum::DAY)));
            }
        }
        Ok(())
    }
}

impl Holdings {
    /// Nothing is known yet.
    pub fn new(limits: StorageLimits) -> Self {
        for (limit, name) in [
            (limits.in_all, LimitName::BytesInAll),
            (limits.per_day, LimitName::BytesPerDayOfAll),
        ] {
            if let Some(limit) = limit {
                gauge!(names::STORED_BYTES_LIMIT, "limit" => name.name()).set(limit.get() as f64);
            }
        }
        Self {
            limits,
            ..Self::default()
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What nobody sums up is not kept in mind.
    fn is_counted(&self, known: &Known) -> bool {
        known.sum.is_some() || self.limits != StorageLimits::default()
    }

    /// An announced upload came to nothing.
    pub fn forget(&self, id: &ImageId) {
        self.known().since.remove(id);
    }

    /// More is written for a picture than was announced.
    pub fn grows(&self, id: &ImageId, bytes: u64) {
        let mut known = self.known();
        if !self.is_counted(&known) {
            return;
        }
        let since = known.since.entry(id.clone()).or_insert_with(|| Since {
            bytes: 0,
            settled: Instant::now(),
        });
        since.bytes += bytes;
    }

    /// All of a picture is in the store.
    pub fn settled(&self, id: &ImageId) {
        let mut known = self.known();
        if let Some(since) = known.since.get_mut(id) {
            since.settled = Instant::now();
        }
        known.tell();
    }

    /// Bytes were removed: there may be room again.
    pub fn shrank(&self) {
        self.known().shrank = Some(Instant::now());
    }
}

impl Known {
    fn tell(&self) {
        if self.sum.is_some() {
            gauge!(names::STORED_BYTES).set(self.in_all() as f64);
            gauge!(names::STORED_BYTES_OF_DAY).set(self.of_day(now()) as f64);
        }
    }
}

impl Images {
    /// Whether the hub holds as much as it may.
    pub fn is_full(&self) -> bool {
        let limit = self.holdings.limits.in_all;
        limit.is_some_and(|limit| self.holdings.known().in_all() >= limit.get())
    }

    /// Whether `bytes` more may be stored for somebody.
    ///
    /// # Errors
    /// [`ProblemCode::StorageFull`] and [`ProblemCode::RateLimited`] with the limit's name and `retry_after`;
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn check_room(&self, bytes: u64) -> Result<(), Problem> {
        self.with_room(self.holdings.limits, |known, limits| {
            known.check(limits, bytes)
        })
        .await
    }

    /// As [`Self::check_room`], and counts them with what is stored: as long as they may arrive, which is for `valid`,
    /// or are there.
    pub(super) async fn take_room(
        &self,
        id: &ImageId,
        bytes: u64,
        audience: Audience,
        valid: Duration,
    ) -> Result<(), Problem> {
        let limits = self.holdings.limits.of(audience);
        if !self.holdings.is_counted(&self.holdings.known()) {
            return Ok(());
        }
        self.with_room(limits, |known, limits| {
            // An upload that is announced once more is still one.
            let before = known.since.remove(id);
            if let Err(problem) = known.check(limits, bytes) {
                known
                    .since
                    .extend(before.map(|before| (id.clone(), before)));
                return Err(problem);
            }
            let since = Since {
                bytes,
                settled: Instant::now() + valid,
            };
            known.since.insert(id.clone(), since);
            Ok(())
        })
        .await
    }

    /// Does `take` by a sum that is new enough, once more by a newer one where it would refuse.
    async fn with_room(
        &self,
        limits: StorageLimits,
        mut take: impl FnMut(&mut Known, StorageLimits) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if limits == StorageLimits::default() {
            return take(&mut self.holdings.known(), limits);
        }
        self.sum_up_if(|known| known.is_outdated(false)).await?;
        let taken = take(&mut self.holdings.known(), limits);
        if taken.is_ok() {
            return taken;
        }
        self.sum_up_if(|known| known.is_outdated(true)).await?;
        take(&mut self.holdings.known(), limits)
    }

    /// Sums up what is stored.
    ///
    /// # Errors
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn count_stored(&self) -> Result<(), Problem> {
        self.sum_up_if(|_| true).await
    }

    async fn sum_up_if(&self, needed: impl Fn(&Known) -> bool) -> Result<(), Problem> {
        if !needed(&self.holdings.known()) {
            return Ok(());
        }
        let _one = self.holdings.summing.lock().await;
        // Somebody else may have done it meanwhile.
        if !needed(&self.holdings.known()) {
            return Ok(());
        }
        let sum = Sum::of(self).await?;
        let mut known = self.holdings.known();
        known.since.retain(|_, since| since.settled > sum.begun);
        known.sum = Some(sum);
        known.tell();
        Ok(())
    }
}

fn full(limit: NonZeroU64) -> Problem {
    let mut problem = Problem::new(
        ProblemCode::StorageFull,
        format!(
            "this hub keeps {} of pictures, and has them",
            mebibytes(limit)
        ),
    )
    .with_hint("Download the picture to keep it, or delete others; what is saved stays saved.")
    .with_limit(LimitName::BytesInAll);
    problem.retry_after = Some(AGAIN);
    problem
}

fn spent(limit: NonZeroU64, wait: Duration) -> Problem {
    let mut problem = Problem::new(
        ProblemCode::RateLimited,
        format!(
            "this hub takes {} of pictures in a day, and has had them",
            mebibytes(limit)
        ),
    )
    .with_hint("Download the picture to keep it, and save it later.")
    .with_limit(LimitName::BytesPerDayOfAll);
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
    problem.retry_after = Some(seconds.saturating_add(1));
    problem
}

fn mebibytes(bytes: NonZeroU64) -> String {
    format!("{} MiB", bytes.get() >> 20)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn mebi(count: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(count)
    }

    fn known(objects: &[(u64, u64)]) -> Known {
        Known {
            sum: Some(Sum::of_objects(objects.iter().copied())),
            ..Known::default()
        }
    }

    #[tokio::test]
    async fn what_is_stored_and_what_is_let_in_count_together() {
        let limits = StorageLimits::of_mebibytes(mebi(2), None);
        let mut known = known(&[(0, 1 << 20)]);
        known.check(limits, 1 << 20).unwrap();
        let since = Since {
            bytes: 1,
            settled: Instant::now(),
        };
        known.since.insert(ImageId::new().unwrap(), since);
        known.check(limits, (1 << 20) - 1).unwrap();
        let refused = known.check(limits, 1 << 20).unwrap_err();
        assert_eq!(refused.code, ProblemCode::StorageFull);
        assert_eq!(refused.limit, Some(LimitName::BytesInAll));
        assert_eq!(refused.status, 507);
    }

    #[tokio::test]
    async fn a_day_ends_for_each_byte_by_itself() {
        let limits = StorageLimits::of_mebibytes(None, mebi(2));
        let now = now();
        // Two days old, 20 hours, one hour.
        let known = known(&[
            (now - 48 * HOUR, 8 << 20),
            (now - 20 * HOUR, 1 << 20),
            (now - HOUR, 1 << 19),
        ]);
        known.check(limits, 1 << 19).unwrap();
        let refused = known.check(limits, (1 << 19) + 1).unwrap_err();
        assert_eq!(refused.code, ProblemCode::RateLimited);
        assert_eq!(refused.limit, Some(LimitName::BytesPerDayOfAll));
        // Counted by the hour: up to one more than the four that are left.
        let wait = u64::from(refused.retry_after.unwrap());
        assert!((4 * 3600..=5 * 3600 + 1).contains(&wait), "{wait}");
        let much = known.check(limits, 1 << 20).unwrap_err();
        assert!((4 * 3600..=5 * 3600 + 1).contains(&u64::from(much.retry_after.unwrap())));
        let more = known.check(limits, (1 << 20) + (1 << 19) + 1).unwrap_err();
        let wait = u64::from(more.retry_after.unwrap());
        assert!((23 * 3600..=24 * 3600 + 1).contains(&wait), "{wait}");
        // What was made here is not thrown away for it.
        let own = limits.of(Audience::Internal);
        known.check(own, 1 << 30).unwrap();
    }
}
