//! The engine that this worker was compiled with.

use diffusion::Engine;
use protocol::Place;

use super::{End, get};
use crate::worker::message::Timings;

/// What is known of the device behind an engine.
pub(super) struct Device {
    #[cfg(feature = "render-worker")]
    gpu: Option<onnx_gpu::Gpu>,
}

impl Device {
    /// Whether it can be used again.
    pub(super) fn is_alive(&self) -> bool {
        #[cfg(feature = "render-worker")]
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
        #[cfg(feature = "render-worker")]
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
        #[cfg(feature = "render-worker")]
        Place::BrowserGpu => {
            let engine = diffusion::GpuEngine::request(onnx_gpu::AdapterChoice::Default).await?;
            let device = Device {
                gpu: Some(engine.gpu().clone()),
            };
            Ok((Box::new(engine), device))
        }
        #[cfg(feature = "cpu-worker")]
        Place::BrowserCpu => Ok((
            Box::new(diffusion::CpuEngine::new()),
            Device {
                #[cfg(feature = "render-worker")]
                gpu: None,
            },
        )),
        other => Err(End::Engine(format!(
            "work for {other:?} was sent to a worker without its engine"
        ))),
    }
}
