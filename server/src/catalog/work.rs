//! What a picture of a package costs, counted from its graphs.

use std::path::Path;

use anyhow::Context;
use diffusion::Manifest;
use diffusion::manifest::{Component, Port};
use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::{Cost, dry_cost};
use protocol::{ModelWork, Work};

/// Plans every component for a GPU, without one, and adds up what its dispatches compute.
///
/// # Errors
/// When a graph cannot be read or planned.
pub fn count(dir: &Path, manifest: &Manifest) -> anyhow::Result<ModelWork> {
    let components = &manifest.components;
    let of = |component: &Component| -> anyhow::Result<Work> {
        let file = &component.file;
        let bytes = std::fs::read(dir.join(file)).with_context(|| format!("reading {file}"))?;
        run_of(component, &bytes).with_context(|| format!("planning {file}"))
    };
    let text_encoder = of(&components.text_encoder)?;
    let decoder = of(&components.decoder)?;
    Ok(ModelWork {
        once: Work {
            flops: text_encoder.flops + decoder.flops,
            dispatches: text_encoder.dispatches + decoder.dispatches,
        },
        per_step: of(&components.denoiser)?,
    })
}

/// One run; the manifest's ports give the dimensions that the graph leaves open.
fn run_of(component: &Component, onnx: &[u8]) -> anyhow::Result<Work> {
    let cost = cost_with(&component.inputs, onnx)?;
    Ok(Work {
        flops: cost.flops,
        dispatches: cost.dispatches as u64,
    })
}

/// What a run on inputs of these shapes costs.
///
/// # Errors
/// When the graph cannot be read or planned.
pub fn cost_with(inputs: &[Port], onnx: &[u8]) -> onnx_gpu::Result<Cost> {
    let open = |name: &str, place: usize| {
        let port = inputs.iter().find(|port| port.name == name);
        port.and_then(|port| port.shape.get(place))
            .copied()
            .unwrap_or(1)
    };
    dry_cost(onnx, AdapterClass::Hardware, &open)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    /// A decoder of convolutions that takes any height and width.
    const DECODER: &[u8] =
        include_bytes!("../../../crates/diffusion/tests/data/tiles/decoder.onnx");

    fn flops(side: usize) -> u64 {
        let port =
            json!({"name": "latent_sample", "dtype": "float32", "shape": [1, 4, side, side]});
        let component = json!({"file": "decoder.onnx", "inputs": [port], "outputs": []});
        let component = serde_json::from_value(component).unwrap();
        run_of(&component, DECODER).unwrap().flops
    }

    #[test]
    fn a_side_twice_as_long_costs_four_times_as_much() {
        let ratio = flops(32) as f64 / flops(16) as f64;
        assert!((3.9..16.0).contains(&ratio), "{ratio}");
    }
}
