//! Counts of what clients used, the same for all replicas.

use async_nats::jetstream::kv::{CreateErrorKind, UpdateErrorKind};
use async_trait::async_trait;
use protocol::Problem;

use super::{NatsQueue, Shared, unavailable};
use crate::limits::Ledger;
use crate::limits::ledger::Entry;

impl Shared {
    /// Replaces a count by what `next` makes of it; `None` leaves it. Whether it was replaced.
    async fn recount(
        &self,
        entry: &Entry,
        next: impl Fn(u64) -> Option<u64>,
    ) -> Result<bool, Problem> {
        let counts = self
            .counts
            .as_ref()
            .ok_or_else(|| unavailable("counting", &"there is no bucket for counts"))?;
        let key = entry.name();
        loop {
            let held = counts
                .entry(&key)
                .await
                .map_err(|e| unavailable("reading a count", &e))?
                .filter(|held| !held.value.is_empty());
            let text = held.as_ref().map(|held| std::str::from_utf8(&held.value));
            let count = text
                .and_then(Result::ok)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            let Some(next) = next(count) else {
                return Ok(false);
            };
            let value = next.to_string().into();
            // Another replica may have counted in between.
            match held {
                Some(held) => match counts.update(&key, value, held.revision).await {
                    Ok(_) => return Ok(true),
                    Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                    Err(error) => return Err(unavailable("writing a count", &error)),
                },
                None => match counts.create(&key, value).await {
                    Ok(_) => return Ok(true),
                    Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
                    Err(error) => return Err(unavailable("writing a count", &error)),
                },
            }
        }
    }
}

#[async_trait]
impl Ledger for NatsQueue {
    async fn add(&self, entry: &Entry, amount: u64, limit: u64) -> Result<bool, Problem> {
        self.0.connected()?;
        let next = |count: u64| Some(count.saturating_add(amount)).filter(|next| *next <= limit);
        self.0.recount(entry, next).await
    }

    async fn take_off(&self, entry: &Entry, amount: u64) {
        let next = |count: u64| Some(count.saturating_sub(amount));
        if let Err(problem) = self.0.recount(entry, next).await {
            tracing::warn!(%problem, "what was not used stays counted");
        }
    }
}
