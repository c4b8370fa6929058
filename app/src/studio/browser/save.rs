//! Saving a picture: one made here by ticket, presigned PUT with progress and commit; one that the server made and
//! keeps by asking it to keep it for good.

use futures::channel::oneshot;
use js_sys::ArrayBuffer;
use leptos::prelude::*;
use protocol::{
    ImageChange, ImageRecord, PNG_MIME, Problem, ProblemCode, UploadRequest, UploadTicket,
    Visibility,
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{ProgressEvent, XmlHttpRequest};

use super::{desk, outbox, worker::text};
use crate::api;
use crate::settings::encode;
use crate::studio::Studio;
use crate::studio::handle::Saving;
use crate::studio::run::{Finished, Kept, MadeHere, Phase};

/// Headers that a page may not set; the browser sends them itself with the right value.
const SET_BY_BROWSER: [&str; 2] = ["content-length", "host"];

/// Saves the picture that is shown, unless it is being saved.
pub(crate) fn start(studio: Studio) {
    let busy = studio
        .saving
        .with_untracked(|s| !matches!(s, Saving::Unsaved | Saving::Failed(_)));
    let done = studio.run.with_untracked(|r| match &r.phase {
        Phase::Done(done) => Some(Finished::clone(done)),
        _ => None,
    });
    let (false, Some(done)) = (busy, done) else {
        return;
    };
    let run = studio.run.with_untracked(|r| r.request.clone());
    let show = move |saving: Saving| {
        // A picture made in the meantime has its own state.
        if studio
            .run
            .with_untracked(|r| r.request == run && !r.is_active())
        {
            studio.saving.set(saving);
        }
    };
    let unlisted = studio.unlisted.get_untracked();
    if let Some(kept) = done.kept {
        show(Saving::Committing);
        spawn_local(async move {
            show(match keep(&kept, unlisted).await {
                Ok(permalink) => Saving::Saved(permalink),
                Err(problem) => Saving::Failed(problem),
            });
        });
        return;
    }
    let png = desk(|d| d.picture.as_ref().map(|(png, _)| png.clone()));
    let (Some(made_here), Some(png)) = (done.made_here, png) else {
        return;
    };
    show(Saving::Uploading {
        sent: 0,
        total: u64::from(png.byte_length()),
    });
    spawn_local(async move {
        let end = match save(made_here.clone(), &png, unlisted, &show).await {
            Ok(permalink) => Saving::Saved(permalink),
            Err(problem)
                if api::is_unreachable(&problem)
                    || (!super::is_online() && outbox::may_pass(&problem)) =>
            {
                match outbox::queue(studio.outbox, made_here, unlisted, &png).await {
                    Ok(()) => Saving::Waiting,
                    Err(_) => Saving::Failed(problem),
                }
            }
            Err(problem) => Saving::Failed(problem),
        };
        show(end);
    });
}

/// Keeps for good what the server made, and gives its permanent link.
async fn keep(kept: &Kept, unlisted: bool) -> Result<String, Problem> {
    let change = ImageChange {
        visibility: if unlisted {
            Visibility::Unlisted
        } else {
            Visibility::Listed
        },
    };
    let url = format!("/api/v1/images/{}", encode(&kept.id));
    let record: ImageRecord = api::patch(&url, &change).await?;
    Ok(record.permalink)
}

/// Saves a picture that nobody watches.
pub(super) async fn send(
    made_here: MadeHere,
    unlisted: bool,
    png: &ArrayBuffer,
) -> Result<String, Problem> {
    save(made_here, png, unlisted, &|_| {}).await
}

async fn save(
    made_here: MadeHere,
    png: &ArrayBuffer,
    unlisted: bool,
    show: &(impl Fn(Saving) + Clone + 'static),
) -> Result<String, Problem> {
    let request = UploadRequest {
        sha256: made_here.sha256,
        bytes: u64::from(png.byte_length()),
        content_type: PNG_MIME.to_owned(),
        recipe: made_here.recipe,
        unlisted,
        visibility: None,
    };
    let ticket: UploadTicket = api::post("/api/v1/uploads", &request).await?;
    if !ticket.already_stored {
        put(&ticket, png, show.clone()).await?;
    }
    show(Saving::Committing);
    let url = format!("/api/v1/uploads/{}/commit", ticket.id);
    let record: ImageRecord = api::post(&url, &serde_json::json!({})).await?;
    Ok(record.permalink)
}

/// Sends the bytes; `fetch` tells no upload progress, hence `XMLHttpRequest`.
pub(super) async fn put(
    ticket: &UploadTicket,
    png: &ArrayBuffer,
    show: impl Fn(Saving) + 'static,
) -> Result<(), Problem> {
    let request = XmlHttpRequest::new().map_err(broken)?;
    request.open(&ticket.method, &ticket.url).map_err(broken)?;
    for (name, value) in &ticket.headers {
        if !SET_BY_BROWSER.contains(&name.to_ascii_lowercase().as_str()) {
            request.set_request_header(name, value).map_err(broken)?;
        }
    }
    let on_progress = Closure::<dyn Fn(ProgressEvent)>::new(move |event: ProgressEvent| {
        show(Saving::Uploading {
            sent: event.loaded() as u64,
            total: event.total() as u64,
        });
    });
    if let Ok(upload) = request.upload() {
        upload.set_onprogress(Some(on_progress.as_ref().unchecked_ref()));
    }
    let (ended, end) = oneshot::channel();
    let on_end = Closure::once(move || {
        // The receiver waits below for as long as the request lives.
        let _ = ended.send(());
    });
    request.set_onloadend(Some(on_end.as_ref().unchecked_ref()));
    request
        .send_with_opt_buffer_source(Some(png))
        .map_err(broken)?;
    if end.await.is_err() {
        return Err(unsent("the upload was dropped".into()));
    }
    match request.status().unwrap_or_default() {
        200..=299 => Ok(()),
        0 => Err(unsent("the picture store could not be reached".into())),
        // `if-none-match: *`: another upload of the same bytes arrived first; the commit checks them.
        412 => Ok(()),
        403 => Err(unsent(
            "the picture store refused the upload, probably because its link had expired".into(),
        )),
        status => Err(unsent(format!(
            "the picture store answered with HTTP status {status}"
        ))),
    }
}

fn broken(error: JsValue) -> Problem {
    unsent(text(&error))
}

fn unsent(detail: String) -> Problem {
    Problem {
        title: "The picture was not saved".into(),
        ..Problem::new(ProblemCode::StorageUnavailable, detail)
            .with_hint("It is still here: try again, or download it.")
    }
}
