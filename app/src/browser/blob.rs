//! Files in the browser's memory.

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::{Blob, BlobPropertyBag, Url};

/// A file of that media type.
pub(crate) fn blob(bytes: &Uint8Array, media_type: &str) -> Result<Blob, JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(media_type);
    let parts = js_sys::Array::of1(bytes);
    Blob::new_with_u8_array_sequence_and_options(&parts, &options)
}

/// An address that shows a file for as long as this lives.
pub(crate) struct BlobUrl(String);

impl BlobUrl {
    pub(crate) fn new(blob: &Blob) -> Result<Self, JsValue> {
        Url::create_object_url_with_blob(blob).map(Self)
    }

    /// The address.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for BlobUrl {
    fn drop(&mut self) {
        revoke(&self.0);
    }
}

/// An address that shows a file until it is revoked.
pub(crate) fn url(blob: &Blob) -> Result<String, JsValue> {
    Url::create_object_url_with_blob(blob)
}

/// Ends what [`url`] gave.
pub(crate) fn revoke(url: &str) {
    // Fails only for an address that is no blob's.
    let _ = Url::revoke_object_url(url);
}
