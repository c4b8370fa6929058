//! A picture to begin with: from a file, from the clipboard or from a finished picture.

use std::sync::Arc;

use gloo_net::http::Request;
use js_sys::Uint8Array;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    ClipboardEvent, DataTransfer, DragEvent, Event, File, HtmlInputElement, RequestCache,
};

use crate::browser::{blob, text};
use crate::create::Studio;
use crate::runs::start::{Chosen, kind};

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
        let file = blob::blob(&Uint8Array::from(bytes.as_slice()), kind);
        let url = file.and_then(|file| blob::url(&file));
        Ok((kind, url.map_err(failed)?))
    });
    match shown {
        Ok((kind, url)) => studio.start.update(|start| {
            if let Some(before) = &start.chosen {
                blob::revoke(&before.url);
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
