//! Running the sides of a comparison, one after the other.

use leptos::prelude::*;
use protocol::ImageRecord;
use wasm_bindgen_futures::spawn_local;

use super::sides::{SideRun, Sides};
use crate::browser::{api, time};
use crate::format::encode;
use crate::runs::browser::Order;
use crate::runs::run::Finished;

/// Runs every side that was asked for.
pub(super) fn start(sides: Sides, accept_software: bool) {
    sides.active.set(true);
    spawn_local(async move {
        for side in sides.runs {
            if sides.active.try_get_untracked() != Some(true) || !run(side, accept_software).await {
                break;
            }
        }
        sides.active.try_set(false);
    });
}

/// Stops the side that runs; `active` keeps the others from starting.
pub(super) fn stop(sides: Sides) {
    if sides.active.try_set(false).is_none() {
        for side in sides.runs {
            side.run.cancel();
        }
    }
}

/// Makes the picture of one side; false where another run of this tab is at work.
async fn run(side: SideRun, accept_software: bool) -> bool {
    let Some(asked) = side.asked.try_get_untracked().flatten() else {
        return true;
    };
    let Some(turn) = side.run.take_turn() else {
        return false;
    };
    let began = time::now_ms();
    let order = Order {
        policy: asked.policy(),
        model: asked.model,
        request: asked.request,
        accept_software,
        begun: None,
        job: None,
    };
    let finish = async |done| {
        side.wall_ms.try_set(Some(time::now_ms() - began));
        with_record(done).await
    };
    turn.make(async { Ok(order) }, finish).await;
    true
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
