//! A run in this browser, through the render worker.

use futures::future::{Either, select};
use protocol::{CapabilityReport, Place};

use super::worker::{Incoming, RenderWorker};
use super::{Cancelled, Task, desk, keep, time};
use crate::studio::run::{Finished, MadeHere, Phase};
use crate::worker::message::{FromWorker, RunEvent, ToWorker};

/// Pause before looking again whether the worker has answered somebody else.
const ASKING_MS: i32 = 50;
/// Longest wait for the answer to a probe.
const PROBE_MS: i32 = 20_000;
/// Longest silence of a run; a step on a software adapter may take minutes.
const SILENCE_MS: i32 = 900_000;
/// Longest wait for a cancelled run to confirm; after that its worker is ended.
const CANCEL_MS: i32 = 10_000;

/// How a run here ends without a picture.
pub(super) enum End {
    Cancelled,
    Failed(String),
}

impl From<String> for End {
    fn from(detail: String) -> Self {
        Self::Failed(detail)
    }
}

/// What this browser can do, asked where the model would run; `measure` also times a kernel there.
pub(super) async fn probe(
    measure: bool,
    cancelled: &mut Cancelled,
) -> Result<CapabilityReport, End> {
    let ask = async {
        while !measure && desk(|d| d.asking) {
            time::sleep(ASKING_MS).await;
        }
        let mut worker = match desk(|d| d.worker.take()) {
            Some(worker) => worker,
            None => RenderWorker::start().await?,
        };
        worker.post(&ToWorker::Probe { measure })?;
        loop {
            if let (FromWorker::Probed { report }, _) = worker.next(PROBE_MS).await? {
                desk(|d| d.worker = Some(worker));
                return Ok(report);
            }
        }
    };
    match select(std::pin::pin!(ask), cancelled).await {
        Either::Left((report, _)) => report.map_err(End::Failed),
        Either::Right(_) => Err(End::Cancelled),
    }
}

/// Makes the picture in the worker.
pub(super) async fn render(
    task: &Task,
    place: Place,
    cancelled: &mut Cancelled,
) -> Result<Finished, End> {
    let mut worker = match desk(|d| d.worker.take()) {
        Some(worker) => worker,
        None => RenderWorker::start().await?,
    };
    let run = worker.next_run();
    worker.post(&ToWorker::Generate {
        run,
        model: Box::new(task.model.clone()),
        request: task.request.clone(),
        place,
    })?;
    loop {
        let incoming = match select(std::pin::pin!(worker.next(SILENCE_MS)), &mut *cancelled).await
        {
            Either::Left((incoming, _)) => Some(incoming),
            Either::Right(_) => None,
        };
        let Some(incoming) = incoming else {
            stop(worker, run).await;
            return Err(End::Cancelled);
        };
        if let Some(done) = apply(task, run, incoming)? {
            desk(|d| d.worker = Some(worker));
            return Ok(done);
        }
    }
}

/// Stops a run; keeps the worker, with its loaded package, when it confirms in time.
async fn stop(mut worker: RenderWorker, run: u32) {
    if worker.post(&ToWorker::Cancel { run }).is_err() {
        return;
    }
    let deadline = time::now_ms() + f64::from(CANCEL_MS);
    loop {
        let left = deadline - time::now_ms();
        if left <= 0.0 {
            return;
        }
        match worker.next(left as i32).await {
            Ok((FromWorker::Run { run: r, event }, _)) if r == run => {
                if matches!(
                    event,
                    RunEvent::Done { .. } | RunEvent::Cancelled | RunEvent::Failed { .. }
                ) {
                    desk(|d| d.worker = Some(worker));
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Shows an event; gives the picture when there is one.
fn apply(task: &Task, run: u32, incoming: Incoming) -> Result<Option<Finished>, End> {
    let (message, png) = incoming?;
    let event = match message {
        FromWorker::Run { run: r, event } if r == run => event,
        _ => return Ok(None),
    };
    match event {
        RunEvent::Download { loaded, total } => {
            task.update(|r| r.phase = Phase::Downloading { loaded, total });
        }
        RunEvent::Preparing => task.update(|r| r.phase = Phase::Preparing),
        RunEvent::Step { step, total_steps } => {
            task.update(|r| r.step(step, total_steps, time::now_ms()));
        }
        RunEvent::Done {
            recipe,
            sha256,
            width,
            height,
        } => {
            let png = png.ok_or_else(|| "the render worker sent no picture".to_owned())?;
            return Ok(Some(Finished {
                url: keep(png)?,
                width,
                height,
                backend: recipe.backend.clone(),
                adapter: recipe.adapter.clone(),
                duration_ms: Some(recipe.duration_ms as f64),
                made_here: Some(MadeHere {
                    recipe: *recipe,
                    sha256,
                }),
                permalink: None,
            }));
        }
        RunEvent::Failed { detail } => return Err(End::Failed(detail)),
        RunEvent::Cancelled => return Err(End::Cancelled),
    }
    Ok(None)
}
