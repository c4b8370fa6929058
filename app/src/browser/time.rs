//! Clock and timers of the main thread.

use futures::future::{Either, select};
use js_sys::Promise;
use wasm_bindgen_futures::JsFuture;

/// Milliseconds on a clock that never goes back.
pub(crate) fn now_ms() -> f64 {
    web_sys::window()
        .and_then(|w| w.performance())
        .map_or_else(js_sys::Date::now, |p| p.now())
}

/// Waits.
pub(crate) async fn sleep(ms: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        let armed = web_sys::window().is_some_and(|w| {
            w.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms)
                .is_ok()
        });
        if !armed {
            let _ = resolve.call0(&wasm_bindgen::JsValue::UNDEFINED);
        }
    });
    // The promise has no path that rejects.
    let _ = JsFuture::from(promise).await;
}

/// The output of `future`, or nothing when it takes longer than `ms`.
pub(crate) async fn within<F: Future + Unpin>(ms: i32, future: F) -> Option<F::Output> {
    match select(future, std::pin::pin!(sleep(ms))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
