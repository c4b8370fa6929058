//! The storage page's questions to the worker.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{Check, Known, StoreAct, Stored};
use crate::runs::browser::{put_back_unless_replaced, take_any};
use crate::worker::message::{FromWorker, ToWorker};

/// Longest silence, in milliseconds.
const SILENCE_MS: i32 = 60_000;

/// Does what the visitor asks and shows the answer.
pub(super) fn act(stored: Stored, act: StoreAct) {
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
    // A worker that is busy with a picture is left alone.
    let mut worker = take_any().await?;
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
    put_back_unless_replaced(worker);
    Ok(())
}
