//! HTTP as the store of weights needs it: transfers that cancel and pause end, and that do not hang.

use js_sys::{Reflect, Uint8Array};
use protocol::Addresses;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, Request, RequestCache, RequestInit,
    Response,
};

use super::control::Control;
use super::js::{self, is_offline, now_ms, settle};
use super::{End, scope, text};
use crate::worker::weights::backoff::Backoff;

/// Silence after which a connection is given up, in milliseconds.
const STALL_MS: f64 = 30_000.0;
/// Pause between two looks at a connection that gives nothing, in milliseconds.
const LOOK_MS: i32 = 200;

/// An answer under way; dropping it ends the transfer.
pub(super) struct Sent {
    /// Its head, and the body while nobody reads it.
    pub(super) response: Response,
    controller: AbortController,
    control: Control,
}

impl Sent {
    /// Asks for the bytes from `at` on.
    pub(super) async fn get(url: &str, at: u64, control: &Control) -> Result<Self, JsValue> {
        let range = (at > 0).then(|| format!("bytes={at}-"));
        Self::ask(url, range, control).await
    }

    async fn ask(url: &str, range: Option<String>, control: &Control) -> Result<Self, JsValue> {
        let scope = scope().ok_or_else(|| JsValue::from_str("this is no worker"))?;
        let controller = AbortController::new()?;
        control.transfer(controller.clone());
        let headers = Headers::new()?;
        if let Some(range) = range {
            headers.set("range", &range)?;
        }
        let init = RequestInit::new();
        init.set_headers(&headers);
        init.set_signal(Some(&controller.signal()));
        // The browser's own cache would keep a second copy.
        init.set_cache(RequestCache::NoStore);
        let request = Request::new_with_str_and_init(url, &init)?;
        let response = settle(scope.fetch_with_request(&request)).await;
        match response.and_then(JsCast::dyn_into) {
            Ok(response) => Ok(Self {
                response,
                controller,
                control: control.clone(),
            }),
            Err(error) => {
                control.finished(&controller);
                Err(error)
            }
        }
    }

    /// Its body, piece by piece.
    pub(super) fn reader(&self) -> Result<ReadableStreamDefaultReader, JsValue> {
        let body = self.response.body();
        let body = body.ok_or_else(|| JsValue::from_str("the answer is empty"))?;
        Ok(body.get_reader().unchecked_into())
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.control.finished(&self.controller);
        // After the end of the body this does nothing.
        self.controller.abort();
    }
}

/// The next bytes; an error where none come for too long. `waiting` is called now and then until they are here.
pub(super) async fn next(
    reader: &ReadableStreamDefaultReader,
    waiting: impl Fn(),
) -> Result<Option<Uint8Array>, JsValue> {
    let began = now_ms();
    let mut read = std::pin::pin!(settle(reader.read()));
    let part = loop {
        let pause = std::pin::pin!(js::sleep(LOOK_MS));
        match futures::future::select(read, pause).await {
            futures::future::Either::Left((part, _)) => break part?,
            futures::future::Either::Right((_, still)) => read = still,
        }
        if now_ms() - began >= STALL_MS {
            let why = format!("no byte came for {} s", STALL_MS / 1e3);
            return Err(JsValue::from_str(&why));
        }
        waiting();
    };
    if Reflect::get(&part, &JsValue::from_str("done"))?.is_truthy() {
        return Ok(None);
    }
    Reflect::get(&part, &JsValue::from_str("value"))?
        .dyn_into()
        .map(Some)
}

/// Where the files of the package at `base` lie. A hub that knows nothing of other addresses has them all beside the manifest.
pub(super) async fn addresses(base: &str, control: &Control) -> Addresses {
    let url = format!("{base}/{}", Addresses::FILE);
    let json = whole(&url, control).await.unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// A small file.
pub(super) async fn fetch_whole(url: &str, control: &Control) -> Result<Vec<u8>, End> {
    let mut backoff = Backoff::default();
    loop {
        let why = match whole(url, control).await {
            Ok(bytes) => return Ok(bytes),
            Err(why) => why,
        };
        control.check()?;
        let failed = || End::Download(format!("{url} could not be downloaded: {why}"));
        let pause = backoff.failed(js_sys::Math::random()).ok_or_else(failed)?;
        if is_offline() {
            return Err(failed());
        }
        control.wait(pause).await?;
    }
}

async fn whole(url: &str, control: &Control) -> Result<Vec<u8>, String> {
    let sent = Sent::get(url, 0, control).await.map_err(|e| text(&e))?;
    if !sent.response.ok() {
        return Err(format!("HTTP status {}", sent.response.status()));
    }
    let body = sent.response.array_buffer().map_err(|e| text(&e))?;
    let bytes = settle(body).await.map_err(|e| text(&e))?;
    Ok(Uint8Array::new(&bytes).to_vec())
}

/// Exactly `length` bytes of a file from `start` on.
pub(super) async fn fetch_range(
    url: &str,
    start: u64,
    length: usize,
    control: &Control,
) -> Result<Uint8Array, String> {
    let last = start + length as u64 - 1;
    let sent = Sent::ask(url, Some(format!("bytes={start}-{last}")), control)
        .await
        .map_err(|e| text(&e))?;
    if sent.response.status() != 206 {
        return Err(format!("HTTP status {}", sent.response.status()));
    }
    let body = sent.response.array_buffer().map_err(|e| text(&e))?;
    let bytes = Uint8Array::new(&settle(body).await.map_err(|e| text(&e))?);
    if bytes.length() as usize != length {
        return Err(format!("{} bytes came of {length}", bytes.length()));
    }
    Ok(bytes)
}
