//! Pictures that wait to be saved, in a cache of the browser.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use leptos::prelude::*;
use protocol::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Cache, Request, Response, ResponseInit};

use super::worker::text;
use super::{is_online, png_url, revoke, save, time};
use crate::outbox::{Outbox, WaitingPicture};
use crate::studio::Studio;
use crate::studio::handle::Saving;
use crate::studio::run::{MadeHere, Phase};

const CACHE: &str = "demo-hub-outbox";
/// Time between two attempts.
const RETRY_MS: i32 = 20_000;
/// Header of a stored picture that holds its [`Letter`].
const LETTER: &str = "x-letter";

/// What is kept beside a picture.
#[derive(Clone, Serialize, Deserialize)]
struct Letter {
    made_here: MadeHere,
    unlisted: bool,
    /// When it was put here, in milliseconds since 1970.
    queued_ms: f64,
    refused: Option<String>,
}

/// Shows what waits, and saves it now or once there is a network.
pub(crate) fn watch(studio: Studio) {
    spawn_local(keep_sending(studio));
    let on_online = Closure::<dyn Fn()>::new(move || spawn_local(try_to_send(studio, false)));
    if let Some(window) = web_sys::window() {
        window.set_ononline(Some(on_online.as_ref().unchecked_ref()));
    }
    // Listens for as long as the page lives.
    on_online.forget();
}

/// Tries to save all that wait, also those that the hub refused before.
pub(crate) fn send(studio: Studio) {
    spawn_local(try_to_send(studio, true));
}

/// Tries again for as long as the page lives: a server may be out of reach of a browser that believes to be online.
async fn keep_sending(studio: Studio) {
    loop {
        try_to_send(studio, false).await;
        time::sleep(RETRY_MS).await;
    }
}

async fn try_to_send(studio: Studio, refused_too: bool) {
    report(flush(studio, refused_too).await);
}

/// Gives a picture up.
pub(crate) fn discard(outbox: Outbox, sha256: String) {
    spawn_local(async move {
        report(
            async {
                forget(&sha256).await?;
                show(outbox).await
            }
            .await,
        );
    });
}

fn report(end: Result<(), JsValue>) {
    if let Err(error) = end {
        leptos::logging::warn!("pictures that wait could not be read: {}", text(&error));
    }
}

/// Whether the same picture may be saved later.
pub(super) fn may_pass(problem: &Problem) -> bool {
    use ProblemCode::{Internal, RateLimited, StorageFull, StorageUnavailable, UploadMissing};
    matches!(
        problem.code,
        Internal | RateLimited | StorageFull | StorageUnavailable | UploadMissing
    )
}

/// Keeps a picture until there is a network.
pub(super) async fn queue(
    outbox: Outbox,
    made_here: MadeHere,
    unlisted: bool,
    png: &ArrayBuffer,
) -> Result<(), JsValue> {
    let letter = Letter {
        made_here,
        unlisted,
        queued_ms: js_sys::Date::now(),
        refused: None,
    };
    put(&letter, png).await?;
    show(outbox).await
}

async fn flush(studio: Studio, refused_too: bool) -> Result<(), JsValue> {
    let outbox = studio.outbox;
    show(outbox).await?;
    // Who presses the button may know better than the browser.
    if !is_online() && !refused_too {
        return Ok(());
    }
    for (letter, png) in letters().await? {
        if letter.refused.is_some() && !refused_too {
            continue;
        }
        let sha256 = letter.made_here.sha256.clone();
        let sent = save::send(letter.made_here.clone(), letter.unlisted, &png).await;
        match sent {
            Ok(permalink) => {
                forget(&sha256).await?;
                outbox.saved.set(Some(permalink.clone()));
                tell(studio, &sha256, Saving::Saved(permalink));
            }
            Err(problem) if may_pass(&problem) => {}
            Err(problem) => {
                let refused = Some(problem.detail.clone());
                put(&Letter { refused, ..letter }, &png).await?;
                tell(studio, &sha256, Saving::Failed(problem));
            }
        }
        show(outbox).await?;
    }
    Ok(())
}

/// Changes the button of the picture, if it is the one on the page.
fn tell(studio: Studio, sha256: &str, saving: Saving) {
    let shown = studio.run.with_untracked(|run| match &run.phase {
        Phase::Done(done) => done
            .made_here
            .as_ref()
            .is_some_and(|made| made.sha256 == sha256),
        _ => false,
    });
    if shown {
        studio.saving.set(saving);
    }
}

/// Shows what waits.
async fn show(outbox: Outbox) -> Result<(), JsValue> {
    let letters = letters().await?;
    let unchanged = outbox.waiting.with_untracked(|shown| {
        shown.len() == letters.len()
            && shown.iter().zip(&letters).all(|(shown, (letter, _))| {
                shown.sha256 == letter.made_here.sha256 && shown.refused == letter.refused
            })
    });
    if unchanged {
        return Ok(());
    }
    let mut waiting = Vec::new();
    for (letter, png) in letters {
        waiting.push(WaitingPicture {
            sha256: letter.made_here.sha256,
            prompt: letter.made_here.recipe.request.prompt,
            url: png_url(&png)?,
            refused: letter.refused,
        });
    }
    for before in outbox.waiting.get_untracked() {
        revoke(&before.url);
    }
    outbox.waiting.set(waiting);
    Ok(())
}

/// All that wait, oldest first.
async fn letters() -> Result<Vec<(Letter, ArrayBuffer)>, JsValue> {
    let cache = cache().await?;
    let keys: Array = JsFuture::from(cache.keys()).await?.dyn_into()?;
    let mut letters = Vec::new();
    for key in keys.iter() {
        let key: Request = key.dyn_into()?;
        let found = JsFuture::from(cache.match_with_request(&key)).await?;
        // Another tab may have sent it in the meantime.
        let Ok(response) = found.dyn_into::<Response>() else {
            continue;
        };
        let letter = response.headers().get(LETTER)?.unwrap_or_default();
        let letter = js_sys::decode_uri_component(&letter).map(String::from)?;
        match serde_json::from_str::<Letter>(&letter) {
            Ok(letter) => {
                let png = JsFuture::from(response.array_buffer()?).await?;
                letters.push((letter, png.dyn_into()?));
            }
            Err(error) => leptos::logging::warn!("a picture that waits is unreadable: {error}"),
        }
    }
    letters.sort_by(|(a, _), (b, _)| a.queued_ms.total_cmp(&b.queued_ms));
    Ok(letters)
}

async fn put(letter: &Letter, png: &ArrayBuffer) -> Result<(), JsValue> {
    let json = serde_json::to_string(letter).map_err(|e| JsValue::from_str(&e.to_string()))?;
    let headers = web_sys::Headers::new()?;
    // Header values are bytes of Latin-1.
    headers.set(LETTER, &crate::settings::encode(&json))?;
    let init = ResponseInit::new();
    init.set_headers(&headers);
    let bytes = Uint8Array::new(png);
    let response = Response::new_with_opt_buffer_source_and_init(Some(&bytes), &init)?;
    let address = address(&letter.made_here.sha256);
    JsFuture::from(cache().await?.put_with_str(&address, &response)).await?;
    Ok(())
}

async fn forget(sha256: &str) -> Result<(), JsValue> {
    JsFuture::from(cache().await?.delete_with_str(&address(sha256))).await?;
    Ok(())
}

fn address(sha256: &str) -> String {
    format!("/{CACHE}/{sha256}")
}

async fn cache() -> Result<Cache, JsValue> {
    let caches = web_sys::window().ok_or(JsValue::NULL)?.caches()?;
    JsFuture::from(caches.open(CACHE)).await?.dyn_into()
}
