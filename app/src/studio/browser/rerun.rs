//! Making a stored picture again in this browser, and measuring the difference.

use std::cell::RefCell;

use futures::channel::oneshot;
use futures::future::FutureExt;
use leptos::prelude::*;
use protocol::{ImageRecord, Policy, Problem, ProblemCode, RequestError};
use wasm_bindgen_futures::spawn_local;

use super::{Stop, Task, desk, pixels, revoke, time};
use crate::data;
use crate::difference::Difference;
use crate::studio::rerun::Rerun;
use crate::studio::run::{Finished, Phase, Run};

thread_local! {
    /// Blob address of the last picture that was made again.
    static PICTURE: RefCell<Option<String>> = RefCell::default();
}

/// Starts; one run at a time has the render worker.
pub(crate) fn start(rerun: Rerun, record: ImageRecord) {
    if let Some(url) = PICTURE.take() {
        revoke(&url);
    }
    rerun.score.set(None);
    if desk(|d| d.cancel.is_some()) {
        rerun.run().update(|run| {
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
    rerun.run().update(|run| {
        *run = Run::default();
        run.phase = Phase::Probing;
    });
    let (cancel, cancelled) = oneshot::channel();
    // The picture under “Create” stays there while this one passes over the desk.
    let aside = desk(|d| {
        d.cancel = Some(cancel);
        d.picture.take()
    });
    spawn_local(async move {
        let made = match task(rerun, &record).await {
            Ok(task) => {
                rerun
                    .run()
                    .try_update(|run| run.request = Some(task.request.clone()));
                task.drive(cancelled.fuse()).await
            }
            Err(problem) => Err(Stop::Failed(problem)),
        };
        let here = desk(|d| {
            d.cancel = None;
            std::mem::replace(&mut d.picture, aside)
        });
        PICTURE.set(here.map(|(_, url)| url));
        let score = match &made {
            Ok(done) => Some(compare(&record, done).await),
            Err(_) => None,
        };
        let phase = match made {
            Ok(done) => Phase::Done(Box::new(done)),
            Err(Stop::Cancelled) => Phase::Cancelled,
            Err(Stop::Failed(problem)) => Phase::Failed(problem),
        };
        // The page may have been left: then nobody looks any more.
        rerun.score.try_set(score);
        rerun.run().try_update(|run| run.phase = phase);
    });
}

/// Stops the run of `rerun`, and no other.
pub(crate) fn cancel(rerun: Rerun) {
    if rerun.run().try_with_untracked(Run::is_active) != Some(true) {
        return;
    }
    let Some(cancel) = desk(|d| d.cancel.take()) else {
        return;
    };
    rerun.run().try_update(|run| run.phase = Phase::Cancelling);
    // A run that ended in this very moment no longer listens, and needs no stopping.
    let _ = cancel.send(());
}

async fn task(rerun: Rerun, record: &ImageRecord) -> Result<Task, Problem> {
    let request = record.recipe.request.clone();
    let seed = request.seed.ok_or_else(|| {
        Problem::new(ProblemCode::MalformedRequest, "the recipe has no seed")
            .with_hint("This picture cannot be made again.")
    })?;
    let model = data::models()
        .await?
        .into_iter()
        .find(|m| m.id == request.model)
        .ok_or_else(|| RequestError::UnknownModel(request.model.clone()))?;
    if record.recipe.start.is_some() {
        return Err(Problem::new(
            ProblemCode::Conflict,
            "this picture began with another one, which the hub does not keep",
        )
        .with_hint("Whoever has that picture can begin with it under “Create”."));
    }
    Ok(Task {
        studio: rerun.studio,
        request: request.resolve(&model, seed)?,
        model,
        policy: Policy::BrowserOnly,
        accept_software: false,
        begun: None,
        resume: RefCell::default(),
        began_ms: time::now_ms(),
    })
}

async fn compare(record: &ImageRecord, done: &Finished) -> Result<Difference, String> {
    let stored = pixels::stored(&record.url).await?;
    let made = pixels::decode(&done.url).await?;
    Difference::between(&stored, &made).ok_or_else(|| {
        format!(
            "The stored picture has {} × {} pixels, this one {} × {}: they cannot be compared.",
            stored.width, stored.height, made.width, made.height
        )
    })
}
