//! A worker: takes one job at a time from the queue, has it made and stores the picture.

mod thread;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use protocol::{ImageRef, JobPreview, Problem, ProblemCode, Progress};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::thread::{RenderThread, Told};
use self::turns::Turns;
use super::queue::{Claim, HEARTBEAT, HandBack, Outcome, Queue, WorkerStatus};
use crate::images::{ImageId, Images};
use crate::render::{RenderError, Rendered, Renderer};

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
    pub models: Vec<String>,
    /// Time without a step after which a job counts as stuck and is given back.
    pub stall: Duration,
    /// Time that the job in hand gets to finish when the worker is asked to stop.
    pub grace: Duration,
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
            models: self.options.models.clone(),
            job: None,
        };
        let mut turns = Turns::new(self.options.models.clone());
        tracing::info!(worker = status.id, models = ?status.models, "worker ready");
        while !stop.is_cancelled() {
            status.job = None;
            let pulled = self
                .beating(&status, self.queue.pull(turns.order(), POLL))
                .await;
            match pulled {
                Ok(None) => {}
                Ok(Some(claim)) => {
                    status.job = Some(claim.id().to_owned());
                    turns.took(&claim.request().model);
                    self.work(claim, &status, &stop).await;
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
        stop: &CancellationToken,
    ) {
        let id = claim.id().to_owned();
        let made = self.make(&*claim, status, stop).await;
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

    /// Renders and stores; tells the queue of every step.
    async fn make(
        &mut self,
        claim: &dyn Claim,
        status: &WorkerStatus,
        stop: &CancellationToken,
    ) -> Made {
        let mut told = self.thread.render(
            claim.request().clone(),
            claim.resume().cloned(),
            claim.cancel().clone(),
        );
        let mut keep = interval(claim.keep_interval());
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stalled = Instant::now() + self.options.stall;
        let mut hurry: Option<Instant> = None;
        loop {
            tokio::select! {
                message = told.recv() => match message {
                    Some(Told::Backend(name)) => claim.backend(&name).await,
                    Some(Told::Step(progress)) => {
                        stalled = Instant::now() + self.options.stall;
                        claim.step(progress).await;
                    }
                    Some(Told::Preview(progress, png)) => {
                        claim.preview(preview(progress, &png)).await;
                    }
                    Some(Told::Done(result)) => {
                        return self.settle(claim, status, *result, hurry.is_some()).await;
                    }
                    None => return Made::Back(HandBack::Retry(died())),
                },
                _ = keep.tick() => claim.keep().await,
                _ = beat.tick() => self.queue.heartbeat(status).await,
                () = tokio::time::sleep_until(stalled) => {
                    claim.cancel().cancel();
                    tracing::error!(id = claim.id(), "the renderer is stuck; a new one takes its place");
                    if let Err(error) = self.thread.replace() {
                        tracing::error!(%error, "no thread for a new renderer");
                    }
                    return Made::Back(HandBack::Retry(stuck(self.options.stall)));
                }
                () = stop.cancelled(), if hurry.is_none() => {
                    hurry = Some(Instant::now() + self.options.grace);
                }
                () = until(hurry) => {
                    claim.cancel().cancel();
                    // The thread stops within a step; the job need not wait for it.
                    return Made::Back(HandBack::Draining);
                }
            }
        }
    }

    async fn settle(
        &self,
        claim: &dyn Claim,
        status: &WorkerStatus,
        result: Result<Rendered, RenderError>,
        draining: bool,
    ) -> Made {
        let rendered = match result {
            Ok(rendered) => rendered,
            Err(error) if error.is_cancelled() => return Made::Outcome(Outcome::Cancelled),
            Err(error) => {
                let transient = error.is_transient();
                let problem = problem(&error);
                return if transient {
                    Made::Back(HandBack::Retry(problem))
                } else {
                    Made::Outcome(Outcome::Failed(problem))
                };
            }
        };
        tracing::info!(
            id = claim.id(),
            backend = rendered.recipe.backend,
            milliseconds = rendered.recipe.duration_ms,
            draining,
            "picture made"
        );
        if claim.cancel().is_cancelled() {
            return Made::Outcome(Outcome::Cancelled);
        }
        let saving = async {
            let id: ImageId = claim.id().parse().map_err(|_| {
                Problem::new(ProblemCode::Internal, "the job's id cannot name a picture")
            })?;
            let keeping = claim.keeping().clone();
            self.images
                .save(id, rendered.png, rendered.recipe, keeping)
                .await
        };
        let mut saving = std::pin::pin!(self.beating(status, saving));
        let saved = loop {
            match timeout(claim.keep_interval(), &mut saving).await {
                Ok(saved) => break saved,
                Err(_) => claim.keep().await,
            }
        };
        Made::Outcome(match saved {
            Ok(record) => Outcome::Completed(ImageRef {
                url: record.url,
                permalink: record.permalink,
            }),
            Err(problem) => Outcome::Failed(problem),
        })
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn preview(progress: Progress, png: &[u8]) -> JobPreview {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(png);
    JobPreview {
        progress,
        image: format!("data:{};base64,{base64}", protocol::PNG_MIME),
    }
}

fn died() -> Problem {
    Problem::new(
        ProblemCode::GenerationFailed,
        "each time the renderer crashed while it made this picture",
    )
}

fn stuck(stall: Duration) -> Problem {
    Problem::new(
        ProblemCode::GenerationFailed,
        format!("the renderer made no step within {} s", stall.as_secs()),
    )
}

fn problem(error: &RenderError) -> Problem {
    tracing::error!(%error, "renderer");
    error.problem()
}
