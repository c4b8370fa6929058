//! Taking jobs in.

use std::error::Error as _;

use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::kv::CreateErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use protocol::{JobCreated, JobStatus, Problem};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::format::{self, FORMAT};
use super::super::queue::{Submission, key_reused, new_id, queue_full};
use super::super::record::JobRecord;
use super::order::Order;
use super::{Shared, broken, unavailable};
use crate::telemetry::metrics::submitted;
use crate::telemetry::traces;

/// What an `Idempotency-Key` stands for.
#[derive(Serialize, Deserialize)]
struct KeyEntry {
    #[serde(default = "format::first")]
    format: u32,
    id: String,
    seed: u64,
    fingerprint: String,
}

/// What became of a message.
enum Sent {
    Stored,
    /// It is in the stream already.
    Repeated,
    Full,
}

impl Shared {
    pub async fn submit(&self, submission: Submission) -> Result<JobCreated, Problem> {
        self.connected()?;
        let Submission {
            mut request,
            resume,
            fingerprint,
            idempotency_key,
            keeping,
            client,
            network,
        } = submission;
        let entry = KeyEntry {
            format: FORMAT,
            id: new_id()?,
            seed: request.seed.unwrap_or_default(),
            fingerprint: hex::encode(fingerprint),
        };
        let key = idempotency_key.map(|key| hex::encode(Sha256::digest(key)));
        let (entry, fresh) = match &key {
            None => (entry, true),
            Some(key) => self.reserve(key, entry).await?,
        };
        let created = JobCreated {
            id: entry.id,
            seed: entry.seed,
        };
        request.seed = Some(created.seed);
        let record = JobRecord {
            client,
            network,
            key: key.clone(),
            trace: traces::current(),
            ..JobRecord::new(created.id.clone(), request, keeping, resume)
        };
        // What starts workers when there are none counts this consumer's messages, so it cannot wait for the first.
        self.consumer(&record.view.request.model).await?;
        match self.enter(&record, fresh).await {
            Ok(Sent::Stored) => {
                submitted(&record);
                Ok(created)
            }
            Ok(Sent::Repeated) => Ok(created),
            Ok(Sent::Full) => {
                self.forget(&created.id, key.as_deref()).await;
                let load = self.line(&record.view.request.model).await?.load;
                Err(queue_full(self.options.capacity, load.retry_after()))
            }
            Err(problem) => Err(problem),
        }
    }

    /// Binds a key to a new job, or finds the job that it is bound to.
    async fn reserve(&self, key: &str, entry: KeyEntry) -> Result<(KeyEntry, bool), Problem> {
        let json = serde_json::to_vec(&entry).map_err(broken)?;
        match self.keys.create(key, json.into()).await {
            Ok(_) => return Ok((entry, true)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(unavailable("writing an idempotency key", &error)),
        }
        let known = self
            .keys
            .get(key)
            .await
            .map_err(|e| unavailable("reading an idempotency key", &e))?
            .ok_or_else(|| unavailable("reading an idempotency key", &"it has just expired"))?;
        let known: KeyEntry = format::read(&known).map_err(broken)?;
        if known.fingerprint != entry.fingerprint {
            return Err(key_reused());
        }
        Ok((known, false))
    }

    /// Writes state and message; both may be there already, where this repeats an interrupted submission.
    async fn enter(&self, record: &JobRecord, fresh: bool) -> Result<Sent, Problem> {
        let id = &record.view.id;
        if !fresh
            && let Some((known, _)) = self.load(id).await?
            && known.view.status != JobStatus::Queued
        {
            return Ok(Sent::Repeated);
        }
        let json = serde_json::to_vec(record).map_err(broken)?;
        match self.jobs.create(id, json.into()).await {
            Ok(_) => {}
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(unavailable("writing a job", &error)),
        }
        let request = &record.view.request;
        let order = serde_json::to_vec(&Order::from(record)).map_err(broken)?;
        let message = PublishMessage::build().payload(order.into()).message_id(id);
        let sent = self
            .context
            .send_publish(self.order_subject(&request.model, id), message)
            .await;
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(_) => Ok(Sent::Stored),
            Err(error) => refusal(&error).ok_or_else(|| unavailable("queueing a job", &error)),
        }
    }

    async fn forget(&self, id: &str, key: Option<&str>) {
        if let Err(error) = self.jobs.purge(id).await {
            tracing::warn!(%error, id, "a refused job stays until it expires");
        }
        if let Some(key) = key
            && let Err(error) = self.keys.purge(key).await
        {
            tracing::warn!(%error, id, "the key of a refused job stays until it expires");
        }
    }

    /// Removes the message of a job that ended before a worker took it.
    pub async fn remove_order(&self, record: &JobRecord) {
        let subject = self.order_subject(&record.view.request.model, &record.view.id);
        // Not by a purge of the subject, which may move the consumer past messages that nobody has seen (NATS 2.9).
        let removed = async {
            let message = self.queue.get_last_raw_message_by_subject(&subject).await;
            match message {
                Ok(message) => {
                    let deleted = self.queue.delete_message(message.sequence).await;
                    deleted.map_err(|error| error.to_string())
                }
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(true),
                Err(error) => Err(error.to_string()),
            }
        };
        // A worker that takes a message left behind finds that its job has ended.
        if let Err(error) = removed.await {
            tracing::warn!(
                error,
                id = record.view.id,
                "the message of a cancelled job stays"
            );
        }
    }
}

/// What the stream's refusal of a message means, if it is one.
fn refusal(error: &PublishError) -> Option<Sent> {
    let source = error.source()?;
    let refusal = source.downcast_ref::<jetstream::Error>()?;
    if refusal.error_code() != ErrorCode::STREAM_STORE_FAILED {
        return None;
    }
    let text = refusal.to_string();
    if text.contains("per subject") {
        Some(Sent::Repeated)
    } else if text.contains("maximum messages") {
        Some(Sent::Full)
    } else {
        None
    }
}
