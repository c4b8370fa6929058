//! What a checkpoint says of itself: by the names of its tensors, and in the metadata that trainers write.

use std::collections::BTreeMap;

/// Models that share a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Stable Diffusion 1: CLIP's text encoder.
    First,
    /// Stable Diffusion 2: OpenCLIP's, without its last layer.
    Second,
    /// Stable Diffusion XL: both.
    Xl,
}

/// What a denoiser answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// The noise.
    Epsilon,
    /// Noise and picture together.
    Velocity,
}

/// What a checkpoint says of itself; nothing of it is guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its layout.
    pub family: Family,
    /// Whether the denoiser is given a mask and the masked picture as well.
    pub inpainting: bool,
    /// What the denoiser answers with, where the file says.
    pub prediction: Option<Prediction>,
    /// Whether it was trained to a signal of zero at the last time.
    pub zero_snr: bool,
    /// Width and height of the pictures that it was trained on, where the file says.
    pub resolution: Option<[u32; 2]>,
    /// Its licence, as its author puts it.
    pub license: Option<String>,
}

/// Tensors that say something by being there: <https://github.com/comfyanonymous/ComfyUI> reads the same ones.
const VELOCITY: &str = "v_pred";
const ZERO_SNR: &str = "ztsnr";

/// Longest text that is taken from metadata.
const MAX_TEXT: usize = 200;

impl Facts {
    /// Whether a tensor is there to say something, and holds nothing.
    pub(super) fn is_marker(name: &str) -> bool {
        matches!(name, VELOCITY | ZERO_SNR)
    }

    pub(super) fn read(
        family: Family,
        inpainting: bool,
        has: impl Fn(&str) -> bool,
        metadata: &BTreeMap<String, String>,
    ) -> Self {
        // Members of Stability-AI's ModelSpec 1.0.
        let spec = |member: &str| {
            metadata
                .get(&format!("modelspec.{member}"))
                .map(String::as_str)
        };
        let stated = match spec("prediction_type") {
            Some("epsilon" | "eps") => Some(Prediction::Epsilon),
            Some("v" | "v_prediction" | "v-prediction") => Some(Prediction::Velocity),
            _ => None,
        };
        let of_architecture = match spec("architecture") {
            Some("stable-diffusion-v2-512") => Some(Prediction::Epsilon),
            Some("stable-diffusion-v2-768-v") => Some(Prediction::Velocity),
            _ => None,
        };
        let marked = has(VELOCITY).then_some(Prediction::Velocity);
        Self {
            family,
            inpainting,
            prediction: marked.or(stated).or(of_architecture),
            zero_snr: has(ZERO_SNR),
            resolution: spec("resolution").and_then(resolution),
            license: spec("license").and_then(text),
        }
    }
}

/// `512x512`.
fn resolution(text: &str) -> Option<[u32; 2]> {
    let (width, height) = text.split_once('x')?;
    Some([width.trim().parse().ok()?, height.trim().parse().ok()?])
}

fn text(text: &str) -> Option<String> {
    let plain = text.trim();
    let fits = !plain.is_empty() && plain.len() <= MAX_TEXT && !plain.chars().any(char::is_control);
    fits.then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(tensors: &[&str], metadata: &[(&str, &str)]) -> Facts {
        let metadata = metadata
            .iter()
            .map(|(name, value)| (format!("modelspec.{name}"), (*value).to_owned()));
        Facts::read(
            Family::Second,
            false,
            |name| tensors.contains(&name),
            &metadata.collect(),
        )
    }

    #[test]
    fn files_say_what_they_predict_or_do_not() {
        let prediction =
            |tensors: &[&str], metadata: &[(&str, &str)]| facts(tensors, metadata).prediction;
        assert_eq!(prediction(&[], &[]), None);
        assert_eq!(prediction(&["v_pred"], &[]), Some(Prediction::Velocity));
        assert_eq!(
            prediction(&[], &[("prediction_type", "v")]),
            Some(Prediction::Velocity)
        );
        assert_eq!(
            prediction(&[], &[("prediction_type", "epsilon")]),
            Some(Prediction::Epsilon)
        );
        let architecture = |name| prediction(&[], &[("architecture", name)]);
        assert_eq!(
            architecture("stable-diffusion-v2-768-v"),
            Some(Prediction::Velocity)
        );
        assert_eq!(
            architecture("stable-diffusion-v2-512"),
            Some(Prediction::Epsilon)
        );
        assert_eq!(architecture("stable-diffusion-v1"), None);
        assert!(facts(&["ztsnr"], &[]).zero_snr && !facts(&[], &[]).zero_snr);
    }

    #[test]
    fn what_is_no_text_or_number_is_left_out() {
        let read = |name, value| facts(&[], &[(name, value)]);
        assert_eq!(read("resolution", "768x768").resolution, Some([768; 2]));
        assert_eq!(read("resolution", "large").resolution, None);
        assert_eq!(read("resolution", "-1x768").resolution, None);
        let license = "CreativeML Open RAIL-M";
        assert_eq!(read("license", license).license.as_deref(), Some(license));
        for bad in ["", "a\u{1b}[2J", &"x".repeat(300)] {
            assert_eq!(read("license", bad).license, None);
        }
    }
}
