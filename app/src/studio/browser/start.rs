//! A picture to begin with: from a file, from the clipboard or from a finished picture; and on its way to the server.

use std::sync::Arc;

use gloo_net::http::Request;
use js_sys::{ArrayBuffer, Uint8Array};
use leptos::prelude::*;
use protocol::{InputRequest, PictureRef, Problem, StartRequest, UploadTicket};
use sha2::{Digest, Sha256};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    BlobPropertyBag, ClipboardEvent, DataTransfer, DragEvent, Event, File, HtmlInputElement,
    RequestCache, Url,
};

use super::save::put;
use super::worker::text;
use crate::api;
use crate::studio::Studio;
use crate::studio::start::{Chosen, kind};

/// Takes the file that a file field holds now.
pub(crate) fn chosen(studio: Studio, event: &Event) {
    let input = event.target().and_then(|t| t.dyn_into().ok());
    let Some(input): Option<HtmlInputElement> = input else {
        return;
    };
    if let Some(file) = input.files().and_then(|files| files.get(0)) {
        take_file(studio, file);
    }
    // So that the same file can be chosen again.
    input.set_value("");
}

/// Takes what is dropped onto the part of the form that is for it.
pub(crate) fn dropped(studio: Studio, event: &DragEvent) {
    if let Some(file) = event.data_transfer().and_then(first) {
        // Who else listens for drops on the page sees by this that it was taken.
        event.prevent_default();
        take_file(studio, file);
    }
}

/// Takes what is pasted there.
pub(crate) fn pasted(studio: Studio, event: &ClipboardEvent) {
    if let Some(file) = event.clipboard_data().and_then(first) {
        event.prevent_default();
        take_file(studio, file);
    }
}

/// Takes the finished picture at `url`.
pub(crate) fn finished(studio: Studio, url: String) {
    spawn_local(async move {
        let fetched = async {
            // Not out of the browser's cache, which may hold it without leave to read it.
            let request = Request::get(&url).cache(RequestCache::NoStore);
            let response = request.send().await.map_err(|e| e.to_string())?;
            if !response.ok() {
                return Err(format!("HTTP status {}", response.status()));
            }
            response.binary().await.map_err(|e| e.to_string())
        };
        match fetched.await {
            Ok(bytes) => take(studio, "the finished picture".to_owned(), bytes),
            Err(why) => refuse(studio, format!("The picture could not be fetched: {why}.")),
        }
    });
}

fn first(transfer: DataTransfer) -> Option<File> {
    transfer.files().and_then(|files| files.get(0))
}

fn take_file(studio: Studio, file: File) {
    spawn_local(async move {
        match JsFuture::from(file.array_buffer()).await {
            Ok(buffer) => take(studio, file.name(), Uint8Array::new(&buffer).to_vec()),
            Err(error) => {
                let why = text(&error);
                refuse(studio, format!("The file could not be read: {why}."));
            }
        }
    });
}

fn take(studio: Studio, name: String, bytes: Vec<u8>) {
    let shown = kind(&bytes).and_then(|kind| {
        let failed = |error| format!("The picture cannot be shown: {}.", text(&error));
        let options = BlobPropertyBag::new();
        options.set_type(kind);
        let parts = js_sys::Array::of1(&Uint8Array::from(bytes.as_slice()));
        let blob = web_sys::Blob::new_with_u8_array_sequence_and_options(&parts, &options);
        let url = blob.and_then(|blob| Url::create_object_url_with_blob(&blob));
        Ok((kind, url.map_err(failed)?))
    });
    match shown {
        Ok((kind, url)) => studio.start.update(|start| {
            if let Some(before) = &start.chosen {
                super::revoke(&before.url);
            }
            start.take(Some(Chosen {
                name,
                kind,
                url,
                bytes: Arc::new(bytes),
            }));
        }),
        Err(why) => refuse(studio, why),
    }
}

fn refuse(studio: Studio, why: String) {
    studio.start.update(|start| start.refused = Some(why));
}

/// Sends the picture ahead of the request that names it.
pub(super) async fn send(chosen: &Chosen, strength: f32) -> Result<StartRequest, Problem> {
    let request = InputRequest {
        sha256: hex::encode(Sha256::digest(&*chosen.bytes)),
        bytes: chosen.bytes.len() as u64,
        content_type: chosen.kind.to_owned(),
    };
    let ticket: UploadTicket = api::post("/api/v1/inputs", &request).await?;
    let buffer: ArrayBuffer = Uint8Array::from(chosen.bytes.as_slice()).buffer();
    put(&ticket, &buffer, |_| {}).await.map_err(|problem| {
        let hint = "The picture to begin with did not reach the server: try again.";
        Problem {
            title: "The picture was not made".into(),
            ..problem.with_hint(hint)
        }
    })?;
    Ok(StartRequest {
        image: PictureRef::Input(ticket.id),
        strength: Some(strength),
        mask: None,
        mask_by: None,
    })
}
