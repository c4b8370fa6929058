//! Fetching a package, with progress.

use std::collections::HashMap;

use diffusion::{Cancel, Manifest};
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response};

use super::{End, scope, text};
use crate::worker::message::RunEvent;

/// Progress is told at most once per this many bytes.
const REPORT_BYTES: u64 = 256 * 1024;

/// The manifest at `url` as it was served, and the bytes of every file that it lists, by name.
pub(super) async fn package(
    url: &str,
    cancel: &Cancel,
    report: &impl Fn(RunEvent),
) -> Result<(Vec<u8>, HashMap<String, Vec<u8>>), End> {
    let manifest_json = fetch(url, None, cancel, &mut |_| {}).await?;
    let manifest = Manifest::parse(&manifest_json)?;
    let total = manifest.files().map(|f| f.bytes).sum();
    let base = url.rsplit_once('/').map_or("", |(base, _)| base);
    let (mut loaded, mut reported) = (0, 0);
    report(RunEvent::Download { loaded, total });
    let mut files = HashMap::new();
    for file in manifest.files() {
        let url = format!("{base}/{}", file.name);
        let bytes = fetch(&url, Some(file.bytes), cancel, &mut |n| {
            loaded += n;
            if loaded - reported >= REPORT_BYTES || loaded == total {
                reported = loaded;
                report(RunEvent::Download { loaded, total });
            }
        })
        .await?;
        files.insert(file.name.clone(), bytes);
    }
    Ok((manifest_json, files))
}

/// The body at `url`; stops as soon as it is longer than `expected`.
async fn fetch(
    url: &str,
    expected: Option<u64>,
    cancel: &Cancel,
    on_bytes: &mut impl FnMut(u64),
) -> Result<Vec<u8>, End> {
    let failed = |detail: String| End::Failed(format!("{url} could not be downloaded: {detail}"));
    let scope = scope().ok_or_else(|| failed("this is no worker".into()))?;
    let response: Response = settle(scope.fetch_with_str(url))
        .await
        .and_then(JsCast::dyn_into)
        .map_err(|e| failed(text(&e)))?;
    if !response.ok() {
        return Err(failed(format!("HTTP status {}", response.status())));
    }
    let body = response
        .body()
        .ok_or_else(|| failed("the answer is empty".into()))?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::with_capacity(expected.unwrap_or_default() as usize);
    loop {
        if cancel.is_cancelled() {
            // The answer is of no use any more, whether or not the browser confirms.
            let _ = reader.cancel();
            return Err(End::Cancelled);
        }
        let part = settle(reader.read()).await.map_err(|e| failed(text(&e)))?;
        if Reflect::get(&part, &JsValue::from_str("done")).is_ok_and(|done| done.is_truthy()) {
            return Ok(bytes);
        }
        let chunk: Uint8Array = Reflect::get(&part, &JsValue::from_str("value"))
            .and_then(JsCast::dyn_into)
            .map_err(|e| failed(text(&e)))?;
        let start = bytes.len();
        bytes.resize(start + chunk.length() as usize, 0);
        chunk.copy_to(&mut bytes[start..]);
        if expected.is_some_and(|n| bytes.len() as u64 > n) {
            let _ = reader.cancel();
            return Err(failed("it is longer than its manifest says".into()));
        }
        on_bytes(u64::from(chunk.length()));
    }
}

async fn settle(promise: Promise) -> Result<JsValue, JsValue> {
    JsFuture::from(promise).await
}
