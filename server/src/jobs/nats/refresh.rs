//! Keeping what belongs to unfinished jobs from expiring.
//!
//! Buckets forget what was not written for the retention, which is to count from a job's end. So while a job waits or
//! is being made its state and its key are written again now and then, and its key once more when it ends. What expired
//! all the same, since no app ran for that long, is made anew from the job's order.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv;
use async_nats::jetstream::kv::CreateErrorKind;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use protocol::Problem;

use super::super::queue::no_such_job;
use super::super::record::JobRecord;
use super::order::Order;
use super::orders;
use super::records::{Held, is_job_id};
use super::{Shared, broken, unavailable};

/// Rounds within the retention.
const ROUNDS: u32 = 4;

impl Shared {
    /// Refreshes for as long as the queue is used.
    pub fn keep_refreshing(self: &Arc<Self>) {
        let pause = self.options.retention / ROUNDS;
        let queue = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(queue) = queue.upgrade() else { return };
                if queue.connected().is_ok()
                    && let Err(problem) = queue.refresh(pause).await
                {
                    tracing::debug!(%problem, "states of waiting jobs are refreshed later");
                }
            }
        });
    }

    /// Writes again what belongs to unfinished jobs and was last written `age` ago.
    async fn refresh(&self, age: Duration) -> Result<(), Problem> {
        for id in self.orders(None).await?.into_iter().map(|order| order.id) {
            let Some((record, revision)) = self.load_or_restore(&id).await? else {
                continue;
            };
            if record.view.status.is_final() {
                continue;
            }
            self.touch(&self.jobs, &id, age).await?;
            tracing::trace!(id, revision, "kept");
            if let Some(key) = &record.key {
                self.touch(&self.keys, key, age).await?;
            }
        }
        Ok(())
    }

    /// Writes a value again that is at least that old; one that changes meanwhile is young.
    pub async fn touch(&self, bucket: &kv::Store, key: &str, age: Duration) -> Result<(), Problem> {
        let entry = bucket
            .entry(key)
            .await
            .map_err(|e| unavailable("reading a bucket", &e))?;
        let Some(entry) = entry.filter(|entry| !entry.value.is_empty()) else {
            return Ok(());
        };
        let written = entry.created.unix_timestamp_nanos() / 1_000_000;
        let now = i128::from(super::super::redelivery::now_ms());
        if now - written < i128::try_from(age.as_millis()).unwrap_or(i128::MAX) {
            return Ok(());
        }
        if let Err(error) = bucket.update(key, entry.value, entry.revision).await {
            tracing::debug!(%error, key, "written by somebody else meanwhile");
        }
        Ok(())
    }

    /// A job's state, made anew where it was forgotten although the job waits.
    pub async fn load_or_restore(&self, id: &str) -> Result<Option<Held>, Problem> {
        if let Some(held) = self.load(id).await? {
            return Ok(Some(held));
        }
        if !is_job_id(id) {
            return Ok(None);
        }
        let orders = self.orders(None).await?;
        let Some(subject) = orders.into_iter().find(|order| order.id == id) else {
            return Ok(None);
        };
        let subject = subject.subject;
        let order = match self.queue.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Order::read(&message.payload).map_err(broken)?,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                return Ok(None);
            }
            Err(error) => return Err(unavailable("looking for a job", &error)),
        };
        if order.id != id {
            return Ok(None);
        }
        self.restore(order, &subject).await.map(Some)
    }

    /// The state of a job that has none, from its order, which lies on `subject`.
    pub async fn restore(&self, order: Order, subject: &str) -> Result<Held, Problem> {
        let record = JobRecord {
            turn: orders::turn(&self.options.prefix, subject),
            ..order.into_record()
        };
        let json = serde_json::to_vec(&record).map_err(broken)?;
        match self.jobs.create(&record.view.id, json.into()).await {
            Ok(revision) => Ok((record, revision)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                self.load(&record.view.id).await?.ok_or_else(no_such_job)
            }
            Err(error) => Err(unavailable("claiming a job", &error)),
        }
    }
}
