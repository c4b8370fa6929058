//! The queue over NATS JetStream: any number of app replicas and workers on any number of machines.
//!
//! `PREFIX-queue` is a work-queue stream with one message per unfinished job on a subject that tells whose turn it
//! is ([`orders`]); a full stream refuses new messages. The state of a job lies in the key-value bucket `PREFIX-jobs` and changes
//! by compare-and-set alone, so that every job ends once whoever believes to hold it. `PREFIX.events.ID`,
//! `PREFIX.cancel.ID`, `PREFIX.arrived` and `PREFIX.workers` are core subjects: what they carry speeds things up and may be lost.
//! `PREFIX-dead` is a stream of the messages that no worker could read.

mod claim;
mod connect;
mod dead;
mod events;
mod ledger;
mod lines;
mod order;
mod orders;
mod pull;
mod records;
mod refresh;
mod submit;
mod workers;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, kv, stream::Stream};
use async_trait::async_trait;
use protocol::{JobCreated, JobStatus, JobView, Problem, ProblemCode};
use tokio::sync::Notify;

use self::lines::Lines;
use self::orders::Lane;
use self::workers::Workers;
use super::claim::Claim;
use super::key::JobKey;
use super::queue::{
    DeadOrder, Depth, Holder, JobEvents, Queue, QueueStatus, Submission, WorkerStatus, no_such_job,
};
use super::record::JobRecord;
use super::redelivery::now_ms;

pub use connect::{NatsOptions, Patience, Role};

/// A queue in JetStream; clones share the connection.
#[derive(Clone)]
pub struct NatsQueue(Arc<Shared>);

struct Shared {
    options: NatsOptions,
    client: async_nats::Client,
    context: jetstream::Context,
    queue: Stream,
    jobs: kv::Store,
    keys: kv::Store,
    durations: kv::Store,
    counts: Option<kv::Store>,
    consumers: tokio::sync::Mutex<HashMap<(String, Lane), PullConsumer>>,
    /// Held while jobs are counted and taken in, so that no two submissions to this process find the same room.
    submitting: tokio::sync::Mutex<()>,
    /// Wakes workers that wait here.
    arrived: Notify,
    lines: Lines,
    workers: Workers,
}

impl Shared {
    fn arrived_subject(&self) -> String {
        format!("{}.arrived", self.options.prefix)
    }

    fn events_subject(&self, id: &str) -> String {
        format!("{}.events.{id}", self.options.prefix)
    }

    fn cancel_subject(&self, id: &str) -> String {
        format!("{}.cancel.{id}", self.options.prefix)
    }

    fn workers_subject(&self) -> String {
        format!("{}.workers", self.options.prefix)
    }

    /// Fails at once where the connection is known to be down, since a request would only wait for its time-out.
    fn connected(&self) -> Result<(), Problem> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => {
                Err(unavailable("connection", &"there is no connection"))
            }
        }
    }

    /// The state as clients see it, with position and estimate.
    async fn shown(&self, record: &JobRecord) -> JobView {
        let mut view = record.view.clone();
        if view.status.is_final() {
            return view;
        }
        match self.line(&view.request.model).await {
            Ok(line) => {
                let ahead = line.ahead(&view.id);
                if view.status == JobStatus::Queued {
                    view.queue_position = u32::try_from(ahead).ok();
                }
                view.eta_ms = line.load.eta_ms(&view, ahead, record.wait(now_ms()));
            }
            Err(problem) => tracing::debug!(%problem, "no position"),
        }
        view
    }
}

impl NatsQueue {
    /// Orders that nobody could read, oldest first.
    ///
    /// # Errors
    /// [`ProblemCode::QueueUnavailable`].
    pub async fn dead(&self) -> Result<Vec<DeadOrder>, Problem> {
        self.0.dead().await
    }

    /// Puts them back into the queue; how many.
    ///
    /// # Errors
    /// [`ProblemCode::QueueUnavailable`]; what was put back before stays so.
    pub async fn retry_dead(&self) -> Result<usize, Problem> {
        self.0.retry_dead().await
    }
}

#[async_trait]
impl Queue for NatsQueue {
    async fn submit_all(&self, submissions: Vec<Submission>) -> Result<Vec<JobCreated>, Problem> {
        self.0.submit_all(submissions).await
    }

    async fn known(
        &self,
        key: &JobKey,
        fingerprint: &[u8; 32],
    ) -> Result<Option<JobCreated>, Problem> {
        self.0.connected()?;
        self.0.known(key, fingerprint).await
    }

    async fn unfinished(&self) -> Result<HashMap<String, usize>, Problem> {
        self.0.connected()?;
        let mut unfinished = HashMap::new();
        for order in self.0.orders(None).await? {
            *unfinished.entry(model_of(&order.class)).or_default() += 1;
        }
        Ok(unfinished)
    }

    async fn inputs(&self) -> Result<HashSet<String>, Problem> {
        self.0.connected()?;
        let mut inputs = HashSet::new();
        for order in self.0.orders(None).await? {
            if let Some((record, _)) = self.0.load_or_restore(&order.id).await?
                && let Some(start) = &record.start
            {
                inputs.extend(start.inputs().cloned());
            }
        }
        Ok(inputs)
    }

    async fn holder(&self, id: &str) -> Result<Holder, Problem> {
        self.0.connected()?;
        let (record, _) = self.0.load_or_restore(id).await?.ok_or_else(no_such_job)?;
        Ok(record.holder())
    }

    async fn get(&self, id: &str) -> Result<JobView, Problem> {
        self.0.connected()?;
        let (record, _) = self.0.load_or_restore(id).await?.ok_or_else(no_such_job)?;
        Ok(self.0.shown(&record).await)
    }

    async fn cancel(&self, id: &str) -> Result<JobView, Problem> {
        self.0.connected()?;
        let current = self.0.load_or_restore(id).await?.ok_or_else(no_such_job)?;
        let mut held = Some(current);
        let now = now_ms();
        let changed = self
            .0
            .change(id, &mut held, |record| record.cancel(now))
            .await?;
        let (record, _) = held.ok_or_else(no_such_job)?;
        if changed {
            self.0.tell_state(&record).await;
            if record.view.status == JobStatus::Cancelled {
                self.0.remove_order(&record).await;
            } else {
                self.0.publish(self.0.cancel_subject(id), Vec::new()).await;
            }
        }
        Ok(self.0.shown(&record).await)
    }

    async fn events(&self, id: &str) -> Result<JobEvents, Problem> {
        events::follow(Arc::clone(&self.0), id).await
    }

    async fn pull(
        &self,
        models: &[String],
        wait: Duration,
    ) -> Result<Option<Box<dyn Claim>>, Problem> {
        pull::pull(&self.0, models, wait).await
    }

    async fn heartbeat(&self, worker: &WorkerStatus) {
        self.0.announce(worker, false).await;
    }

    async fn leave(&self, worker: &str) {
        let status = WorkerStatus {
            id: worker.to_owned(),
            models: Vec::new(),
            job: None,
            stepped_back: None,
        };
        self.0.announce(&status, true).await;
    }

    async fn depth(&self, models: &[String]) -> Vec<Depth> {
        let mut depths = Vec::new();
        for model in models {
            match self.0.line(model).await {
                Ok(line) => depths.push(line.depth(model)),
                Err(problem) => tracing::debug!(%problem, "the queue's depth is not known"),
            }
        }
        depths
    }

    fn goes_on(&self) -> bool {
        true
    }

    async fn status(&self) -> QueueStatus {
        let reachable = self.0.connected().is_ok() && self.0.queue.get_info().await.is_ok();
        QueueStatus {
            reachable,
            workers: self.0.workers.count(None),
            workers_optional: true,
        }
    }
}

/// A model id as one token of a subject: bytes other than letters, digits, `-` and `_` become `=` and two hex
/// digits, `demo-hub/glyph` thus `demo-hub=2Fglyph`.
pub fn class(model: &str) -> String {
    let mut token = String::with_capacity(model.len() + 4);
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("={byte:02X}"));
        }
    }
    token
}

/// The model of a [`class`].
fn model_of(class: &str) -> String {
    let mut bytes = Vec::with_capacity(class.len());
    let mut rest = class.as_bytes();
    while let [first, after @ ..] = rest {
        let mut byte = [0];
        match after {
            [high, low, after @ ..]
                if *first == b'=' && hex::decode_to_slice([*high, *low], &mut byte).is_ok() =>
            {
                bytes.push(byte[0]);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unavailable(operation: &'static str, error: &dyn std::fmt::Display) -> Problem {
    tracing::warn!(operation, %error, "NATS");
    let mut problem = Problem::new(
        ProblemCode::QueueUnavailable,
        "the job queue cannot be reached",
    )
    .with_hint("Try again in a moment, or make the picture in your browser.");
    problem.retry_after = Some(5);
    problem
}

fn broken(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "job");
    Problem::new(
        ProblemCode::Internal,
        "the job could not be read or written",
    )
}

#[cfg(test)]
mod tests {
    use super::{class, model_of};

    #[test]
    fn classes_are_single_tokens_and_differ() {
        assert_eq!(class("demo-hub/glyph"), "demo-hub=2Fglyph");
        assert_eq!(class("a/b.c"), "a=2Fb=2Ec");
        assert_ne!(class("a/b"), class("a=2Fb"));
        for model in ["demo-hub/glyph", "a/b.c", "a=2Fb", "a/ä", "=", "a="] {
            assert_eq!(model_of(&class(model)), model);
        }
    }
}
