//! The clipboard, where the browser gives access to it: on a secure page, after a click.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Copies text; false where the browser refuses.
pub(crate) async fn copy(text: &str) -> bool {
    let Some(promise) = write(text) else {
        return false;
    };
    JsFuture::from(promise).await.is_ok()
}

/// `navigator.clipboard.writeText(text)`, read by name: the object is missing on pages that are not secure.
fn write(text: &str) -> Option<Promise> {
    let navigator: JsValue = web_sys::window()?.navigator().into();
    let clipboard = Reflect::get(&navigator, &JsValue::from_str("clipboard")).ok()?;
    let write: Function = Reflect::get(&clipboard, &JsValue::from_str("writeText"))
        .ok()?
        .dyn_into()
        .ok()?;
    write
        .call1(&clipboard, &JsValue::from_str(text))
        .ok()?
        .dyn_into()
        .ok()
}
