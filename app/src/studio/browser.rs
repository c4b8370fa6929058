//! Running, stopping and saving in the browser's main thread; the model itself runs in the worker.

pub(crate) mod capability;
pub(crate) mod compare;
pub(super) mod files;
mod kept;
mod local;
mod pixels;
mod remote;
pub(super) mod rerun;
pub(super) mod save;
pub(super) mod time;
pub(super) mod typed;
mod worker;

use std::cell::RefCell;

use futures::channel::oneshot;
use futures::future::FutureExt;
use js_sys::{ArrayBuffer, Uint8Array};
use leptos::prelude::*;
use protocol::{
    CapabilityReport, Decision, GenerationRequest, ModelSummary, Place, Policy, Problem,
    ProblemCode, Reason, decide,
};
use wasm_bindgen_futures::spawn_local;

use self::worker::RenderWorker;
use super::Studio;
use super::handle::Saving;
use super::run::{Finished, Phase, Run, after_browser_failure};

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
    let (model, request) = match checked {
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
        s.seed = request.seed.map(|v| v.to_string()).unwrap_or_default();
    });
    let task = Task {
        studio,
        model,
        request,
        policy: settings.policy,
        accept_software: settings.accept_software,
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
        let task = Task {
            studio,
            model,
            request: view.request,
            policy: Policy::PreferServer,
            accept_software: false,
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
    request: GenerationRequest,
    policy: Policy,
    accept_software: bool,
}

impl Task {
    /// Browser first where policy and adapter allow it, then the server where policy allows that.
    async fn drive(&self, mut cancelled: Cancelled) -> Result<Finished, Stop> {
        let mut decision = match self.probe(&mut cancelled).await {
            Err(local::End::Cancelled) => return Err(Stop::Cancelled),
            _ if self.model.package_url.is_none() => self.on_server_only()?,
            Ok(report) => decide(
                self.policy,
                &report,
                &self.model.needs,
                self.accept_software,
            ),
            Err(local::End::Failed(detail)) => self.hand_over(detail)?,
        };
        if decision.place != Place::Server {
            self.decide(&decision);
            match local::render(self, decision.place, &mut cancelled).await {
                Ok(done) => return Ok(done),
                Err(local::End::Cancelled) => return Err(Stop::Cancelled),
                Err(local::End::Failed(detail)) => decision = self.hand_over(detail)?,
            }
        }
        self.decide(&decision);
        remote::render(self, decision, &mut cancelled).await
    }

    async fn probe(&self, cancelled: &mut Cancelled) -> Result<CapabilityReport, local::End> {
        if self.policy == Policy::PreferServer {
            return Ok(CapabilityReport::default());
        }
        local::probe(false, cancelled).await
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
        Ok(Decision {
            place: Place::Server,
            reason: Reason::NoPackage,
        })
    }

    fn hand_over(&self, detail: String) -> Result<Decision, Stop> {
        after_browser_failure(self.policy, detail).map_err(|detail| {
            Stop::Failed(
                Problem {
                    title: "The picture could not be made in this browser".into(),
                    ..Problem::new(ProblemCode::GenerationFailed, detail)
                }
                .with_hint(
                    "Choose “Automatic” or “On the server” under “Where to run” and try again.",
                ),
            )
        })
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
    let options = web_sys::BlobPropertyBag::new();
    options.set_type(protocol::PNG_MIME);
    let parts = js_sys::Array::of1(&Uint8Array::new(&png));
    let url = web_sys::Blob::new_with_u8_array_sequence_and_options(&parts, &options)
        .and_then(|blob| web_sys::Url::create_object_url_with_blob(&blob))
        .map_err(|error| format!("the picture could not be shown: {}", worker::text(&error)))?;
    desk(|d| d.picture = Some((png, url.clone())));
    Ok(url)
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
