//! Small pieces of the browser's interfaces.

use futures::channel::oneshot;
use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{StorageManager, WorkerNavigator};

use super::{get, scope};

/// The value of a promise.
pub(super) async fn settle(promise: Promise) -> Result<JsValue, JsValue> {
    JsFuture::from(promise).await
}

/// Calls a method that gives a promise, where the object has one.
pub(super) async fn call(
    object: &JsValue,
    method: &str,
    arguments: &[JsValue],
) -> Result<JsValue, JsValue> {
    let function: Function = Reflect::get(object, &JsValue::from_str(method))?.dyn_into()?;
    let given = function.apply(object, &arguments.iter().collect())?;
    match given.dyn_into::<Promise>() {
        Ok(promise) => settle(promise).await,
        Err(value) => Ok(value),
    }
}

pub(super) fn navigator() -> Option<WorkerNavigator> {
    Some(scope()?.navigator())
}

/// The storage manager; absent outside secure contexts.
pub(super) fn storage() -> Option<StorageManager> {
    get(&navigator()?.into(), "storage")?.dyn_into().ok()
}

/// Whether the browser knows that it has no network.
pub(super) fn is_offline() -> bool {
    navigator().is_some_and(|navigator| !navigator.on_line())
}

/// Milliseconds on a clock that never goes back.
pub(super) fn now_ms() -> f64 {
    scope()
        .and_then(|scope| scope.performance())
        .map_or_else(js_sys::Date::now, |clock| clock.now())
}

/// Waits.
pub(super) async fn sleep(ms: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        let armed = scope().is_some_and(|scope| {
            scope
                .set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms)
                .is_ok()
        });
        if !armed {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    // The promise has no path that rejects.
    let _ = settle(promise).await;
}

/// SHA-256 in hex, computed by the browser off this thread.
pub(super) async fn sha256(bytes: &Uint8Array) -> Result<String, JsValue> {
    let crypto = scope().ok_or(JsValue::NULL)?.crypto()?;
    let promise = crypto
        .subtle()
        .digest_with_str_and_buffer_source("SHA-256", bytes)?;
    let digest = settle(promise).await?;
    Ok(hex::encode(Uint8Array::new(&digest).to_vec()))
}

/// Whether [`sha256`] works here: not outside secure contexts.
pub(super) fn has_subtle() -> bool {
    get(&js_sys::global(), "crypto").is_some_and(|crypto| get(&crypto, "subtle").is_some())
}

/// Keeps other tabs out until it is dropped.
pub(super) struct Lock(Option<Function>);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            // A resolve function does not throw.
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Lock {
    /// Keeps nobody out.
    pub(super) fn none() -> Self {
        Self(None)
    }
}

/// Waits for a lock that all tabs of this origin share. Where the browser has none, tabs do not wait for each other.
pub(super) async fn lock(name: &str) -> Lock {
    let Some(locks) = navigator().and_then(|n| get(&n.into(), "locks")) else {
        return Lock(None);
    };
    let (sender, granted) = oneshot::channel::<Function>();
    let hold = Closure::once_into_js(move |_lock: JsValue| {
        Promise::new(&mut {
            let mut sender = Some(sender);
            move |release: Function, _| {
                if let Some(sender) = sender.take()
                    && let Err(release) = sender.send(release)
                {
                    // Nobody waits any more.
                    let _ = release.call0(&JsValue::UNDEFINED);
                }
            }
        })
    });
    let request = Reflect::get(&locks, &JsValue::from_str("request"))
        .and_then(|f| f.dyn_into::<Function>())
        .and_then(|f| f.call2(&locks, &JsValue::from_str(name), &hold));
    if request.is_err() {
        return Lock(None);
    }
    Lock(granted.await.ok())
}
