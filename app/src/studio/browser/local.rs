//! A run in this browser, through the render worker.

use futures::future::{Either, select};
use protocol::{CapabilityReport, Place, Residency};

use super::worker::{Incoming, RenderWorker};
use super::{Cancelled, Task, desk, has_webgpu, keep, time};
use crate::studio::policy::Machine;
use crate::studio::run::{Finished, MadeHere, Phase};
use crate::studio::watchdog::{Alarm, Watchdog};
use crate::worker::fault::Fault;
use crate::worker::message::{
    FromWorker, Order, RunEvent, StartFile, StateAfter, Timings, ToWorker,
};

/// Pause before looking again whether the worker has answered somebody else.
const ASKING_MS: i32 = 50;
/// Longest wait for the answer to a probe.
const PROBE_MS: i32 = 20_000;
/// Time between two looks at a silent run.
const LOOK_MS: i32 = 1_000;
/// Longest wait for a cancelled run to confirm; after that its worker is ended.
const CANCEL_MS: i32 = 10_000;

/// How a run here ends without a picture.
pub(super) enum End {
    Cancelled,
    Fault(Fault),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a run leaves behind, however it ends.
pub(super) struct Progress<'p> {
    pub(super) machine: &'p mut Machine,
    /// The state after the last finished step.
    pub(super) state: &'p mut Option<StateAfter>,
}

/// What this browser can do, asked where the model would run; `measure` also times a kernel there.
pub(super) async fn probe(
    measure: bool,
    cancelled: &mut Cancelled,
) -> Result<CapabilityReport, End> {
    if !has_webgpu() {
        return Ok(CapabilityReport::default());
    }
    let ask = async {
        while !measure && desk(|d| d.asking) {
            time::sleep(ASKING_MS).await;
        }
        ask_worker(Place::BrowserGpu, measure).await
    };
    or_cancel(ask, cancelled).await
}

/// Multiplications and additions per second of the engine on the processor; fetches that engine.
pub(super) async fn processor(cancelled: &mut Cancelled) -> Result<f64, End> {
    let report = or_cancel(ask_worker(Place::BrowserCpu, true), cancelled).await?;
    report.processor_flops_per_second.ok_or_else(|| {
        End::Fault(Fault::Engine(
            "the processor could not be measured".to_owned(),
        ))
    })
}

async fn ask_worker(place: Place, measure: bool) -> Result<CapabilityReport, String> {
    let mut worker = take_worker(place).await?;
    worker.post(&ToWorker::Probe { measure })?;
    loop {
        if let (FromWorker::Probed { report }, _) = worker.next(PROBE_MS).await? {
            put_back(worker);
            return Ok(report);
        }
    }
}

async fn or_cancel(
    ask: impl Future<Output = Result<CapabilityReport, String>>,
    cancelled: &mut Cancelled,
) -> Result<CapabilityReport, End> {
    match select(std::pin::pin!(ask), cancelled).await {
        Either::Left((report, _)) => {
            report.map_err(|detail: String| End::Fault(Fault::WorkerCrashed(detail)))
        }
        Either::Right(_) => Err(End::Cancelled),
    }
}

/// The idle worker of `place`; one of the other place is ended, which frees its memory.
async fn take_worker(place: Place) -> Result<RenderWorker, String> {
    match desk(|d| d.worker.take()).filter(|worker| worker.place() == place) {
        Some(worker) => Ok(worker),
        None => RenderWorker::start(place).await,
    }
}

fn put_back(worker: RenderWorker) {
    desk(|d| {
        d.line = None;
        d.worker = Some(worker);
    });
}

/// Makes the picture in the worker, or the rest of it.
pub(super) async fn render(
    task: &Task,
    place: Place,
    residency: Residency,
    progress: Progress<'_>,
    cancelled: &mut Cancelled,
) -> Result<Finished, End> {
    let mut worker = take_worker(place).await.map_err(Fault::WorkerCrashed)?;
    let run = worker.next_run();
    let order = Order {
        model: task.model.clone(),
        request: task.request.clone(),
        place,
        residency,
        resume: progress.state.clone(),
        start: task
            .begun
            .as_ref()
            .map(|(chosen, strength)| StartFile::new(&chosen.bytes, *strength)),
    };
    worker
        .post(&ToWorker::Generate {
            run,
            order: Box::new(order),
        })
        .map_err(Fault::WorkerCrashed)?;
    desk(|d| d.line = Some((worker.line(), run)));
    let mut watch = Watch {
        place,
        start_ms: time::now_ms() - task.began_ms,
        dog: Watchdog::new(place == Place::BrowserGpu),
        last_step_ms: None,
    };
    let mut looked = time::now_ms();
    loop {
        let heard = match select(std::pin::pin!(worker.poll(LOOK_MS)), &mut *cancelled).await {
            Either::Left((incoming, _)) => Some(incoming),
            Either::Right(_) => None,
        };
        let Some(incoming) = heard else {
            stop(worker, run).await;
            return Err(End::Cancelled);
        };
        let now = time::now_ms();
        watch.dog.wait(now - std::mem::replace(&mut looked, now));
        let before = progress.machine.steps_done();
        let applied = match incoming {
            Some(incoming) => apply(task, run, incoming, &mut watch, before),
            None => Ok(Applied::Nothing),
        };
        match applied {
            Ok(Applied::Nothing) => {}
            Ok(Applied::Step(step, state)) => {
                if let Some(state) = state {
                    progress.machine.step_done(step);
                    *progress.state = Some(state);
                }
            }
            Ok(Applied::Done(done)) => {
                put_back(worker);
                return Ok(*done);
            }
            Err(end) => {
                // A worker that reports its failure itself can work on.
                if !matches!(end, End::Fault(Fault::WorkerCrashed(_))) {
                    put_back(worker);
                }
                return Err(end);
            }
        }
        match watch.dog.alarm() {
            None => {}
            Some(Alarm::Dead(_)) => {
                let detail = "the render worker no longer answers";
                return Err(Fault::WorkerCrashed(detail.to_owned()).into());
            }
            Some(Alarm::Hung(ms)) => return Err(Fault::Hung((ms / 1e3) as u32).into()),
        }
    }
}

struct Watch {
    place: Place,
    start_ms: f64,
    dog: Watchdog,
    last_step_ms: Option<f64>,
}

enum Applied {
    Nothing,
    Step(u32, Option<StateAfter>),
    Done(Box<Finished>),
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
                    put_back(worker);
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Shows an event; gives the picture when there is one.
fn apply(
    task: &Task,
    run: u32,
    incoming: Incoming,
    watch: &mut Watch,
    steps_before: u32,
) -> Result<Applied, End> {
    let (message, png) = incoming.map_err(Fault::WorkerCrashed)?;
    watch.dog.heard();
    let event = match message {
        FromWorker::Run { run: r, event } if r == run => event,
        _ => return Ok(Applied::Nothing),
    };
    match event {
        RunEvent::Download {
            loaded,
            total,
            bytes_per_second,
            transfer,
        } => {
            watch.dog.moved(true);
            super::ask_to_persist();
            task.update(|r| {
                r.phase = Phase::Downloading {
                    loaded,
                    total,
                    bytes_per_second,
                    transfer,
                };
            });
        }
        RunEvent::NeedsRoom(needs) => {
            watch.dog.moved(true);
            task.update(|r| r.phase = Phase::NeedsRoom(needs));
        }
        RunEvent::Preparing => {
            watch.dog.moved(false);
            task.update(|r| r.phase = Phase::Preparing);
        }
        RunEvent::Step {
            step,
            total_steps,
            preview,
            state,
        } => {
            let now = time::now_ms();
            match watch.last_step_ms.replace(now) {
                Some(last) if step > steps_before => watch.dog.stepped(now - last),
                _ => watch.dog.moved(false),
            }
            task.update(|r| {
                r.step(step, total_steps, now);
                if preview.is_some() {
                    r.preview = preview;
                }
            });
            return Ok(Applied::Step(step, state));
        }
        RunEvent::Done {
            recipe,
            sha256,
            width,
            height,
            timings,
        } => {
            let png = png.ok_or_else(|| {
                Fault::WorkerCrashed("the render worker sent no picture".to_owned())
            })?;
            let url = keep(png).map_err(Fault::Engine)?;
            super::offline::keep_workers(watch.place);
            return Ok(Applied::Done(Box::new(Finished {
                url,
                width,
                height,
                backend: recipe.backend.clone(),
                adapter: recipe.adapter.clone(),
                duration_ms: Some(recipe.duration_ms as f64),
                made_here: Some(MadeHere {
                    recipe: *recipe,
                    sha256,
                    timings: Timings {
                        start_ms: watch.start_ms,
                        ..timings
                    },
                }),
                kept: None,
            })));
        }
        RunEvent::Failed { fault } => return Err(End::Fault(fault)),
        RunEvent::Cancelled => return Err(End::Cancelled),
    }
    Ok(Applied::Nothing)
}

/// Stops the download of the run at work, or goes on with it.
pub(super) fn pause(paused: bool) {
    post(|run| ToWorker::Pause { run, paused });
}

/// Answers the question of a run that needs room.
pub(super) fn choose_room(choice: crate::worker::message::RoomChoice) {
    post(|run| ToWorker::Room { run, choice });
}

fn post(message: impl FnOnce(u32) -> ToWorker) {
    desk(|d| {
        if let Some((line, run)) = &d.line {
            // A worker that is gone has no download to pause; its run ends by itself.
            let _ = line.post(&message(*run));
        }
    });
}
