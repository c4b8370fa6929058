//! Making a stored picture again in this browser, and measuring the difference.

use leptos::prelude::*;
use protocol::{ImageRecord, Policy, Problem, ProblemCode, RequestError};
use wasm_bindgen_futures::spawn_local;

use super::difference::Difference;
use super::pixels;
use super::rerun::Rerun;
use crate::data;
use crate::runs::browser::Order;
use crate::runs::run::Finished;

/// Starts; one run at a time has the render worker.
pub(super) fn start(rerun: Rerun, record: ImageRecord) {
    rerun.score.set(None);
    let Some(turn) = rerun.run.take_turn() else {
        return;
    };
    spawn_local(async move {
        let finish = async |done| {
            let score = compare(&record, &done).await;
            // The page may have been left: then nobody looks any more.
            rerun.score.try_set(Some(score));
            done
        };
        turn.make(order(&record), finish).await;
    });
}

async fn order(record: &ImageRecord) -> Result<Order, Problem> {
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
    if request.upscale.is_some() {
        return Err(Problem::new(
            ProblemCode::Conflict,
            "this picture was made larger on the server, which browsers cannot do yet",
        )
        .with_hint("Its recipe, sent to the API, makes it again."));
    }
    Ok(Order {
        request: request.resolve(&model, seed)?,
        model,
        policy: Policy::BrowserOnly,
        accept_software: false,
        begun: None,
        job: None,
    })
}

async fn compare(record: &ImageRecord, done: &Finished) -> Result<Difference, String> {
    let stored = pixels::stored(&record.url).await?;
    let made = pixels::decode(done.picture.url()).await?;
    Difference::between(&stored, &made).ok_or_else(|| {
        format!(
            "The stored picture has {} × {} pixels, this one {} × {}: they cannot be compared.",
            stored.width, stored.height, made.width, made.height
        )
    })
}
