//! What the page where pictures are made does in a browser.

pub(super) mod files;
pub(super) mod start;
pub(super) mod typed;

use leptos::prelude::*;
use protocol::{ModelSummary, Policy, Problem, ProblemCode};
use wasm_bindgen_futures::spawn_local;

use super::Studio;
use super::start::StartForm;
use crate::runs::browser::{Order, kept_job};
use crate::runs::run::{Phase, Run};
use crate::saving::{self, Saving};

/// Checks the form and starts a run.
pub(super) fn generate(studio: Studio, models: &[ModelSummary]) {
    let state = studio.run.state;
    if state.with_untracked(Run::is_active) {
        return;
    }
    let order = match order(studio, models) {
        Ok(order) => order,
        Err(problem) => {
            if state.with_untracked(|run| run.failure().is_some()) {
                state.set(Run::default());
            }
            studio.problem.set(Some(problem));
            return;
        }
    };
    studio.problem.set(None);
    studio.saving.set(Saving::Unsaved);
    let seed = order.request.seed.to_string();
    studio.settings.update(|s| s.seed = seed);
    start(studio, order);
    reveal_result();
}

/// What the form asks for.
fn order(studio: Studio, models: &[ModelSummary]) -> Result<Order, Problem> {
    let settings = studio.settings.get_untracked();
    let (model, request) = settings.request(models, draw_seed()?)?;
    let begun = studio.start.with_untracked(StartForm::checked)?;
    Ok(Order {
        // What was chosen for another model is not asked of this one.
        begun: begun.filter(|_| model.begins_with_pictures),
        model,
        request,
        policy: settings.policy,
        accept_software: settings.accept_software,
        job: None,
    })
}

/// Follows the job that was running on the server when the page was left, here or in another tab.
pub(super) fn resume(studio: Studio, models: &[ModelSummary]) {
    let idle = move || {
        let idle = |run: &Run| run.phase == Phase::Idle;
        studio.run.state.with_untracked(idle)
    };
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
        start(
            studio,
            Order {
                model,
                request,
                policy: Policy::PreferServer,
                accept_software: false,
                begun: None,
                job: Some(job),
            },
        );
    });
}

fn start(studio: Studio, order: Order) {
    if let Some(turn) = studio.run.take_turn() {
        let order = async { Ok(order) };
        spawn_local(turn.make(order, async |done| done));
    }
}

/// Saves the picture that is shown, unless it is being saved.
pub(super) fn save(studio: Studio) {
    let state = studio.run.state;
    let done = state.with_untracked(|run| run.finished().cloned());
    let (true, Some(done)) = (studio.saving.with_untracked(Saving::is_open), done) else {
        return;
    };
    let saved = done.picture.clone();
    let show = move |saving: Saving| {
        // A picture made in the meantime has its own state.
        let is_shown =
            state.with_untracked(|run| run.finished().is_some_and(|shown| shown.picture == saved));
        if is_shown {
            studio.saving.set(saving);
        }
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
