//! What the page where pictures are made does in a browser.

pub(super) mod files;
pub(super) mod keys;
pub(super) mod start;
pub(super) mod typed;

use leptos::prelude::*;
use protocol::{ModelSummary, Policy, Problem, ProblemCode, ResolvedRequest};
use wasm_bindgen_futures::spawn_local;

use super::Studio;
use super::batch::{Asked, Shot};
use super::start::StartForm;
use crate::browser::time;
use crate::runs::browser::{KeptJob, Order, is_busy, kept_job};
use crate::saving::{self, Saving};

/// Pause before looking again whether another page of this tab has made its picture.
const PAUSE_MS: i32 = 200;

/// Checks the form and puts its pictures behind those that were asked for before.
pub(super) fn generate(studio: Studio, models: &[ModelSummary]) {
    let (asked, requests) = match asked(studio, models) {
        Ok(asked) => asked,
        Err(problem) => {
            // One thing that went wrong is enough to read.
            if untrack(|| studio.read(|run| run.failure().is_some())) {
                studio.batches.put_away();
            }
            studio.problem.set(Some(problem));
            return;
        }
    };
    studio.problem.set(None);
    if let Some(first) = requests.first() {
        let seed = first.seed.to_string();
        studio.settings.update(|s| s.seed = seed);
    }
    let behind = studio.working.get_untracked();
    studio.batches.add(asked, requests);
    if !behind {
        spawn_local(work(studio, None));
        reveal_result();
    }
}

/// What the form asks for.
fn asked(
    studio: Studio,
    models: &[ModelSummary],
) -> Result<(Asked, Vec<ResolvedRequest>), Problem> {
    let settings = studio.settings.get_untracked();
    let (model, requests) = settings.requests(models, draw_seed()?)?;
    let begun = studio.start.with_untracked(StartForm::checked)?;
    let asked = Asked {
        // What was chosen for another model is not asked of this one.
        begun: begun.filter(|_| model.begins_with_pictures),
        model,
        policy: settings.policy,
        accept_software: settings.accept_software,
    };
    Ok((asked, requests))
}

/// Follows the job that was running on the server when the page was left, here or in another tab.
pub(super) fn resume(studio: Studio, models: &[ModelSummary]) {
    let idle = move || !studio.working.get_untracked() && studio.shown.get_untracked().is_none();
    if !idle() {
        return;
    }
    let models = models.to_vec();
    spawn_local(async move {
        let Some((job, view)) = kept_job().await else {
            return;
        };
        let model = models.into_iter().find(|m| m.id == view.request.model);
        let (Some(model), true) = (model, idle()) else {
            return;
        };
        // What the model no longer takes cannot be followed as a run of it.
        let resolved = view
            .request
            .seed
            .map(|seed| view.request.resolve(&model, seed));
        let Some(Ok(request)) = resolved else {
            return job.forget();
        };
        let asked = Asked {
            model,
            policy: Policy::PreferServer,
            accept_software: false,
            begun: None,
        };
        studio.batches.add(asked, vec![request]);
        work(studio, Some(job)).await;
    });
}

/// Makes what was asked for, one picture after the other, until nothing waits; `job` makes the first one already.
async fn work(studio: Studio, mut job: Option<KeptJob>) {
    while let Some((batch, shot)) = studio.batches.next() {
        // It may be left out meanwhile.
        if is_busy() {
            time::sleep(PAUSE_MS).await;
            continue;
        }
        let Some(turn) = shot.run.take_turn() else {
            continue;
        };
        studio.batches.begin(&batch);
        let Asked {
            model,
            policy,
            accept_software,
            begun,
        } = Asked::clone(&batch.asked);
        let order = Order {
            model,
            request: shot.request.get_value(),
            policy,
            accept_software,
            begun,
            job: job.take(),
        };
        turn.make(async { Ok(order) }, async |done| done).await;
        let failed = shot.run.state.with_untracked(|run| run.failure().cloned());
        if let Some(problem) = failed {
            // What comes after it in the batch would fail for the same reason.
            batch.fail(&problem);
        }
    }
}

/// Saves a picture, unless it is being saved.
pub(super) fn save(studio: Studio, shot: Shot) {
    let done = shot.run.state.with_untracked(|run| run.finished().cloned());
    let (true, Some(done)) = (shot.saving.with_untracked(Saving::is_open), done) else {
        return;
    };
    let show = move |saving: Saving| {
        // The picture may have been let go by now.
        shot.saving.try_set(saving);
    };
    let unlisted = studio.unlisted.get_untracked();
    spawn_local(saving::browser::save(done, unlisted, studio.outbox, show));
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

/// Scrolls to the picture where it is not in the window as a whole, as on a phone.
fn reveal_result() {
    let height = web_sys::window()
        .and_then(|w| w.inner_height().ok())
        .and_then(|h| h.as_f64());
    let stage = document().query_selector("#result > .stage").ok().flatten();
    let (Some(stage), Some(height)) = (stage, height) else {
        return;
    };
    let place = stage.get_bounding_client_rect();
    let above = place.top() < 0.0;
    if above || place.bottom() > height {
        stage.scroll_into_view_with_bool(above || place.height() > height);
    }
}
