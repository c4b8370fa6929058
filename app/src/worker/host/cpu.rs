//! Models on the processor.

use diffusion::{CpuEngine, Engine};
use protocol::{CapabilityReport, Place};

use super::End;
use super::js::now_ms;
use crate::worker::message::Timings;
use crate::worker::speed::median;

/// Side of the matrices that the processor is timed with: 34 MFLOP, a few milliseconds.
const SIDE: usize = 256;
/// Times of which the median counts.
const RUNS: usize = 9;

/// The processor needs no opening and cannot be lost.
pub(super) struct Device;

impl Device {
    pub(super) fn is_alive(&self) -> bool {
        true
    }

    pub(super) fn note(&self, _: &mut Timings) {}
}

/// Opens the engine of `place`.
pub(super) async fn open(place: Place) -> Result<(Box<dyn Engine>, Device), End> {
    match place {
        Place::BrowserCpu => Ok((Box::new(CpuEngine::new()), Device)),
        _ => Err(End::misplaced(place)),
    }
}

/// Times the engine's own matrix product where `measure` asks for it; of a GPU this worker knows nothing.
pub(super) async fn probe(measure: bool) -> CapabilityReport {
    CapabilityReport {
        processor_flops_per_second: measure.then(speed).flatten(),
        ..CapabilityReport::default()
    }
}

fn speed() -> Option<f64> {
    let product = diffusion::Product::new(SIDE);
    // The first run also pays for memory that is touched for the first time.
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..=RUNS {
        let start = now_ms();
        product.run().ok()?;
        if run > 0 {
            times.push(now_ms() - start);
        }
    }
    let ms = median(&mut times).max(0.005);
    Some(product.flops() as f64 / ms * 1e3)
}
