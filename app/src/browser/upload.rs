//! Bytes on their way to the store, by a ticket of the hub.

use futures::channel::oneshot;
use protocol::{Problem, ProblemCode, UploadTicket};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, ProgressEvent, XmlHttpRequest};

use super::text;

/// Headers that a page may not set; the browser sends them itself with the right value.
const SET_BY_BROWSER: [&str; 2] = ["content-length", "host"];

/// Sends the bytes; `fetch` tells no upload progress, hence `XMLHttpRequest`. `on_progress` hears of the bytes sent and of all.
pub(crate) async fn put(
    ticket: &UploadTicket,
    file: &Blob,
    on_progress: impl Fn(u64, u64) + 'static,
) -> Result<(), Problem> {
    let request = XmlHttpRequest::new().map_err(broken)?;
    request.open(&ticket.method, &ticket.url).map_err(broken)?;
    for (name, value) in &ticket.headers {
        if !SET_BY_BROWSER.contains(&name.to_ascii_lowercase().as_str()) {
            request.set_request_header(name, value).map_err(broken)?;
        }
    }
    let on_progress = Closure::<dyn Fn(ProgressEvent)>::new(move |event: ProgressEvent| {
        on_progress(event.loaded() as u64, event.total() as u64);
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
    request.send_with_opt_blob(Some(file)).map_err(broken)?;
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
