//! A run in this browser, through the render worker.

use futures::future::{Either, select};
use protocol::{CapabilityReport, Place, Residency};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use std::cell::Cell;
use std::sync::Arc;

use super::drive::Drive;
use super::steering::{Steering, Wish};
use super::worker::{Incoming, RenderWorker};
use super::workers::{self, Asking};
use crate::browser::{has_webgpu, offline, text, time};
use crate::runs::picture::{Picture, Png};
use crate::runs::recovery::Machine;
use crate::runs::run::{Finished, MadeHere, Phase};
use crate::runs::watchdog::{Alarm, Watchdog};
use crate::worker::fault::Fault;
use crate::worker::message::{
    FromWorker, Order, RunEvent, StartFile, StateAfter, Timings, ToWorker,
};

/// Longest wait for the answer to a probe.
const PROBE_MS: i32 = 20_000;
/// Time between two looks at a silent run.
const LOOK_MS: i32 = 1_000;
/// Longest wait for a cancelled run to confirm; after that its worker is ended.
const CANCEL_MS: i32 = 10_000;

/// How a run here ends without a picture.
pub(crate) enum End {
    Cancelled,
    /// The visitor wants the server to make the rest.
    ToServer,
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
pub(crate) async fn probe(measure: bool, steering: &mut Steering) -> Result<CapabilityReport, End> {
    if !has_webgpu() {
        return Ok(CapabilityReport::default());
    }
    let ask = async {
        let _asking = if measure {
            Some(Asking::begin())
        } else {
            Asking::ended().await;
            None
        };
        ask_worker(Place::BrowserGpu, measure).await
    };
    or_cancel(ask, steering).await
}

/// Multiplications and additions per second of the engine on the processor; fetches that engine.
pub(crate) async fn processor(steering: &mut Steering) -> Result<f64, End> {
    let report = or_cancel(ask_worker(Place::BrowserCpu, true), steering).await?;
    report.processor_flops_per_second.ok_or_else(|| {
        End::Fault(Fault::Engine(
            "the processor could not be measured".to_owned(),
        ))
    })
}

async fn ask_worker(place: Place, measure: bool) -> Result<CapabilityReport, String> {
    let mut worker = workers::take(place).await?;
    worker.post(&ToWorker::Probe { measure })?;
    loop {
        if let (FromWorker::Probed { report }, _) = worker.next(PROBE_MS).await? {
            workers::put_back(worker);
            return Ok(report);
        }
    }
}

async fn or_cancel(
    ask: impl Future<Output = Result<CapabilityReport, String>>,
    steering: &mut Steering,
) -> Result<CapabilityReport, End> {
    match select(std::pin::pin!(ask), std::pin::pin!(steering.cancelled())).await {
        Either::Left((report, _)) => {
            report.map_err(|detail: String| End::Fault(Fault::WorkerCrashed(detail)))
        }
        Either::Right(_) => Err(End::Cancelled),
    }
}

/// Makes the picture in the worker, or the rest of it.
pub(super) async fn render(
    drive: &Drive,
    place: Place,
    residency: Residency,
    progress: Progress<'_>,
    steering: &mut Steering,
) -> Result<Finished, End> {
    let mut worker = workers::take(place).await.map_err(Fault::WorkerCrashed)?;
    let run = worker.next_run();
    let order = Order {
        model: drive.order.model.clone(),
        request: drive.order.request.clone(),
        place,
        residency,
        resume: progress.state.clone(),
        start: drive
            .order
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
    let mut watch = Watch {
        place,
        start_ms: time::now_ms() - drive.began_ms,
        dog: match place {
            Place::BrowserGpu => Watchdog::new(true, drive.expected_ms(residency)),
            _ => Watchdog::new(false, None),
        },
        last_step_ms: None,
    };
    let mut looked = time::now_ms();
    loop {
        let heard = {
            let incoming = std::pin::pin!(worker.poll(LOOK_MS));
            match select(incoming, std::pin::pin!(steering.next())).await {
                Either::Left((incoming, _)) => Ok(incoming),
                Either::Right((wish, _)) => Err(wish),
            }
        };
        let incoming = match heard {
            Ok(incoming) => incoming,
            Err(wish) => {
                let message = match wish {
                    Wish::Pause(paused) => ToWorker::Pause { run, paused },
                    Wish::Room(choice) => ToWorker::Room { run, choice },
                    Wish::Cancel | Wish::ToServer => {
                        stop(worker, run).await;
                        return Err(match wish {
                            Wish::ToServer => End::ToServer,
                            _ => End::Cancelled,
                        });
                    }
                };
                // A worker that is gone has no download to pause; its run ends by itself.
                let _ = worker.post(&message);
                continue;
            }
        };
        let now = time::now_ms();
        watch.dog.wait(now - std::mem::replace(&mut looked, now));
        let before = progress.machine.steps_done();
        let applied = match incoming {
            Some(incoming) => apply(drive, run, incoming, &mut watch, before),
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
                workers::put_back(worker);
                return Ok(*done);
            }
            Err(end) => {
                // A worker that reports its failure itself can work on.
                if !matches!(end, End::Fault(Fault::WorkerCrashed(_))) {
                    workers::put_back(worker);
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
                    workers::put_back(worker);
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
    drive: &Drive,
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
            ask_to_persist();
            drive.update(|r| {
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
            drive.update(|r| r.phase = Phase::NeedsRoom(needs));
        }
        RunEvent::Preparing => {
            watch.dog.moved(false);
            drive.update(|r| r.phase = Phase::Preparing);
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
            drive.update(|r| {
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
            let png = Png::new(&png).map_err(|error| {
                Fault::Engine(format!("the picture could not be shown: {}", text(&error)))
            })?;
            offline::keep_workers(watch.place);
            return Ok(Applied::Done(Box::new(Finished {
                picture: Picture::Here(Arc::new(png)),
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

thread_local! {
    /// Whether the browser was asked not to delete the weights by itself.
    static ASKED_TO_PERSIST: Cell<bool> = const { Cell::new(false) };
}

/// Asks the browser once not to delete the weights by itself; it may refuse, and then they are fetched again some day.
fn ask_to_persist() {
    if ASKED_TO_PERSIST.replace(true) {
        return;
    }
    let storage = web_sys::window()
        .and_then(|w| js_sys::Reflect::get(&w.navigator(), &"storage".into()).ok())
        .and_then(|s| s.dyn_into::<web_sys::StorageManager>().ok());
    if let Some(Ok(asked)) = storage.map(|storage| storage.persist()) {
        spawn_local(async move {
            let _ = JsFuture::from(asked).await;
        });
    }
}
