//! Pictures that wait to be saved, in a cache of the browser.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::Array;
use leptos::prelude::*;
use protocol::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, Cache, Request, Response, ResponseInit};

use super::upload::send as upload;
use crate::browser::{blob, is_online, text, time};
use crate::runs::run::MadeHere;
use crate::saving::Saving;
use crate::saving::waiting::{Outbox, WaitingPicture};

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

/// Who hears what becomes of a picture.
type Told = Rc<dyn Fn(Saving)>;

thread_local! {
    /// Who hears of the pictures that this page has put here, by SHA-256.
    static TOLD: RefCell<HashMap<String, Told>> = RefCell::default();
}

/// Shows what waits, and saves it now or once there is a network.
pub(crate) fn watch(outbox: Outbox) {
    spawn_local(keep_sending(outbox));
    let on_online = Closure::<dyn Fn()>::new(move || spawn_local(try_to_send(outbox, false)));
    if let Some(window) = web_sys::window() {
        window.set_ononline(Some(on_online.as_ref().unchecked_ref()));
    }
    // Listens for as long as the page lives.
    on_online.forget();
}

/// Tries to save all that wait, also those that the hub refused before.
pub(crate) fn send(outbox: Outbox) {
    spawn_local(try_to_send(outbox, true));
}

/// Tries again for as long as the page lives: a server may be out of reach of a browser that believes to be online.
async fn keep_sending(outbox: Outbox) {
    loop {
        try_to_send(outbox, false).await;
        time::sleep(RETRY_MS).await;
    }
}

async fn try_to_send(outbox: Outbox, refused_too: bool) {
    report(flush(outbox, refused_too).await);
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

/// Keeps a picture until there is a network; `told` hears what becomes of it then.
pub(super) async fn queue(
    outbox: Outbox,
    made_here: MadeHere,
    unlisted: bool,
    png: &Blob,
    told: impl Fn(Saving) + 'static,
) -> Result<(), JsValue> {
    let sha256 = made_here.sha256.clone();
    let letter = Letter {
        made_here,
        unlisted,
        queued_ms: js_sys::Date::now(),
        refused: None,
    };
    put(&letter, png).await?;
    TOLD.with_borrow_mut(|all| all.insert(sha256, Rc::new(told)));
    show(outbox).await
}

async fn flush(outbox: Outbox, refused_too: bool) -> Result<(), JsValue> {
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
        let sent = upload(letter.made_here.clone(), &png, letter.unlisted, &|_| {}).await;
        match sent {
            Ok(permalink) => {
                forget(&sha256).await?;
                outbox.saved.set(Some(permalink.clone()));
                tell(&sha256, Saving::Saved(permalink));
            }
            Err(problem) if may_pass(&problem) => {}
            Err(problem) => {
                let refused = Some(problem.detail.clone());
                put(&Letter { refused, ..letter }, &png).await?;
                tell(&sha256, Saving::Failed(problem));
            }
        }
        show(outbox).await?;
    }
    Ok(())
}

/// Tells who put the picture here, if that was this page.
fn tell(sha256: &str, saving: Saving) {
    let told = TOLD.with_borrow(|all| all.get(sha256).cloned());
    if let Some(told) = told {
        told(saving);
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
            url: blob::url(&png)?,
            refused: letter.refused,
        });
    }
    for before in outbox.waiting.get_untracked() {
        blob::revoke(&before.url);
    }
    outbox.waiting.set(waiting);
    Ok(())
}

/// All that wait, oldest first.
async fn letters() -> Result<Vec<(Letter, Blob)>, JsValue> {
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
                let png = JsFuture::from(response.blob()?).await?;
                letters.push((letter, png.dyn_into()?));
            }
            Err(error) => leptos::logging::warn!("a picture that waits is unreadable: {error}"),
        }
    }
    letters.sort_by(|(a, _), (b, _)| a.queued_ms.total_cmp(&b.queued_ms));
    Ok(letters)
}

async fn put(letter: &Letter, png: &Blob) -> Result<(), JsValue> {
    let json = serde_json::to_string(letter).map_err(|e| JsValue::from_str(&e.to_string()))?;
    let headers = web_sys::Headers::new()?;
    // Header values are bytes of Latin-1.
    headers.set(LETTER, &crate::format::encode(&json))?;
    let init = ResponseInit::new();
    init.set_headers(&headers);
    let response = Response::new_with_opt_blob_and_init(Some(png), &init)?;
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
