//! Running the sides of a comparison, one after the other.

use std::cell::RefCell;

use futures::channel::oneshot;
use futures::future::FutureExt;
use leptos::prelude::*;
use protocol::{ImageRecord, Problem, ProblemCode};
use wasm_bindgen_futures::spawn_local;

use super::{Stop, Task, desk, revoke, time};
use crate::api;
use crate::settings::encode;
use crate::studio::run::{Finished, Phase, Run};
use crate::studio::sides::{SideRun, Sides};

thread_local! {
    /// Blob addresses of the sides' pictures.
    static PICTURES: RefCell<Vec<String>> = RefCell::default();
}

/// Runs every side that was asked for.
pub(crate) fn start(sides: Sides, accept_software: bool) {
    for url in PICTURES.take() {
        revoke(&url);
    }
    if desk(|d| d.cancel.is_some()) {
        sides.runs[0].studio.run.update(|run| {
            run.phase = Phase::Failed(
                Problem::new(
                    ProblemCode::Conflict,
                    "another picture is being made in this tab",
                )
                .with_hint("Wait for it, or cancel it under “Create”."),
            );
        });
        return;
    }
    sides.active.set(true);
    spawn_local(async move {
        for side in sides.runs {
            if sides.active.try_get_untracked() != Some(true) {
                break;
            }
            run(side, accept_software).await;
        }
        sides.active.try_set(false);
    });
}

/// Stops the side that runs; `active` keeps the others from starting.
pub(crate) fn stop(sides: Sides) {
    if sides.active.try_set(false).is_some() {
        return;
    }
    for side in sides.runs {
        let runs = side.studio.run.try_with_untracked(Run::is_active);
        if runs == Some(true)
            && let Some(cancel) = desk(|d| d.cancel.take())
        {
            side.studio
                .run
                .try_update(|run| run.phase = Phase::Cancelling);
            // A run that ended in this very moment no longer listens, and needs no stopping.
            let _ = cancel.send(());
        }
    }
}

/// Makes the picture of one side.
async fn run(side: SideRun, accept_software: bool) {
    let Some(asked) = side.asked.try_get_untracked().flatten() else {
        return;
    };
    let policy = asked.policy();
    let task = Task {
        studio: side.studio,
        model: asked.model,
        request: asked.request,
        policy,
        accept_software,
        begun: None,
        resume: RefCell::default(),
        began_ms: time::now_ms(),
    };
    side.studio.run.set(Run::begin(task.request.clone()));
    let (cancel, cancelled) = oneshot::channel();
    // The picture under “Create” stays there while others pass over the desk.
    let aside = desk(|d| {
        d.cancel = Some(cancel);
        d.picture.take()
    });
    let began = time::now_ms();
    let made = task.drive(cancelled.fuse()).await;
    let wall_ms = time::now_ms() - began;
    let here = desk(|d| {
        d.cancel = None;
        std::mem::replace(&mut d.picture, aside)
    });
    if let Some((_, url)) = here {
        PICTURES.with_borrow_mut(|all| all.push(url));
    }
    let phase = match made {
        Ok(done) => {
            side.wall_ms.try_set(Some(wall_ms));
            Phase::Done(Box::new(with_record(done).await))
        }
        Err(Stop::Cancelled) => Phase::Cancelled,
        Err(Stop::Failed(problem)) => Phase::Failed(problem),
    };
    // The page may have been left: then nobody looks any more.
    side.studio.run.try_update(|run| {
        run.preview = None;
        run.phase = phase;
    });
}

/// Adds what only the record of a picture made on the server knows: the time that the model took, and the device.
async fn with_record(mut done: Finished) -> Finished {
    if done.duration_ms.is_some() {
        return done;
    }
    let Some(id) = done.kept.as_ref().map(|kept| kept.id.clone()) else {
        return done;
    };
    // Without the record the picture is shown all the same, its time as not known.
    if let Ok(record) = api::get::<ImageRecord>(&format!("/api/v1/images/{}", encode(&id))).await {
        done.duration_ms = Some(record.recipe.duration_ms as f64);
        done.adapter = record.recipe.adapter;
    }
    done
}
