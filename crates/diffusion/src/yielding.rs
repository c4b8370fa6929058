//! Giving the thread back between steps, so that a browser worker can read its messages.

/// Lets the event loop run once.
#[cfg(target_arch = "wasm32")]
pub(crate) async fn yield_now() {
    use wasm_bindgen::{JsCast, JsValue};
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let global = js_sys::global();
        let timer = js_sys::Reflect::get(&global, &JsValue::from_str("setTimeout"))
            .ok()
            .and_then(|f| f.dyn_into::<js_sys::Function>().ok());
        let armed =
            timer.is_some_and(|f| f.call2(&global, &resolve, &JsValue::from_f64(0.0)).is_ok());
        if !armed {
            // A host without timers: resolving at once still yields to the microtask queue.
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    // The promise has no path that rejects.
    let _ = wasm_bindgen_futures::JsFuture::from(promise).await;
}

/// Lets the executor run other tasks once.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
