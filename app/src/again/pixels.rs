//! Pixels of pictures, through a canvas.

use gloo_net::http::Request;
use js_sys::Uint8Array;
use leptos::prelude::document;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    CanvasRenderingContext2d, HtmlCanvasElement, HtmlImageElement, ImageData, RequestCache,
};

use super::difference::Pixels;
use crate::browser::blob::{BlobUrl, blob};
use crate::browser::text;

/// Pixels of a picture in the store. Not out of the browser's cache, which may hold it without leave to read it.
pub(super) async fn stored(url: &str) -> Result<Pixels, String> {
    let failed = |detail: String| format!("The stored picture could not be fetched: {detail}.");
    let response = Request::get(url)
        .cache(RequestCache::NoStore)
        .send()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if !response.ok() {
        return Err(failed(format!("HTTP status {}", response.status())));
    }
    let bytes = response
        .binary()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let address = blob(&Uint8Array::from(bytes.as_slice()), protocol::PNG_MIME)
        .and_then(|file| BlobUrl::new(&file))
        .map_err(|error| failed(text(&error)))?;
    decode(address.as_str()).await
}

/// Pixels of the picture at a blob's address.
pub(super) async fn decode(url: &str) -> Result<Pixels, String> {
    let failed = |error: JsValue| format!("The picture could not be decoded: {}.", text(&error));
    let image = HtmlImageElement::new().map_err(failed)?;
    image.set_src(url);
    JsFuture::from(image.decode()).await.map_err(failed)?;
    let (width, height) = (image.natural_width(), image.natural_height());
    let context = canvas(width, height).map_err(failed)?;
    check_honesty(&context, width, height)?;
    context
        .draw_image_with_html_image_element(&image, 0.0, 0.0)
        .map_err(failed)?;
    let rgba = read(&context, width, height).map_err(failed)?;
    Ok(Pixels {
        width,
        height,
        rgba,
    })
}

fn canvas(width: u32, height: u32) -> Result<CanvasRenderingContext2d, JsValue> {
    let canvas: HtmlCanvasElement = document().create_element("canvas")?.dyn_into()?;
    canvas.set_width(width);
    canvas.set_height(height);
    let context = canvas.get_context("2d")?.ok_or(JsValue::NULL)?;
    Ok(context.dyn_into()?)
}

fn read(context: &CanvasRenderingContext2d, width: u32, height: u32) -> Result<Vec<u8>, JsValue> {
    let data = context.get_image_data(0.0, 0.0, f64::from(width), f64::from(height))?;
    Ok(data.data().0)
}

/// Browsers that guard against fingerprinting change what a canvas gives back; a difference would then be theirs.
fn check_honesty(
    context: &CanvasRenderingContext2d,
    width: u32,
    height: u32,
) -> Result<(), String> {
    let pattern: Vec<u8> = (0..width as usize * height as usize)
        .flat_map(|i| [(i * 7) as u8, (i * 13 + 5) as u8, (i * 29 + 11) as u8, 255])
        .collect();
    let back =
        ImageData::new_with_u8_clamped_array_and_sh(wasm_bindgen::Clamped(&pattern), width, height)
            .and_then(|data| context.put_image_data(&data, 0.0, 0.0))
            .and_then(|()| read(context, width, height));
    match back {
        Ok(back) if back == pattern => Ok(()),
        _ => Err(
            "This browser disguises the pixels that a page reads, so the difference cannot be measured."
                .to_owned(),
        ),
    }
}
