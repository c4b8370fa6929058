//! The storage page's questions to the worker.

use leptos::prelude::*;
use protocol::Place;
use wasm_bindgen_futures::spawn_local;

use super::desk;
use super::worker::RenderWorker;
use crate::pages::{Act, Check, Known, Shelf};
use crate::worker::message::{FromWorker, ToWorker};

/// Longest silence, in milliseconds.
const SILENCE_MS: i32 = 60_000;

/// Does what the visitor asks and shows the answer.
pub(crate) fn act(shelf: Shelf, act: Act) {
    spawn_local(async move {
        if let Act::Verify(digest) = &act {
            shelf.check.set(Some((digest.clone(), Check::Running(0))));
        }
        if let Err(detail) = ask(shelf, &act).await {
            match act {
                Act::Verify(digest) => {
                    shelf.check.set(Some((digest, Check::Failed(detail))));
                }
                Act::Look | Act::Forget(_) => shelf.known.set(Known::Failed(detail)),
            }
        }
    });
}

async fn ask(shelf: Shelf, act: &Act) -> Result<(), String> {
    // A worker that is busy with a picture is left alone: any other sees the same store.
    let mut worker = match desk(|d| d.worker.take()) {
        Some(worker) => worker,
        None => RenderWorker::start(Place::BrowserGpu).await?,
    };
    worker.post(&match act {
        Act::Look => ToWorker::Storage,
        Act::Forget(digest) => ToWorker::Forget {
            digest: digest.clone(),
        },
        Act::Verify(digest) => ToWorker::Verify {
            digest: digest.clone(),
        },
    })?;
    loop {
        match worker.next(SILENCE_MS).await?.0 {
            FromWorker::Storage { storage } => {
                shelf.known.set(match storage {
                    Ok(storage) => Known::Here(storage),
                    Err(detail) => Known::Failed(detail),
                });
                break;
            }
            FromWorker::Verifying { digest, bytes } => {
                shelf.check.set(Some((digest, Check::Running(bytes))));
            }
            FromWorker::Verified { digest, damaged } => {
                let check = match damaged {
                    Ok(0) => Check::Whole,
                    Ok(n) => Check::Damaged(n),
                    Err(detail) => Check::Failed(detail),
                };
                shelf.check.set(Some((digest, check)));
                break;
            }
            _ => {}
        }
    }
    desk(|d| d.worker.get_or_insert(worker).place());
    Ok(())
}
