//! The engine of a place, and what is known of its device.

use diffusion::Engine;
use protocol::Place;

use super::{End, get};
use crate::worker::message::Timings;

/// What is known of the device behind an engine.
pub(super) struct Device {
    gpu: Option<onnx_gpu::Gpu>,
}

impl Device {
    /// Whether it can be used again.
    pub(super) fn is_alive(&self) -> bool {
        if let Some(gpu) = &self.gpu {
            return gpu.check().is_ok();
        }
        true
    }

    /// Adds what the device did.
    pub(super) fn note(&self, timings: &mut Timings) {
        timings.wasm_heap_bytes = get(&wasm_bindgen::memory(), "buffer")
            .and_then(|buffer| get(&buffer, "byteLength"))
            .and_then(|length| length.as_f64())
            .unwrap_or_default() as u64;
        if let Some(gpu) = &self.gpu {
            let stats = gpu.stats();
            timings.uploaded_bytes = stats.uploaded_bytes;
            timings.pipelines = stats.pipelines;
            timings.peak_buffer_bytes = stats.peak_buffer_bytes;
        }
    }
}

/// Opens the engine of `place`.
pub(super) async fn open(place: Place) -> Result<(Box<dyn Engine>, Device), End> {
    match place {
        Place::BrowserGpu => {
            let engine = diffusion::GpuEngine::request(onnx_gpu::AdapterChoice::Default).await?;
            let device = Device {
                gpu: Some(engine.gpu().clone()),
            };
            Ok((Box::new(engine), device))
        }
        Place::BrowserCpu => Ok((Box::new(diffusion::CpuEngine::new()), Device { gpu: None })),
        Place::Server => Err(End::Engine(
            "the server's work was sent to the browser".to_owned(),
        )),
    }
}
