//! Counts of what was used in an hour or a day.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use protocol::Problem;

/// Accounts that are counted at once in one process at most; then those of periods that are over are forgotten.
const SWEEP_AT: usize = 4_096;

/// How long is counted before the count begins anew, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From one midnight to the next.
    Day,
}

/// A count of one account in the period that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose; letters, digits, `-` and `_`.
    pub account: String,
    /// Of what.
    pub period: Period,
    /// Number of the period since the Unix epoch.
    pub number: u64,
}

/// Keeps counts.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Adds `amount` to a count, unless it would go beyond `limit`: then `false`.
    ///
    /// # Errors
    /// [`protocol::ProblemCode::QueueUnavailable`] where the counts are elsewhere and cannot be reached.
    async fn add(&self, entry: &Entry, amount: u64, limit: u64) -> Result<bool, Problem>;

    /// Takes `amount` off again.
    async fn take_off(&self, entry: &Entry, amount: u64);
}

impl Period {
    /// Its length.
    pub fn length(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(3600),
            Self::Day => Duration::from_secs(24 * 3600),
        }
    }
}

impl Entry {
    /// The count of `account` that runs at `now`.
    pub fn at(now: SystemTime, account: String, period: Period) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            account,
            period,
            number: since.as_secs() / period.length().as_secs(),
        }
    }

    /// Until the count begins anew.
    pub fn left(&self, now: SystemTime) -> Duration {
        let end = self.period.length().as_secs() * (self.number + 1);
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(end).saturating_sub(since)
    }

    /// A name that no other count has.
    pub fn name(&self) -> String {
        let period = match self.period {
            Period::Hour => "h",
            Period::Day => "d",
        };
        format!("{period}{}-{}", self.number, self.account)
    }
}

/// Counts of one process, forgotten when it ends.
#[derive(Default)]
pub struct MemoryLedger(Mutex<HashMap<String, (Entry, u64)>>);

#[async_trait]
impl Ledger for MemoryLedger {
    async fn add(&self, entry: &Entry, amount: u64, limit: u64) -> Result<bool, Problem> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= SWEEP_AT {
            let now = SystemTime::now();
            counts.retain(|_, (entry, _)| !entry.left(now).is_zero());
        }
        let (_, count) = counts
            .entry(entry.name())
            .or_insert_with(|| (entry.clone(), 0));
        let next = count.saturating_add(amount);
        let fits = next <= limit;
        if fits {
            *count = next;
        }
        Ok(fits)
    }

    async fn take_off(&self, entry: &Entry, amount: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = counts.get_mut(&entry.name()) {
            *count = count.saturating_sub(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_period_ends_at_the_full_hour_or_at_midnight() {
        // 1970-01-02 01:59:00.
        let now = at(86_400 + 2 * 3600 - 60);
        let hour = Entry::at(now, "a".into(), Period::Hour);
        let day = Entry::at(now, "a".into(), Period::Day);
        assert_eq!((hour.number, day.number), (25, 1));
        assert_eq!(hour.left(now), Duration::from_secs(60));
        assert_eq!(day.left(now), Duration::from_secs(22 * 3600 + 60));
        assert_ne!(hour.name(), day.name());
        assert_ne!(
            Entry::at(at(0), "a".into(), Period::Hour).name(),
            hour.name()
        );
    }

    #[tokio::test]
    async fn what_would_go_beyond_the_limit_is_not_counted() {
        let ledger = MemoryLedger::default();
        let entry = Entry::at(at(0), "a".into(), Period::Day);
        assert!(ledger.add(&entry, 3, 4).await.unwrap());
        assert!(!ledger.add(&entry, 2, 4).await.unwrap());
        assert!(ledger.add(&entry, 1, 4).await.unwrap());
        ledger.take_off(&entry, 2).await;
        assert!(ledger.add(&entry, 2, 4).await.unwrap());
        assert!(!ledger.add(&entry, 1, 4).await.unwrap());
        let other = Entry::at(at(0), "b".into(), Period::Day);
        assert!(ledger.add(&other, 4, 4).await.unwrap());
        let next_day = Entry::at(at(86_400), "a".into(), Period::Day);
        assert!(ledger.add(&next_day, 4, 4).await.unwrap());
    }

    #[tokio::test]
    async fn counts_of_the_past_are_forgotten() {
        let ledger = MemoryLedger::default();
        for number in 0..SWEEP_AT + 10 {
            let entry = Entry::at(at(0), format!("a{number}"), Period::Hour);
            ledger.add(&entry, 1, 1).await.unwrap();
        }
        assert!(ledger.0.lock().unwrap().len() < SWEEP_AT);
    }
}
