//! Models on WebGPU.

mod probe;
mod timing;

use diffusion::Engine;
use protocol::Place;

pub(super) use self::probe::probe;
use super::End;
use crate::worker::message::Timings;

/// The device behind an engine.
pub(super) struct Device(onnx_gpu::Gpu);

impl Device {
    /// Whether it can be used again.
    pub(super) fn is_alive(&self) -> bool {
        self.0.check().is_ok()
    }

    /// Adds what the device did.
    pub(super) fn note(&self, timings: &mut Timings) {
        let stats = self.0.stats();
        timings.uploaded_bytes = stats.uploaded_bytes;
        timings.pipelines = stats.pipelines;
        timings.peak_buffer_bytes = stats.peak_buffer_bytes;
    }
}

/// Opens the engine of `place`.
pub(super) async fn open(place: Place) -> Result<(Box<dyn Engine>, Device), End> {
    if place != Place::BrowserGpu {
        return Err(End::misplaced(place));
    }
    let engine = diffusion::GpuEngine::request(onnx_gpu::AdapterChoice::Default).await?;
    let device = Device(engine.gpu().clone());
    Ok((Box::new(engine), device))
}
