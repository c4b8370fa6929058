//! Running, stopping and saving in the browser's main thread; the model itself runs in the worker.

pub(crate) mod capability;
pub(crate) mod compare;
pub(super) mod files;
mod kept;
mod local;
pub(crate) mod offline;
pub(crate) mod outbox;
mod pixels;
mod remote;
pub(super) mod rerun;
pub(super) mod save;
pub(super) mod start;
pub(crate) mod storage;
pub(super) mod time;
pub(super) mod typed;
mod worker;

use std::cell::RefCell;

use futures::channel::oneshot;
use futures::future::FutureExt;
use js_sys::{ArrayBuffer, Uint8Array};
use leptos::prelude::*;
use protocol::{
    BEARABLE_SECONDS, CapabilityReport, Decision, Demand, JobRequest, ModelSummary, Place, Policy,
    Problem, ProblemCode, Reason, Residency, ResolvedRequest, Resume, decide, processor_seconds,
    steps_taken, streams_here,
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;

use self::worker::{Line, RenderWorker};
use super::Studio;
use super::handle::Saving;
use super::policy::{Action, Machine};
use super::run::{Finished, Phase, Run};
use super::start::{Chosen, StartForm};
use crate::format;
use crate::worker::fault::Fault;
use crate::worker::message::{RoomChoice, StateAfter};

/// How a run ends without a picture.
enum Stop {
    Cancelled,
    Failed(Problem),
}

/// The visitor's wish to stop.
type Cancelled = futures::future::Fuse<oneshot::Receiver<()>>;

/// What belongs to the one studio of the page and cannot be in a signal.
#[derive(Default)]
struct Desk {
    /// The worker while no run uses it, with the package that it loaded.
    worker: Option<RenderWorker>,
    /// The worker is being asked what this browser can do: a run waits for it instead of starting another one.
    asking: bool,
    /// The way to the worker of the run at work, and that run's number.
    line: Option<(Line, u32)>,
    /// Whether the visitor sent the run at work to the server.
    to_server: bool,
    /// Whether the browser was asked not to delete the weights by itself.
    asked_to_persist: bool,
    /// Stops the current run.
    cancel: Option<oneshot::Sender<()>>,
    /// PNG of the picture made here and the blob address that shows it.
    picture: Option<(ArrayBuffer, String)>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

fn desk<T>(act: impl FnOnce(&mut Desk) -> T) -> T {
    DESK.with_borrow_mut(act)
}

/// Checks the form and starts a run.
pub(super) fn generate(studio: Studio, models: &[ModelSummary]) {
    if studio.run.with_untracked(Run::is_active) {
        return;
    }
    let settings = studio.settings.get_untracked();
    let checked = draw_seed().and_then(|drawn| settings.request(models, drawn));
    let begun = studio.start.with_untracked(StartForm::checked);
    let checked = checked.and_then(|(model, request)| {
        // What was chosen for another model is not asked of this one.
        let begun = begun.map(|begun| begun.filter(|_| model.begins_with_pictures))?;
        Ok((model, request, begun))
    });
    let (model, request, begun) = match checked {
        Ok(checked) => checked,
        Err(problem) => {
            if studio
                .run
                .with_untracked(|r| matches!(r.phase, Phase::Failed(_)))
            {
                studio.run.set(Run::default());
            }
            studio.problem.set(Some(problem));
            return;
        }
    };
    studio.problem.set(None);
    studio.saving.set(Saving::Unsaved);
    studio.settings.update(|s| {
        s.seed = request.seed.to_string();
    });
    let task = Task {
        studio,
        model,
        request,
        policy: settings.policy,
        accept_software: settings.accept_software,
        begun,
        resume: RefCell::default(),
        began_ms: time::now_ms(),
    };
    start(task, None);
    reveal_result();
}

/// Follows the job that was running on the server when the page was left, here or in another tab.
pub(super) fn resume(studio: Studio, models: &[ModelSummary]) {
    let idle = |run: &Run| run.phase == Phase::Idle;
    if !studio.run.with_untracked(idle) {
        return;
    }
    let Some(job) = kept::job() else { return };
    let models = models.to_vec();
    spawn_local(async move {
        let view = match remote::find(&job.id).await {
            Ok(Some(view)) => view,
            Ok(None) => return kept::forget(&job.id),
            // It may still be made: the next visit looks for it once more.
            Err(_) => return,
        };
        let model = models.into_iter().find(|m| m.id == view.request.model);
        let (Some(model), true) = (model, studio.run.with_untracked(idle)) else {
            return;
        };
        // What the model no longer takes cannot be followed as a run of it.
        let Some(Ok(request)) = view
            .request
            .seed
            .map(|seed| view.request.resolve(&model, seed))
        else {
            return kept::forget(&job.id);
        };
        let task = Task {
            studio,
            model,
            request,
            policy: Policy::PreferServer,
            accept_software: false,
            begun: None,
            resume: RefCell::default(),
            began_ms: time::now_ms(),
        };
        start(task, Some(job));
    });
}

/// Starts on a task, or goes on with its job on the server.
fn start(task: Task, job: Option<kept::KeptJob>) {
    let studio = task.studio;
    studio.run.set(Run::begin(task.request.clone()));
    let (cancel, cancelled) = oneshot::channel();
    desk(|d| {
        d.cancel = Some(cancel);
        if let Some((_, url)) = d.picture.take() {
            revoke(&url);
        }
    });
    spawn_local(async move {
        let mut cancelled = cancelled.fuse();
        let made = match job {
            None => task.drive(cancelled).await,
            Some(job) => {
                task.decide(&job.decision);
                remote::follow(&task, &job.id, &mut cancelled).await
            }
        };
        let phase = match made {
            Ok(done) => Phase::Done(Box::new(done)),
            Err(Stop::Cancelled) => Phase::Cancelled,
            Err(Stop::Failed(problem)) => Phase::Failed(problem),
        };
        desk(|d| d.cancel = None);
        studio.run.update(|run| {
            run.preview = None;
            run.phase = phase;
        });
    });
}

/// Asks the current run to stop.
pub(super) fn cancel(studio: Studio) {
    let Some(cancel) = desk(|d| d.cancel.take()) else {
        return;
    };
    studio.run.update(|run| run.phase = Phase::Cancelling);
    // A run that ended in this very moment no longer listens, and needs no stopping.
    let _ = cancel.send(());
}

/// A checked request on its way to a picture.
struct Task {
    studio: Studio,
    model: ModelSummary,
    request: ResolvedRequest,
    policy: Policy,
    accept_software: bool,
    /// What it begins with, and the strength.
    begun: Option<(Chosen, f32)>,
    /// What the server is told of the steps that were done here.
    resume: RefCell<Option<Resume>>,
    /// When it was asked for.
    began_ms: f64,
}

impl Task {
    /// Browser first where policy and adapter allow it; after a fault whatever [`Machine`] says.
    async fn drive(&self, mut cancelled: Cancelled) -> Result<Finished, Stop> {
        desk(|d| d.to_server = false);
        let mut streams = false;
        let (verdict, fault) = match self.probe(&mut cancelled).await {
            Err(local::End::Cancelled) => return Err(Stop::Cancelled),
            _ if self.model.package_url.is_none() => (self.on_server_only()?, None),
            Ok(report) => {
                let demand = self.demand();
                streams = streams_here(self.policy, &report, &demand);
                let verdict = decide(self.policy, &report, &demand, self.accept_software);
                (verdict, None)
            }
            Err(local::End::Fault(fault)) => (
                Decision::new(Place::BrowserGpu, Reason::GpuFits),
                Some(fault),
            ),
        };
        let steps = self.steps();
        let mut machine = Machine::new(self.policy, &verdict, steps).streaming(streams);
        let mut state: Option<StateAfter> = None;
        let mut action = match fault {
            None => machine.start(&verdict),
            Some(fault) => machine.after(&fault, is_online()),
        };
        let mut reason = verdict.reason;
        loop {
            action = match action {
                Action::Browser { place, residency } => {
                    self.decide(&Decision {
                        place,
                        reason: reason.clone(),
                        residency,
                    });
                    self.update(|run| run.told = machine.told());
                    if place == Place::BrowserCpu {
                        let left = steps.saturating_sub(machine.steps_done());
                        self.weigh(left, &mut cancelled).await?;
                    }
                    let progress = local::Progress {
                        machine: &mut machine,
                        state: &mut state,
                    };
                    match local::render(self, place, residency, progress, &mut cancelled).await {
                        Ok(done) => return Ok(done),
                        Err(local::End::Cancelled) if desk(|d| d.to_server) => {
                            Action::Server(Reason::VisitorChoice)
                        }
                        Err(local::End::Cancelled) => return Err(Stop::Cancelled),
                        Err(local::End::Fault(fault)) => {
                            tell_console(&fault);
                            machine.after(&fault, is_online())
                        }
                    }
                }
                Action::WaitForNetwork(why) => {
                    self.update(|run| run.phase = Phase::WaitingForNetwork);
                    self.wait_for_network(&mut cancelled).await?;
                    Action::Server(why)
                }
                Action::Server(why) => {
                    reason = why;
                    let decision = Decision::new(Place::Server, reason);
                    self.decide(&decision);
                    // What was tried here in vain is no part of how the picture was made.
                    self.update(|run| run.told.clear());
                    *self.resume.borrow_mut() = state.take().and_then(|state| hand_over(&state));
                    if desk(|d| std::mem::take(&mut d.to_server)) {
                        cancelled = self.listen_anew();
                    }
                    return remote::render(self, decision, &mut cancelled).await;
                }
                Action::Fail(detail) => return Err(self.failed(detail)),
            };
        }
    }

    /// The job for the server: the request, what is done of it, and what it begins with, which is sent ahead.
    async fn job(&self) -> Result<JobRequest, Problem> {
        let start = match &self.begun {
            Some((chosen, strength)) => Some(start::send(chosen, *strength).await?),
            None => None,
        };
        Ok(JobRequest {
            request: self.request.clone().into(),
            resume: self.resume.borrow().clone(),
            start,
        })
    }

    /// Steps that are taken.
    fn steps(&self) -> u32 {
        let steps = self.request.num_inference_steps;
        let begun = self.begun.as_ref();
        begun.map_or(steps, |(_, strength)| steps_taken(steps, *strength))
    }

    async fn wait_for_network(&self, cancelled: &mut Cancelled) -> Result<(), Stop> {
        while !is_online() {
            let pause = std::pin::pin!(time::sleep(500));
            if let futures::future::Either::Right(_) =
                futures::future::select(pause, &mut *cancelled).await
            {
                return Err(Stop::Cancelled);
            }
        }
        Ok(())
    }

    /// A new wish to stop, after the old one was used to stop the browser's part.
    fn listen_anew(&self) -> Cancelled {
        let (cancel, cancelled) = oneshot::channel();
        desk(|d| d.cancel = Some(cancel));
        cancelled.fuse()
    }

    async fn probe(&self, cancelled: &mut Cancelled) -> Result<CapabilityReport, local::End> {
        if self.policy == Policy::PreferServer {
            return Ok(CapabilityReport::default());
        }
        let report = local::probe(false, cancelled).await?;
        // Whether layers may be streamed here is a matter of speed.
        let unmeasured = report.adapter.as_ref().is_some_and(|a| a.speed.is_none());
        let held = self.demand().needs.residency(report.device_memory_bytes);
        if self.policy == Policy::Auto && unmeasured && held == Ok(Residency::Streamed) {
            return local::probe(true, cancelled).await;
        }
        Ok(report)
    }

    fn demand(&self) -> Demand {
        let ResolvedRequest { width, height, .. } = self.request;
        self.model.demand_for(width, height, self.steps())
    }

    /// Measures the processor, and refuses what it could not finish while anybody waits.
    async fn weigh(&self, steps: u32, cancelled: &mut Cancelled) -> Result<(), Stop> {
        let flops_per_second = match local::processor(cancelled).await {
            Ok(measured) => measured,
            Err(local::End::Cancelled) => return Err(Stop::Cancelled),
            Err(local::End::Fault(fault)) => return Err(self.failed(fault.to_string())),
        };
        let least = processor_seconds(&self.model, flops_per_second, steps);
        if let Some(seconds) = least.filter(|seconds| *seconds > BEARABLE_SECONDS) {
            return Err(self.failed(format!(
                "this model would take at least {} on this device's processor",
                format::duration(seconds * 1e3)
            )));
        }
        self.update(|run| run.least_ms = least.map(|seconds| seconds * 1e3));
        Ok(())
    }

    fn decide(&self, decision: &Decision) {
        self.update(|run| run.decide(decision.clone()));
    }

    fn on_server_only(&self) -> Result<Decision, Stop> {
        if self.policy == Policy::BrowserOnly {
            return Err(Stop::Failed(
                Problem::new(
                    ProblemCode::GenerationFailed,
                    "this model has no package for browsers",
                )
                .with_hint("Choose another model, or “Automatic” under “Where to run”."),
            ));
        }
        Ok(Decision::new(Place::Server, Reason::NoPackage))
    }

    fn failed(&self, detail: String) -> Stop {
        Stop::Failed(
            Problem {
                title: "The picture could not be made in this browser".into(),
                ..Problem::new(ProblemCode::GenerationFailed, detail)
            }
            .with_hint("Choose “Automatic” or “On the server” under “Where to run” and try again."),
        )
    }

    /// Changes the run, unless it is being cancelled: then only its end may change it.
    fn update(&self, change: impl FnOnce(&mut Run)) {
        self.studio.run.update(|run| {
            if run.phase != Phase::Cancelling {
                change(run);
            }
        });
    }
}

/// Stops the download of the run at work, or goes on with it.
pub(super) fn pause(paused: bool) {
    local::pause(paused);
}

/// Answers the question of a run that needs room.
pub(super) fn choose_room(choice: RoomChoice) {
    local::choose_room(choice);
}

/// Sends the run at work to the server.
pub(super) fn send_to_server() {
    let cancel = desk(|d| {
        d.to_server = true;
        d.cancel.take()
    });
    if let Some(cancel) = cancel {
        // A run that ended in this very moment no longer listens.
        let _ = cancel.send(());
    }
}

/// Asks the browser once not to delete the weights by itself; it may refuse, and then they are fetched again some day.
fn ask_to_persist() {
    if desk(|d| std::mem::replace(&mut d.asked_to_persist, true)) {
        return;
    }
    let storage = web_sys::window()
        .and_then(|w| js_sys::Reflect::get(&w.navigator(), &"storage".into()).ok())
        .and_then(|s| s.dyn_into::<web_sys::StorageManager>().ok());
    if let Some(Ok(asked)) = storage.map(|storage| storage.persist()) {
        spawn_local(async move {
            let _ = wasm_bindgen_futures::JsFuture::from(asked).await;
        });
    }
}

/// A page without WebGPU has no worker with it either: then none is fetched to ask.
fn has_webgpu() -> bool {
    web_sys::window().is_some_and(|window| {
        js_sys::Reflect::get(&window.navigator(), &"gpu".into()).is_ok_and(|gpu| gpu.is_object())
    })
}

/// What the browser believes of its network.
fn is_online() -> bool {
    web_sys::window().is_none_or(|w| w.navigator().on_line())
}

/// The latents as the server takes them; a picture too large for that begins anew there.
fn hand_over(state: &StateAfter) -> Option<Resume> {
    let registers = state.registers()?;
    let resume = Resume::new(state.step, state.shape, &state.latents()?, &registers);
    resume.read(u32::MAX).is_ok().then_some(resume)
}

/// The fault in full, for whoever looks into it; the page shows one sentence.
fn tell_console(fault: &Fault) {
    leptos::logging::warn!("the run in this browser ended: {fault:?}");
}

/// A seed of 32 random bits: short enough to be read out.
fn draw_seed() -> Result<u64, Problem> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| {
        Problem::new(
            ProblemCode::Internal,
            format!("the browser gave no random number: {error}"),
        )
        .with_hint("Enter a seed yourself.")
    })?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

/// Keeps a PNG for saving and gives the address that shows it.
fn keep(png: ArrayBuffer) -> Result<String, String> {
    let url = png_url(&png)
        .map_err(|error| format!("the picture could not be shown: {}", worker::text(&error)))?;
    desk(|d| d.picture = Some((png, url.clone())));
    Ok(url)
}

/// An address that shows the PNG until it is revoked.
fn png_url(png: &ArrayBuffer) -> Result<String, JsValue> {
    let options = web_sys::BlobPropertyBag::new();
    options.set_type(protocol::PNG_MIME);
    let parts = js_sys::Array::of1(&Uint8Array::new(png));
    let blob = web_sys::Blob::new_with_u8_array_sequence_and_options(&parts, &options)?;
    web_sys::Url::create_object_url_with_blob(&blob)
}

/// Scrolls to the result where it lies below the window, as on a phone.
fn reveal_result() {
    let height = web_sys::window()
        .and_then(|w| w.inner_height().ok())
        .and_then(|h| h.as_f64());
    if let (Some(result), Some(height)) = (document().get_element_by_id("result"), height)
        && result.get_bounding_client_rect().bottom() > height
    {
        result.scroll_into_view_with_bool(result.get_bounding_client_rect().height() > height);
    }
}

fn revoke(url: &str) {
    // Fails only for an address that is no blob's.
    let _ = web_sys::Url::revoke_object_url(url);
}
