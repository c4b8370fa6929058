//! A job from the stream in a worker's hands.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::{AckKind, Message};
use async_trait::async_trait;
use diffusion::Cancel;
use futures::StreamExt;
use protocol::{JobPreview, JobStatus, Problem, Progress};
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::claim::{Claim, JobInHand};
use super::super::queue::{HandBack, Outcome};
use super::super::record::{JobRecord, Occasion};
use super::super::redelivery::now_ms;
use super::Shared;
use super::pull::settle;
use super::records::Held;

/// How long the end of a job is tried to be written while NATS is away.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct NatsClaim {
    queue: Arc<Shared>,
    message: Message,
    job: JobInHand,
    held: Mutex<Option<Held>>,
    /// Ends the task that listens for a wish to cancel.
    _listening: DropGuard,
}

impl NatsClaim {
    pub fn new(queue: Arc<Shared>, message: Message, held: Held, mut cancels: Subscriber) -> Self {
        let cancel = Cancel::default();
        let listening = CancellationToken::new();
        let (heard, until) = (cancel.clone(), listening.clone());
        tokio::spawn(async move {
            if let Some(Some(_)) = until.run_until_cancelled(cancels.next()).await {
                heard.cancel();
            }
        });
        Self {
            queue,
            message,
            job: JobInHand::new(&held.0, cancel),
            held: Mutex::new(Some(held)),
            _listening: listening.drop_guard(),
        }
    }

    /// Writes a change and tells of it; sets the cancel flag when the job shall stop or has passed on.
    async fn change(&self, change: impl FnMut(&mut JobRecord) -> bool) {
        let mut held = self.held.lock().await;
        let mut known = held.clone();
        match self.queue.change(&self.job.id, &mut known, change).await {
            Ok(changed) => {
                match &known {
                    Some((record, _)) => {
                        if changed {
                            self.queue.tell_state(record).await;
                        }
                        if record.cancel_requested || !record.is_held(self.job.number) {
                            self.job.cancel.cancel();
                        }
                    }
                    None => self.job.cancel.cancel(),
                }
                *held = known;
            }
            // The next step tells the same and more.
            Err(problem) => tracing::debug!(%problem, id = self.job.id, "a step is not told"),
        }
    }

    async fn acknowledge(&self, kind: AckKind) {
        if let Err(error) = self.message.ack_with(kind).await {
            tracing::debug!(%error, id = self.job.id, "not acknowledged");
        }
    }
}

#[async_trait]
impl Claim for NatsClaim {
    fn job(&self) -> &JobInHand {
        &self.job
    }

    async fn keep(&self) {
        self.acknowledge(AckKind::Progress).await;
    }

    fn keep_interval(&self) -> Duration {
        self.queue.options.ack_wait / 3
    }

    async fn backend(&self, backend: &str) {
        self.change(|record| record.backend(self.job.number, backend))
            .await;
    }

    async fn step(&self, progress: Progress) {
        self.keep().await;
        self.change(|record| record.step(self.job.number, progress))
            .await;
    }

    async fn preview(&self, preview: JobPreview) {
        self.queue.tell_preview(&self.job.id, preview).await;
    }

    async fn finish(self: Box<Self>, outcome: Outcome) -> Result<bool, Problem> {
        let completed = matches!(outcome, Outcome::Completed(_));
        let now = now_ms();
        let mut held = self.held.lock().await;
        let ended = self
            .queue
            .change_surely(&self.job.id, &mut held, PATIENCE, |record| {
                record.finish(self.job.number, outcome.clone(), now)
            })
            .await?;
        let Some((record, _)) = held.as_ref() else {
            settle(&self.message).await;
            return Ok(false);
        };
        if ended {
            self.queue.tell_state(record).await;
        }
        if record.view.status.is_final() {
            settle(&self.message).await;
        }
        if ended && completed {
            let elapsed = self.job.elapsed_ms();
            self.queue
                .note_duration(&self.job.request.model, elapsed)
                .await;
        }
        Ok(ended)
    }

    async fn hand_back(self: Box<Self>, reason: HandBack) -> Result<(), Problem> {
        let others = match &reason {
            HandBack::WorkerFault { worker, .. } => self
                .queue
                .workers
                .has_others(worker, &self.job.request.model),
            _ => false,
        };
        let occasion = Occasion::now(others);
        let mut held = self.held.lock().await;
        let changed = self
            .queue
            .change_surely(&self.job.id, &mut held, PATIENCE, |record| {
                record.hand_back(self.job.number, reason.clone(), occasion)
            })
            .await?;
        match held.as_ref() {
            Some((record, _)) if changed => {
                self.queue.tell_state(record).await;
                if record.view.status == JobStatus::Queued {
                    let wait = record.wait(now_ms());
                    let wait = (!wait.is_zero()).then_some(wait);
                    self.acknowledge(AckKind::Nak(wait)).await;
                    let arrived = self.queue.arrived_subject();
                    self.queue.publish(arrived, Vec::new()).await;
                    // The process may end now.
                    if let Err(error) = self.queue.client.flush().await {
                        tracing::debug!(%error, id = self.job.id, "goes back when its time is up");
                    }
                } else {
                    settle(&self.message).await;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
