//! The storage page's questions to the worker.

use leptos::prelude::*;
use protocol::Place;
use wasm_bindgen_futures::spawn_local;

use super::worker::RenderWorker;
use super::{desk, has_webgpu};
use crate::pages::{Check, Known, StoreAct, Stored};
use crate::worker::message::{FromWorker, ToWorker};

/// Longest silence, in milliseconds.
const SILENCE_MS: i32 = 60_000;

/// Does what the visitor asks and shows the answer.
pub(crate) fn act(stored: Stored, act: StoreAct) {
    // The page may be left before the answer comes: then nobody looks any more.
    spawn_local(async move {
        if let StoreAct::Verify(digest) = &act {
            stored
                .check
                .try_set(Some((digest.clone(), Check::Running(0))));
        }
        if let Err(detail) = ask(stored, &act).await {
            match act {
                StoreAct::Verify(digest) => {
                    stored.check.try_set(Some((digest, Check::Failed(detail))));
                }
                StoreAct::Look | StoreAct::Forget(_) => {
                    stored.known.try_set(Known::Failed(detail));
                }
            }
        }
    });
}

async fn ask(stored: Stored, act: &StoreAct) -> Result<(), String> {
    // A worker that is busy with a picture is left alone: any other sees the same store.
    let mut worker = match desk(|d| d.worker.take()) {
        Some(worker) => worker,
        None => {
            RenderWorker::start(if has_webgpu() {
                Place::BrowserGpu
            } else {
                Place::BrowserCpu
            })
            .await?
        }
    };
    worker.post(&match act {
        StoreAct::Look => ToWorker::Storage,
        StoreAct::Forget(digest) => ToWorker::Forget {
            digest: digest.clone(),
        },
        StoreAct::Verify(digest) => ToWorker::Verify {
            digest: digest.clone(),
        },
    })?;
    loop {
        match worker.next(SILENCE_MS).await?.0 {
            FromWorker::Storage { storage } => {
                stored.known.try_set(match storage {
                    Ok(storage) => Known::Here(storage),
                    Err(detail) => Known::Failed(detail),
                });
                break;
            }
            FromWorker::Verifying { digest, bytes } => {
                stored.check.try_set(Some((digest, Check::Running(bytes))));
            }
            FromWorker::Verified { digest, damaged } => {
                let check = match damaged {
                    Ok(0) => Check::Whole,
                    Ok(n) => Check::Damaged(n),
                    Err(detail) => Check::Failed(detail),
                };
                stored.check.try_set(Some((digest, check)));
                break;
            }
            _ => {}
        }
    }
    desk(|d| {
        d.worker.get_or_insert(worker);
    });
    Ok(())
}
