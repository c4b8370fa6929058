//! What this browser's WebGPU offers, read where the model would run.
//!
//! Read by name: `web-sys` binds WebGPU only behind an unstable flag.

use std::cell::Cell;

use js_sys::{Function, Promise};
use protocol::{AdapterReport, CapabilityReport, KernelSpeed};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::super::get;
use super::timing;
use crate::worker::adapter::is_software;

thread_local! {
    /// The speed of the adapter: measured once in the worker's life.
    static SPEED: Cell<Option<KernelSpeed>> = const { Cell::new(None) };
}

/// Asks for the adapter that a model would run on; `measure` also times a kernel on it, unless that was done before.
pub(in super::super) async fn probe(measure: bool) -> CapabilityReport {
    let navigator = get(&js_sys::global(), "navigator").unwrap_or(JsValue::UNDEFINED);
    let device_memory_bytes = get(&navigator, "deviceMemory")
        .and_then(|gib| gib.as_f64())
        .map(|gib| (gib * f64::from(1 << 30)) as u64);
    let Some(gpu) = get(&navigator, "gpu") else {
        return CapabilityReport {
            device_memory_bytes,
            ..CapabilityReport::default()
        };
    };
    let mut adapter = request_adapter(&gpu).await.map(|a| describe(&a));
    if let Some(adapter) = &mut adapter {
        if measure && SPEED.get().is_none() {
            SPEED.set(measured().await);
        }
        adapter.speed = SPEED.get();
    }
    CapabilityReport {
        webgpu: true,
        adapter,
        device_memory_bytes,
        ..CapabilityReport::default()
    }
}

/// The speed of a device that is opened for it and closed again; absent where that fails, as the run itself then would,
/// with its own words.
async fn measured() -> Option<KernelSpeed> {
    match timing::measure().await {
        Ok(speed) => Some(speed),
        Err(error) => {
            web_sys::console::warn_1(&JsValue::from_str(&format!(
                "the adapter was not measured: {error}"
            )));
            None
        }
    }
}

/// The adapter; absent where the browser has none or refuses.
async fn request_adapter(gpu: &JsValue) -> Option<JsValue> {
    let request: Function = get(gpu, "requestAdapter")?.dyn_into().ok()?;
    let promise: Promise = request.call0(gpu).ok()?.dyn_into().ok()?;
    let adapter = JsFuture::from(promise).await.ok()?;
    (!adapter.is_null() && !adapter.is_undefined()).then_some(adapter)
}

fn describe(adapter: &JsValue) -> AdapterReport {
    let info = get(adapter, "info").unwrap_or(JsValue::UNDEFINED);
    let name = |key| {
        get(&info, key)
            .and_then(|v| v.as_string())
            .unwrap_or_default()
    };
    let (vendor, architecture, description) =
        (name("vendor"), name("architecture"), name("description"));
    // The flag moved from the adapter to its info in the course of the specification.
    let fallback = [&info, adapter]
        .into_iter()
        .any(|object| get(object, "isFallbackAdapter").is_some_and(|flag| flag.is_truthy()));
    let limits = get(adapter, "limits").unwrap_or(JsValue::UNDEFINED);
    let limit = |key| {
        get(&limits, key)
            .and_then(|v| v.as_f64())
            .unwrap_or_default() as u64
    };
    AdapterReport {
        software: is_software(fallback, &[&vendor, &architecture, &description]),
        shader_f16: has_feature(adapter, "shader-f16"),
        max_buffer_size: limit("maxBufferSize"),
        max_storage_buffer_binding_size: limit("maxStorageBufferBindingSize"),
        speed: None,
        vendor,
        architecture,
        description,
    }
}

fn has_feature(adapter: &JsValue, name: &str) -> bool {
    let ask = || {
        let features = get(adapter, "features")?;
        let has: Function = get(&features, "has")?.dyn_into().ok()?;
        has.call1(&features, &JsValue::from_str(name)).ok()
    };
    ask().is_some_and(|answer| answer.is_truthy())
}
