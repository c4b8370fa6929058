//! Taking jobs in.

use std::error::Error as _;

use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::kv::CreateErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use protocol::{JobCreated, JobStatus, Problem};
use serde::{Deserialize, Serialize};

use super::super::admission::{Standing, admit};
use super::super::fair::{self, Place};
use super::super::format::{self, FORMAT};
use super::super::key::JobKey;
use super::super::queue::{Submission, key_reused, new_id, queue_full};
use super::super::record::JobRecord;
use super::order::Order;
use super::orders::{self, Lane, Listed};
use super::{Shared, broken, class, unavailable};
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

/// A job that is to be taken in.
struct Entering {
    entry: KeyEntry,
    /// Its key, if it has one, was not known.
    fresh: bool,
    submission: Submission,
}

/// What became of a message.
enum Sent {
    Stored,
    /// It is in the stream already.
    Repeated,
    Full,
}

impl Shared {
    pub async fn submit_all(
        &self,
        submissions: Vec<Submission>,
    ) -> Result<Vec<JobCreated>, Problem> {
        self.connected()?;
        let _one_at_a_time = self.submitting.lock().await;
        let mut entering = Vec::new();
        for submission in submissions {
            match self.reserve(submission).await {
                Ok(reserved) => entering.push(reserved),
                Err(problem) => {
                    self.forget(&entering).await;
                    return Err(problem);
                }
            }
        }
        // Seeds follow one another: those of a request that was interrupted go on from what it had entered.
        let known = entering.iter().position(|job| !job.fresh);
        if let Some((place, known)) = known.and_then(|i| Some((i as u64, entering.get(i)?))) {
            let first = known.entry.seed.saturating_sub(place);
            for (i, job) in (0..).zip(&mut entering) {
                if job.fresh {
                    job.entry.seed = first + i;
                }
            }
        }
        match self.enter_all(&entering).await {
            Ok(()) => {
                self.publish(self.arrived_subject(), Vec::new()).await;
                Ok(entering
                    .into_iter()
                    .map(|job| JobCreated {
                        id: job.entry.id,
                        seed: job.entry.seed,
                    })
                    .collect())
            }
            Err(problem) => {
                if problem.status == 429 {
                    self.forget(&entering).await;
                }
                Err(problem)
            }
        }
    }

    /// The job that a key stands for. One whose submission was interrupted is put into the queue now.
    pub async fn known(
        &self,
        key: &JobKey,
        fingerprint: &[u8; 32],
    ) -> Result<Option<JobCreated>, Problem> {
        let Some(known) = self.entry(key).await? else {
            return Ok(None);
        };
        if known.fingerprint != hex::encode(fingerprint) {
            return Err(key_reused());
        }
        let Some((record, _)) = self.load(&known.id).await? else {
            return Ok(None);
        };
        if record.view.status == JobStatus::Queued
            && let Sent::Full = self.send(&record).await?
        {
            return Err(self.full(&record.view.request.model).await?);
        }
        Ok(Some(JobCreated {
            id: known.id,
            seed: known.seed,
        }))
    }

    /// Binds the submission's key to a new job, or finds the job that it is bound to.
    async fn reserve(&self, submission: Submission) -> Result<Entering, Problem> {
        let entry = KeyEntry {
            format: FORMAT,
            id: new_id()?,
            seed: submission.request.seed,
            fingerprint: hex::encode(submission.fingerprint),
        };
        let fresh = |entry, submission| Entering {
            entry,
            fresh: true,
            submission,
        };
        let Some(key) = &submission.idempotency_key else {
            return Ok(fresh(entry, submission));
        };
        let json = serde_json::to_vec(&entry).map_err(broken)?;
        match self.keys.create(key.as_str(), json.into()).await {
            Ok(_) => return Ok(fresh(entry, submission)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(unavailable("writing an idempotency key", &error)),
        }
        let known = self
            .entry(key)
            .await?
            .ok_or_else(|| unavailable("reading an idempotency key", &"it has just expired"))?;
        if known.fingerprint != entry.fingerprint {
            return Err(key_reused());
        }
        Ok(Entering {
            entry: known,
            fresh: false,
            submission,
        })
    }

    async fn entry(&self, key: &JobKey) -> Result<Option<KeyEntry>, Problem> {
        let known = self
            .keys
            .get(key.as_str())
            .await
            .map_err(|e| unavailable("reading an idempotency key", &e))?;
        known
            .filter(|json| !json.is_empty())
            .map(|json| format::read(&json).map_err(broken))
            .transpose()
    }

    /// Writes states and messages, after a look whether there is room for all.
    async fn enter_all(&self, entering: &[Entering]) -> Result<(), Problem> {
        let Some(first) = entering.first() else {
            return Ok(());
        };
        let Submission {
            client,
            network,
            allowance,
            request,
            ..
        } = &first.submission;
        let model = &request.model;
        let fresh = entering.iter().filter(|job| job.fresh).count();
        let orders = self.orders(None).await?;
        let (client, network) = (client.token(), network.map(|network| network.token()));
        if fresh > 0 {
            let near = |order: &&Listed| network.is_some() && order.place.network == network;
            let standing = Standing {
                all: orders.len(),
                client: orders
                    .iter()
                    .filter(|order| order.place.client == client)
                    .count(),
                network: orders.iter().filter(near).count(),
            };
            if let Err(refusal) = admit(fresh, self.options.capacity, standing, *allowance) {
                let load = self.line(model).await?.load;
                return Err(refusal.problem(load.retry_after()));
            }
        }
        let now = self.last_turn(model).await?;
        let class = class(model);
        let mut places: Vec<Place<String, String>> = orders
            .into_iter()
            .filter(|order| order.class == class && order.lane != Lane::Old)
            .map(|order| order.place)
            .collect();
        for job in entering {
            let turn = fair::turn(now, &places, &client, network.as_ref());
            places.push(Place {
                client: client.clone(),
                network: network.clone(),
                turn,
            });
            let submission = &job.submission;
            let mut request = submission.request.clone();
            request.seed = job.entry.seed;
            let steps = request.num_inference_steps;
            let record = JobRecord {
                client: submission.client.clone(),
                network: submission.network,
                turn: Some(turn),
                trace: traces::current(),
                key: submission
                    .idempotency_key
                    .as_ref()
                    .map(|key| key.as_str().to_owned()),
                ..JobRecord::new(
                    job.entry.id.clone(),
                    request.into(),
                    steps,
                    submission.keeping.clone(),
                    submission.resume.clone(),
                )
                .beginning_with(submission.start.clone())
            };
            match self.enter(&record, job.fresh).await? {
                Sent::Stored => submitted(&record),
                Sent::Repeated => {}
                Sent::Full => return Err(self.full(model).await?),
            }
        }
        Ok(())
    }

    async fn full(&self, model: &str) -> Result<Problem, Problem> {
        let load = self.line(model).await?.load;
        Ok(queue_full(self.options.capacity, load.retry_after()))
    }

    /// Writes state and message; both may be there already, where this repeats an interrupted submission.
    async fn enter(&self, record: &JobRecord, fresh: bool) -> Result<Sent, Problem> {
        let id = &record.view.id;
        let mut known = if fresh { None } else { self.load(id).await? };
        if known.is_none() {
            let json = serde_json::to_vec(record).map_err(broken)?;
            match self.jobs.create(id, json.into()).await {
                Ok(_) => return self.send(record).await,
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                    known = self.load(id).await?;
                }
                Err(error) => return Err(unavailable("writing a job", &error)),
            }
        }
        match known {
            Some((known, _)) if known.view.status == JobStatus::Queued => self.send(&known).await,
            Some(_) => Ok(Sent::Repeated),
            None => self.send(record).await,
        }
    }

    /// Writes the message of a job.
    async fn send(&self, record: &JobRecord) -> Result<Sent, Problem> {
        let order = serde_json::to_vec(&Order::from(record)).map_err(broken)?;
        let message = PublishMessage::build()
            .payload(order.into())
            .message_id(&record.view.id);
        let subject = orders::subject(&self.options.prefix, record);
        let sent = self.context.send_publish(subject, message).await;
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(_) => Ok(Sent::Stored),
            Err(error) => refusal(&error).ok_or_else(|| unavailable("queueing a job", &error)),
        }
    }

    /// Takes back what was written of a request that was refused.
    async fn forget(&self, entering: &[Entering]) {
        for job in entering.iter().filter(|job| job.fresh) {
            let id = &job.entry.id;
            match self.load(id).await {
                Ok(Some((record, _))) => {
                    self.remove_order(&record).await;
                    if let Err(error) = self.jobs.purge(id).await {
                        tracing::warn!(%error, id, "a refused job stays until it expires");
                    }
                }
                Ok(None) => {}
                Err(problem) => tracing::warn!(%problem, id, "a refused job stays"),
            }
            if let Some(key) = &job.submission.idempotency_key
                && let Err(error) = self.keys.purge(key.as_str()).await
            {
                tracing::warn!(%error, id, "the key of a refused job stays until it expires");
            }
        }
    }

    /// Removes the message of a job that ended before a worker took it.
    pub async fn remove_order(&self, record: &JobRecord) {
        let subject = orders::subject(&self.options.prefix, record);
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
