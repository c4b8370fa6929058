//! Answers kept in memory and in the data folder, one request in flight for each.
//!
//! A fresh answer is given at once. An old one too, while a new one is fetched; it counts as stale only once that has
//! failed. Where there is none, callers wait for the one request in flight, each until its own deadline; the request goes on
//! without them. A failure is remembered for a while, so that a host in trouble is not asked by every visitor.

mod disk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use protocol::{Trouble, TroubleKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::upstream::Failure;
use disk::Disk;

/// Most answers kept in memory.
const MEMORY_ENTRIES: u64 = 2000;
/// How long a failure is remembered that will hardly pass by itself.
const LONG_REST: Duration = Duration::from_secs(600);
/// How long another failure is remembered.
const SHORT_REST: Duration = Duration::from_secs(30);
/// Longest time that a host's own wish is honoured.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// What may be cached.
pub trait Cached: Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Cached for T {}

/// Answers of one kind by key.
pub struct Cache<T>(Arc<Inner<T>>);

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<T> {
    ttl: Duration,
    disk: Disk,
    memory: moka::sync::Cache<String, Arc<Entry<T>>>,
    flights: Mutex<HashMap<String, Shared<BoxFuture<'static, ()>>>>,
}

struct Entry<T> {
    stored: Option<Stored<T>>,
    failed: Option<Failed>,
}

struct Stored<T> {
    value: Arc<T>,
    /// Milliseconds since the Unix epoch.
    fetched_at: u64,
}

struct Failed {
    trouble: Trouble,
    until: Instant,
}

/// What is known about a key.
#[derive(Debug)]
pub struct Known<T> {
    /// The last successful answer.
    pub value: Option<Arc<T>>,
    /// When it was fetched, milliseconds since the Unix epoch.
    pub fetched_at: Option<u64>,
    /// It is old, and could not be fetched anew.
    pub stale: bool,
    /// Why there is no answer, or no new one.
    pub trouble: Option<Trouble>,
}

impl<T: Cached> Cache<T> {
    /// A cache that keeps answers of the kind `name` below `dir`.
    pub fn new(dir: &std::path::Path, name: &str, ttl: Duration) -> Self {
        Self(Arc::new(Inner {
            ttl,
            disk: Disk::new(dir.join(name)),
            memory: moka::sync::Cache::new(MEMORY_ENTRIES),
            flights: Mutex::default(),
        }))
    }

    /// What is known about `key`, waiting until `deadline` at most where nothing is; `fetch` is called unless the answer
    /// is fresh, a request is in flight, or one has failed a short while ago.
    pub async fn get<F>(&self, key: &str, deadline: Instant, fetch: impl FnOnce() -> F) -> Known<T>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let entry = self.entry(key).await;
        if self.0.is_settled(entry.as_deref()) {
            return self.0.known(entry.as_deref());
        }
        let flight = self.join(key, fetch);
        if entry.as_ref().is_some_and(|e| e.stored.is_some()) {
            return self.0.known(entry.as_deref());
        }
        let arrived = match flight {
            Some(flight) => timeout_at(deadline, flight).await.is_ok(),
            None => true,
        };
        let mut known = self.0.known(self.0.memory.get(key).as_deref());
        if known.value.is_none() && known.trouble.is_none() {
            known.trouble = Some(waiting(arrived));
        }
        known
    }

    async fn entry(&self, key: &str) -> Option<Arc<Entry<T>>> {
        if let Some(entry) = self.0.memory.get(key) {
            return Some(entry);
        }
        let (fetched_at, value) = self.0.disk.read(key).await?;
        let entry = Arc::new(Entry {
            stored: Some(Stored {
                value: Arc::new(value),
                fetched_at,
            }),
            failed: None,
        });
        // Another caller may have fetched meanwhile; what is in memory is never older.
        Some(self.0.memory.get_with_by_ref(key, || entry))
    }

    /// The request in flight for `key`, started if need be; none where one has just ended.
    fn join<F>(
        &self,
        key: &str,
        fetch: impl FnOnce() -> F,
    ) -> Option<Shared<BoxFuture<'static, ()>>>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(key) {
            return Some(flight.clone());
        }
        if self.0.is_settled(self.0.memory.get(key).as_deref()) {
            return None;
        }
        let landing = Landing(Arc::clone(&self.0), key.to_owned());
        let fetching = fetch();
        let task = tokio::spawn(async move {
            let result = fetching.await;
            landing.0.keep(&landing.1, result).await;
        });
        let flight = task.map(|_| ()).boxed().shared();
        flights.insert(key.to_owned(), flight.clone());
        Some(flight)
    }
}

/// Takes a request out of the list of those in flight, however it ends.
struct Landing<T>(Arc<Inner<T>>, String);

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        lock(&self.0.flights).remove(&self.1);
    }
}

impl<T: Cached> Inner<T> {
    async fn keep(&self, key: &str, result: Result<T, Failure>) {
        match result {
            Ok(value) => {
                let stored = Stored {
                    value: Arc::new(value),
                    fetched_at: now_ms(),
                };
                self.disk
                    .write(key, stored.fetched_at, &*stored.value)
                    .await;
                self.put(key, Some(stored), None);
            }
            Err(failure) => {
                let before = self.memory.get(key);
                let stored = before.as_ref().and_then(|e| e.stored.as_ref());
                let stored = stored.map(|s| Stored {
                    value: Arc::clone(&s.value),
                    fetched_at: s.fetched_at,
                });
                let failed = Failed {
                    until: Instant::now() + rest(&failure),
                    trouble: failure.trouble,
                };
                self.put(key, stored, Some(failed));
            }
        }
    }

    fn put(&self, key: &str, stored: Option<Stored<T>>, failed: Option<Failed>) {
        self.memory
            .insert(key.to_owned(), Arc::new(Entry { stored, failed }));
    }

    fn is_fresh(&self, stored: &Stored<T>) -> bool {
        let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        now_ms()
            .checked_sub(stored.fetched_at)
            .is_some_and(|age| age < ttl)
    }

    /// Whether there is no reason to ask.
    fn is_settled(&self, entry: Option<&Entry<T>>) -> bool {
        entry.is_some_and(|entry| {
            entry.stored.as_ref().is_some_and(|s| self.is_fresh(s))
                || entry
                    .failed
                    .as_ref()
                    .is_some_and(|f| f.until > Instant::now())
        })
    }

    fn known(&self, entry: Option<&Entry<T>>) -> Known<T> {
        let stored = entry.and_then(|e| e.stored.as_ref());
        let trouble = entry.and_then(|e| e.failed.as_ref());
        Known {
            value: stored.map(|s| Arc::clone(&s.value)),
            fetched_at: stored.map(|s| s.fetched_at),
            stale: trouble.is_some() && stored.is_some_and(|s| !self.is_fresh(s)),
            trouble: trouble.map(|f| f.trouble.clone()),
        }
    }
}

fn waiting(arrived: bool) -> Trouble {
    let (kind, detail) = if arrived {
        (
            TroubleKind::UpstreamFailed,
            "the request for it failed here",
        )
    } else {
        (
            TroubleKind::Timeout,
            "no answer yet; it is still being waited for",
        )
    };
    Trouble {
        kind,
        detail: detail.to_owned(),
    }
}

fn rest(failure: &Failure) -> Duration {
    let usual = match failure.trouble.kind {
        TroubleKind::NotFound
        | TroubleKind::Forbidden
        | TroubleKind::Malformed
        | TroubleKind::TooLarge
        | TroubleKind::Disabled => LONG_REST,
        _ => SHORT_REST,
    };
    failure.retry_after.unwrap_or(usual).min(LONGEST_REST)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
