//! `AutoencoderKLFlux2` (Black Forest Labs, 2025), its decoder: that of `AutoencoderKL`, whose latents were normed as a batch and put
//! together by fours.

use serde_json::json;

use super::{kl, other_part};
use crate::Part;
use crate::config::Members;
use crate::error::Result;
use crate::network::{Dim, Network, PortType, Scope, Value};

/// Latents down and across that are one of the denoiser's.
const PATCH: usize = 2;

pub(super) fn build(part: &Part, mut members: Members, network: &mut Network<'_>) -> Result<()> {
    if *part != Part::Decoder {
        return Err(other_part(&members, part));
    }
    let epsilon: f32 = members.or("batch_norm_eps", 1e-4)?;
    members.irrelevant(&["batch_norm_momentum"]);
    members.only("patch_size", &[json!([PATCH, PATCH])])?;
    // A decoder may be narrower than its encoder.
    let narrower = members.sizes("decoder_block_out_channels")?;
    let config = kl::Config::of_flux2(members, narrower)?;
    let latents = config.latents;
    let planes = |channels, height, width| {
        [
            Dim::Of("batch_size"),
            Dim::Is(channels),
            Dim::Of(height),
            Dim::Of(width),
        ]
    };
    let together = PATCH * PATCH * latents;
    let x = network.input(
        "latent_sample",
        PortType::Float32,
        &planes(together, "latent_height", "latent_width"),
    );
    let mut root = network.root();
    let x = root.unnormed(x, together, epsilon)?;
    let x = root.apart(x, latents);
    let x = root.decoded(x, &config)?;
    network.output(x, "sample", &planes(config.colours(), "height", "width"));
    Ok(())
}

impl Scope<'_, '_> {
    /// What the batch norm was given: times the deviation, plus the mean.
    fn unnormed(&mut self, x: Value, channels: usize, epsilon: f32) -> Result<Value> {
        let mut norm = self.at("bn");
        norm.leave_out("num_batches_tracked");
        let declared = [channels, 1, 1];
        let mean = norm.weight_as("running_mean", &[channels], &declared)?;
        let variance = norm.weight_as("running_var", &[channels], &declared)?;
        let epsilon = norm.number(epsilon);
        let safe = norm.add(variance, epsilon);
        let deviation = norm.node("Sqrt", &[safe], &[]);
        let x = norm.multiply(x, deviation);
        Ok(norm.add(x, mean))
    }

    /// Planes of `channels` with twice the height and width: each latent is four, row by row.
    fn apart(&mut self, x: Value, channels: usize) -> Value {
        let sides = self.node("Shape", &[x], &[("start", 2.into()), ("end", 4.into())]);
        let lead = self.integers(&[-1, channels as i64, PATCH as i64, PATCH as i64]);
        let split = self.node("Concat", &[lead, sides], &[("axis", 0.into())]);
        let split = self.node("Reshape", &[x, split], &[]);
        let order = [("perm", [0, 1, 4, 2, 5, 3].into())];
        let turned = self.node("Transpose", &[split], &order);
        let twice = self.integers(&[PATCH as i64; 2]);
        let sides = self.multiply(sides, twice);
        let lead = self.integers(&[-1, channels as i64]);
        let shape = self.node("Concat", &[lead, sides], &[("axis", 0.into())]);
        self.node("Reshape", &[turned, shape], &[])
    }
}
