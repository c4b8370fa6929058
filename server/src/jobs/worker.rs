//! A worker: takes one job at a time from the queue, has it made and stores the picture.

mod fetching;
mod health;
mod making;
mod measure;
mod models;
mod saving;
mod thread;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use self::models::Models;

use self::health::Health;
use self::thread::RenderThread;
use self::turns::Turns;
use super::claim::Claim;
use super::queue::{HEARTBEAT, HandBack, Outcome, Queue, WorkerStatus};
use super::redelivery::Backoff;
use crate::grace::Grace;
use crate::images::Images;
use crate::render::Renderer;

/// Makes the worker's renderer; called in the render thread, again after a panic.
pub type RendererFactory = Box<dyn Fn() -> Box<dyn Renderer> + Send>;

/// Longest wait for one job; then the token that stops the worker is looked at.
const POLL: Duration = Duration::from_secs(1);
/// Pause after the queue could not be reached.
const PAUSE: Duration = Duration::from_millis(500);

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Unique name.
    pub id: String,
    /// Models that it takes.
    pub models: Models,
    /// Time without a step after which a job counts as stuck and is given back.
    pub stall: Duration,
    /// Time that the job in hand gets to finish when the worker is asked to stop.
    pub grace: Duration,
    /// Time for which a finished picture is held and tried to be stored while the store is away.
    pub save_patience: Duration,
    /// Pauses after failures in a row for reasons of the worker's own, from the second one on.
    pub step_back: Backoff,
}

impl WorkerOptions {
    /// Pauses of a worker that fails again and again.
    pub const STEP_BACK: Backoff = Backoff {
        first: Duration::from_secs(5),
        longest: Duration::from_secs(300),
    };
}

/// A worker on one queue.
pub struct Worker {
    options: WorkerOptions,
    queue: Arc<dyn Queue>,
    images: Images,
    thread: RenderThread,
}

/// How the making of a picture ended.
enum Made {
    Outcome(Outcome),
    Back(HandBack),
}

impl Worker {
    /// Starts the render thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        options: WorkerOptions,
        queue: Arc<dyn Queue>,
        images: Images,
        factory: RendererFactory,
    ) -> std::io::Result<Self> {
        Ok(Self {
            options,
            queue,
            images,
            thread: RenderThread::start(factory)?,
        })
    }

    /// Works until `stop` is cancelled; the job in hand is finished within the grace time or handed back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut status = WorkerStatus {
            id: self.options.id.clone(),
            models: Vec::new(),
            job: None,
            stepped_back: None,
        };
        let grace = Grace::new(stop.clone(), self.options.grace);
        let mut turns = Turns::default();
        let mut health = Health::new(self.options.step_back);
        while !stop.is_cancelled() {
            if let Some(models) = self.options.models.changed() {
                turns.follow(models);
                status.models = turns.order().to_vec();
                tracing::info!(worker = status.id, models = ?status.models, "worker ready");
            }
            let pulled = self
                .beating(&status, self.queue.pull(turns.order(), POLL))
                .await;
            match pulled {
                Ok(None) => {}
                Ok(Some(claim)) => {
                    status.job = Some(claim.id().to_owned());
                    turns.took(&claim.request().model);
                    let span = measure::span(&*claim, &status.id);
                    self.work(claim, &status, &grace, &mut health)
                        .instrument(span)
                        .await;
                    status.job = None;
                    if !stop.is_cancelled() {
                        self.recover(&mut status, &health, &stop).await;
                    }
                }
                Err(problem) => {
                    tracing::warn!(%problem, "no job could be pulled");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.queue.leave(&self.options.id).await;
        tracing::info!(worker = status.id, "worker stopped");
    }

    /// Leaves the queue to others for a while where this worker has failed twice in a row.
    async fn recover(&self, status: &mut WorkerStatus, health: &Health, stop: &CancellationToken) {
        let Some(pause) = health.rest(crate::random::fraction()) else {
            return;
        };
        let (failures, reason) = health.failures();
        tracing::error!(
            worker = status.id,
            failures,
            reason,
            seconds = pause.as_secs_f64(),
            "the worker failed again for reasons of its own and steps back"
        );
        metrics::counter!("demo_hub_worker_steps_back_total").increment(1);
        status.stepped_back = Some(reason.to_owned());
        let rest = stop.run_until_cancelled(tokio::time::sleep(pause));
        self.beating(status, rest).await;
        status.stepped_back = None;
        if !stop.is_cancelled() {
            tracing::info!(worker = status.id, "the worker takes jobs again");
        }
    }

    /// Awaits `work` with signs of life meanwhile.
    async fn beating<T>(&self, status: &WorkerStatus, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = beat.tick() => self.queue.heartbeat(status).await,
            }
        }
    }

    async fn work(
        &mut self,
        claim: Box<dyn Claim>,
        status: &WorkerStatus,
        grace: &Grace,
        health: &mut Health,
    ) {
        let id = claim.id().to_owned();
        let measured = measure::begin(&*claim);
        // A job that came while the worker was asked to stop need not be begun.
        let made = if grace.has_begun() {
            Made::Back(HandBack::Draining)
        } else {
            self.make(&*claim, status, grace).await
        };
        measured.end(&made);
        match &made {
            Made::Back(HandBack::WorkerFault { problem, .. }) => health.failed(&problem.detail),
            Made::Back(HandBack::Draining) | Made::Outcome(Outcome::Cancelled) => {}
            Made::Outcome(_) | Made::Back(_) => health.did_its_part(),
        }
        let settled = self
            .beating(status, async {
                match made {
                    Made::Outcome(outcome) => {
                        if let Outcome::Failed(problem) = &outcome {
                            tracing::error!(id, %problem, "job failed");
                        }
                        claim.finish(outcome).await.map(|held| {
                            if !held {
                                tracing::warn!(id, "the job had passed on to another worker");
                            }
                        })
                    }
                    Made::Back(reason) => {
                        tracing::info!(id, ?reason, "job handed back");
                        claim.hand_back(reason).await
                    }
                }
            })
            .await;
        if let Err(problem) = settled {
            tracing::error!(id, %problem, "the queue did not take the job's end");
        }
    }
}
