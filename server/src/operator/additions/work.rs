//! The work on additions: one process of all that share the folder does it, one addition at a time.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Addition, AdditionStatus};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::Additions;
use super::store::{AdditionId, Changed, Lock, now_ms};
use crate::models::add::report::Event;
use crate::operator::tool::{Errand, Run};

/// Pause between two looks for something to do, or at what others changed.
pub const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Time between two writings of how far a download is.
const EVERY: Duration = Duration::from_secs(1);

/// How a run ended.
enum End {
    /// By itself: nothing, or why the model is not here.
    Itself(Option<String>),
    Cancelled,
    /// This server stops.
    Stopped,
}

impl Additions {
    /// Works on what is asked for, until `stop`: what is not done by then, the next start goes on with, or another replica.
    pub async fn work(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
            let turn = self.take_turn().await;
            match turn {
                Ok(Some(lock)) => {
                    if let Err(error) = self.work_off(&stop).await {
                        tracing::error!("adding models: {error:#}");
                        sleep(EVERY).await;
                    }
                    drop(lock);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!("looking for models to add: {error:#}");
                    sleep(EVERY).await;
                }
            }
        }
    }

    /// The right to work, where there is something to do and no other process has it.
    async fn take_turn(self: &Arc<Self>) -> Changed<Option<Lock>> {
        let additions = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let files = &additions.files;
            if !files.are_there() || !files.list()?.iter().any(is_open) {
                return Ok(None);
            }
            files.work()
        })
        .await?
    }

    /// Works until there is nothing more to do.
    async fn work_off(self: &Arc<Self>, stop: &CancellationToken) -> Changed<()> {
        while !stop.is_cancelled() {
            self.settle(None)?;
            // The newest comes first in the list.
            let Some(next) = self.files.list()?.into_iter().rev().find(is_open) else {
                return Ok(());
            };
            self.add(next, stop).await?;
        }
        Ok(())
    }

    /// Ends what waits and is to be cancelled, `but` for one.
    fn settle(&self, but: Option<&AdditionId>) -> Changed<()> {
        let list = self.files.list()?;
        for mut addition in list {
            let Ok(id) = addition.id.parse::<AdditionId>() else {
                continue;
            };
            if addition.status != AdditionStatus::Cancelling || but == Some(&id) {
                continue;
            }
            addition.status = AdditionStatus::Cancelled;
            addition.ended_at = Some(now_ms());
            self.files.write(&addition)?;
            self.files.unmark(&id)?;
        }
        Ok(())
    }

    async fn add(
        self: &Arc<Self>,
        mut addition: Addition,
        stop: &CancellationToken,
    ) -> Changed<()> {
        let Ok(id) = addition.id.parse::<AdditionId>() else {
            return Ok(());
        };
        let model = addition.request.id.clone();
        tracing::info!(model, addition = addition.id, "a model is being added");
        addition.status = AdditionStatus::Running;
        (addition.stage, addition.fetched, addition.note) = (None, None, None);
        self.keep(&addition);
        let scratch = tempfile::tempdir()?;
        let begun = self
            .tool
            .start(Errand::Add, &addition.request, scratch.path());
        let end = match begun {
            Ok(run) => self.follow(run, &mut addition, &id, stop).await,
            Err(error) => End::Itself(Some(format!("{error:#}"))),
        };
        addition.ended_at = Some(now_ms());
        addition.status = match end {
            End::Itself(None) => AdditionStatus::Done,
            End::Itself(Some(reason)) => {
                tracing::warn!(model, reason, "a model was not added");
                addition.reason = Some(reason);
                AdditionStatus::Failed
            }
            End::Cancelled => {
                if let Err(error) = self.tool.tidy(&model).await {
                    tracing::warn!(model, "what was begun of a package is left: {error:#}");
                }
                AdditionStatus::Cancelled
            }
            End::Stopped => {
                addition.ended_at = None;
                AdditionStatus::Waiting
            }
        };
        if addition.status == AdditionStatus::Done {
            tracing::info!(model, "a model was added");
        }
        // On a full disk this may take a while; nothing else is begun until it is written.
        self.keep(&addition);
        while self.files.write_again().is_err() && !stop.is_cancelled() {
            sleep(EVERY).await;
        }
        if addition.status.is_final() {
            self.files.unmark(&id)?;
        }
        Ok(())
    }

    async fn follow(
        &self,
        mut run: Run,
        addition: &mut Addition,
        id: &AdditionId,
        stop: &CancellationToken,
    ) -> End {
        let mut ticks = interval(LOOK_AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut written, mut changed) = (Instant::now(), false);
        let mut failed = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    run.kill().await;
                    return End::Stopped;
                }
                event = run.next() => match event {
                    Some(Event::Failed { reason, .. }) => failed = Some(reason),
                    Some(event) => {
                        let at_once = matches!(event, Event::Stage { .. });
                        note(addition, event);
                        changed = true;
                        if at_once {
                            self.keep(addition);
                            (written, changed) = (Instant::now(), false);
                        }
                    }
                    None => {
                        let end = run.end().await;
                        return End::Itself(end.map(|how| failed.unwrap_or(how)));
                    }
                },
                _ = ticks.tick() => {
                    if self.files.is_to_be_cancelled(id) {
                        run.kill().await;
                        return End::Cancelled;
                    }
                    if let Err(error) = self.settle(Some(id)) {
                        tracing::warn!("cancelling what waits: {error:#}");
                    }
                    if changed && written.elapsed() >= EVERY {
                        self.keep(addition);
                        (written, changed) = (Instant::now(), false);
                    }
                }
            }
        }
    }

    /// Writes it, or remembers that it is to be written.
    fn keep(&self, addition: &Addition) {
        if let Err(error) = self.files.write(addition) {
            tracing::warn!("an addition could not be written: {error:#}");
        }
    }
}

fn is_open(addition: &Addition) -> bool {
    !addition.status.is_final()
}

/// What a run said.
fn note(addition: &mut Addition, event: Event) {
    match event {
        Event::Stage { stage } => addition.stage = Some(stage),
        Event::Fetched(fetched) => addition.fetched = Some(fetched),
        Event::Note { line } => addition.note = Some(line),
        Event::Looked { .. } | Event::Failed { .. } => {}
    }
}
