//! What the graphs of a pipeline are, and how they are put together.

use anyhow::{Context, ensure};
use diffusion::manifest::{Guidance, ImageSize, TimeUnit};
use diffusion::tokenizer::{Cleaning, Keep, NegativeSettings, PadTo};
use serde_json::Value;

use super::super::autoencoder::{self, Scale};
use super::super::bins;
use super::super::source::Said;
use super::{LAYERS, Language, instructions};

/// Most tokens of a prompt, as the pipelines have it in their code.
const LENGTH: usize = 512;
/// Side of a picture where no configuration says another, in pixels.
const SIDE: u32 = 1024;
/// Tokens of a prompt that SANA's denoiser sees: the first one, and the last ones.
const SEEN_BY_SANA: usize = 300;
/// Most tokens of a prompt of Lumina-2, the sentence before it among them.
const SEEN_BY_LUMINA_2: usize = 256;
/// Deviation of SANA-Sprint's latents, where its scheduler says no other.
pub(super) const DEVIATION: f64 = 0.5;

/// What the graphs of a pipeline are, and how they are put together.
pub(super) struct Plan {
    /// Outputs of the hidden states that are read, and the manifest's names of them.
    pub names: Vec<(String, String)>,
    /// Pixels per latent.
    pub stride: usize,
    pub patch: usize,
    pub time: TimeUnit,
    pub negated: bool,
    pub guidance: Guidance,
    pub scale: Scale,
    pub words: Wording,
    /// Whether the denoiser is told where padding is.
    pub masked: bool,
    /// The size of a picture, and those that the model was trained on beside it.
    pub size: ImageSize,
    pub buckets: Vec<[u32; 2]>,
}

/// How a prompt becomes the text that is encoded.
pub(super) struct Wording {
    pub frame: Framing,
    /// Most tokens, with the frame.
    pub length: Length,
    pub padding: PadTo,
    pub cleaning: Cleaning,
    pub negative: NegativeSettings,
    pub keep: Option<Keep>,
}

/// What stands around a prompt.
pub(super) enum Framing {
    /// One turn of the tokenizer's chat template.
    Chat { thinking: bool },
    /// This before it.
    Before(&'static str),
}

/// Most tokens of a text.
pub(super) enum Length {
    Is(usize),
    /// So many more than the frame has by itself.
    BeyondFrame(usize),
}

/// The configurations of the parts.
pub(super) struct Configs {
    pub text: Value,
    pub denoiser: Value,
    pub autoencoder: Value,
    pub scheduler: Value,
}

impl Configs {
    /// Pixels of a picture that are one of the autoencoder's latents.
    fn stride(&self) -> anyhow::Result<usize> {
        let levels = |name: &str| self.autoencoder.get(name).and_then(Value::as_array);
        let levels = levels("block_out_channels").or(levels("encoder_block_out_channels"));
        let levels = levels.context("config.json of the autoencoder says no channels")?;
        Ok(1 << levels.len().saturating_sub(1).min(6))
    }

    /// The size that the denoiser was trained for, in latents.
    fn square(&self, stride: usize) -> anyhow::Result<ImageSize> {
        let side = self.denoiser.get("sample_size").and_then(Value::as_u64);
        let side = side.context("config.json of the denoiser has no sample_size")?;
        let side = u32::try_from(side.saturating_mul(stride as u64))?;
        Ok(ImageSize {
            width: side,
            height: side,
        })
    }
}

impl Wording {
    fn chat(thinking: bool, padding: PadTo) -> Self {
        Self {
            frame: Framing::Chat { thinking },
            length: Length::Is(LENGTH),
            padding,
            cleaning: Cleaning::None,
            negative: NegativeSettings::default(),
            keep: None,
        }
    }

    /// SANA's: an instruction before the prompt, so long that the prompt has its own tokens, of which the denoiser sees the last.
    /// Before the negative prompt is none.
    fn sana() -> Self {
        Self {
            frame: Framing::Before(instructions::OF_SANA),
            length: Length::BeyondFrame(SEEN_BY_SANA - 2),
            padding: PadTo::Max,
            cleaning: Cleaning::LowerStrip,
            negative: NegativeSettings {
                framed: false,
                length: Some(SEEN_BY_SANA),
                ..NegativeSettings::default()
            },
            keep: Some(Keep {
                first: 1,
                last: SEEN_BY_SANA - 1,
            }),
        }
    }

    /// Lumina-2's: a sentence before the prompt alone; padding is dropped, as Z-Image's is.
    fn lumina2() -> Self {
        Self {
            frame: Framing::Before(instructions::OF_LUMINA_2),
            length: Length::Is(SEEN_BY_LUMINA_2),
            padding: PadTo::Longest,
            cleaning: Cleaning::None,
            negative: NegativeSettings {
                framed: false,
                ..NegativeSettings::default()
            },
            keep: None,
        }
    }
}

impl Language {
    /// Reads the configurations.
    ///
    /// # Errors
    /// What is missing, by name.
    pub(super) fn plan(self, configs: &Configs, said: &Said) -> anyhow::Result<Plan> {
        let mut plan = match self {
            Self::Klein { distilled } => klein(distilled, configs)?,
            Self::ZImage => z_image(configs, said)?,
            Self::Sana => sana(configs, said)?,
            Self::Lumina2 => Plan {
                guidance: Guidance::ClassifierFreeRescaled,
                words: Wording::lumina2(),
                size: configs.square(configs.stride()?)?,
                ..z_image(configs, said)?
            },
            Self::SanaSprint => Plan {
                guidance: Guidance::Embedded,
                time: TimeUnit::default(),
                ..sana(configs, said)?
            },
        };
        if self == Self::SanaSprint {
            // The latents have this deviation until they are decoded.
            let stated = configs.scheduler.get("sigma_data").and_then(Value::as_f64);
            plan.scale.factor *= stated.unwrap_or(DEVIATION) as f32;
        }
        if let Some(size) = said.size {
            plan.size = size;
        }
        plan.buckets = bins::of(plan.size, self.bins());
        // Of small pictures some are no whole number of latents.
        let token = u32::try_from(plan.stride * plan.patch)?;
        plan.buckets
            .retain(|sides| sides.iter().all(|side| side.is_multiple_of(token)));
        Ok(plan)
    }

    /// Whether the pipeline makes pictures of the sizes that the model was trained on alone.
    fn bins(self) -> bool {
        matches!(self, Self::Sana | Self::SanaSprint)
    }
}

fn klein(distilled: bool, configs: &Configs) -> anyhow::Result<Plan> {
    let name = |layer| (format!("hidden_states.{layer}"), format!("states_{layer}"));
    Ok(Plan {
        names: LAYERS.map(name).to_vec(),
        // The graphs put two latents of the autoencoder down and across into one.
        stride: 2 * configs.stride()?,
        patch: 1,
        time: TimeUnit::default(),
        negated: false,
        guidance: if distilled {
            Guidance::Ignored
        } else {
            Guidance::ClassifierFree
        },
        scale: Scale::NONE,
        words: Wording::chat(false, PadTo::Max),
        masked: false,
        size: square(SIDE),
        buckets: Vec::new(),
    })
}

fn z_image(configs: &Configs, said: &Said) -> anyhow::Result<Plan> {
    let (scale, _) = autoencoder::of_config(&configs.autoencoder, said.latent_scale)?;
    Ok(Plan {
        names: vec![before_last(&configs.text)?],
        stride: configs.stride()?,
        patch: 2,
        time: TimeUnit {
            factor: 0.001,
            from_one: true,
        },
        negated: true,
        guidance: Guidance::ClassifierFreeOnTop,
        scale,
        // Padding is dropped before the denoiser sees it, and what comes before it does not see it either.
        words: Wording::chat(true, PadTo::Longest),
        masked: false,
        size: square(SIDE),
        buckets: Vec::new(),
    })
}

fn sana(configs: &Configs, said: &Said) -> anyhow::Result<Plan> {
    let (scale, _) = autoencoder::of_config(&configs.autoencoder, said.latent_scale)?;
    let stride = configs.stride()?;
    let unit = configs
        .denoiser
        .get("timestep_scale")
        .and_then(Value::as_f64);
    let factor = unit.unwrap_or(1.0) as f32;
    ensure!(
        factor.is_finite(),
        "timestep_scale of the denoiser is {factor}"
    );
    Ok(Plan {
        names: vec![("last_hidden_state".to_owned(), "states".to_owned())],
        stride,
        patch: 1,
        time: TimeUnit {
            factor,
            from_one: false,
        },
        negated: false,
        guidance: Guidance::ClassifierFree,
        scale,
        words: Wording::sana(),
        masked: true,
        size: configs.square(stride)?,
        buckets: Vec::new(),
    })
}

fn square(side: u32) -> ImageSize {
    ImageSize {
        width: side,
        height: side,
    }
}

/// The states before the last layer.
fn before_last(text: &Value) -> anyhow::Result<(String, String)> {
    let layers = text["num_hidden_layers"].as_u64();
    let layers = layers.context("config.json of the text encoder has no num_hidden_layers")?;
    let name = format!("hidden_states.{}", layers.saturating_sub(1));
    Ok((name, "states".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    macro_rules! published {
        ($name:literal) => {
            serde_json::from_str(include_str!(concat!(
                "../../../../../crates/architectures/tests/published/",
                $name,
                ".json"
            )))
            .unwrap()
        };
    }

    fn plan(language: Language, denoiser: Value, autoencoder: Value) -> Plan {
        let configs = Configs {
            text: published!("gemma-2-2b"),
            denoiser,
            autoencoder,
            scheduler: json!({"_class_name": "SCMScheduler", "sigma_data": 0.5}),
        };
        language.plan(&configs, &Said::default()).unwrap()
    }

    /// Sizes, units and scales of the pipelines of diffusers 0.42.1 with the configurations that are published.
    #[test]
    fn published_models_have_the_sizes_and_scales_of_their_pipelines() {
        let vae = || published!("sana-vae");
        let sana = plan(Language::Sana, published!("sana-transformer"), vae());
        assert_eq!((sana.size, sana.stride, sana.patch), (square(1024), 32, 1));
        assert!(sana.buckets.contains(&[1280, 768]));
        assert_eq!((sana.scale.factor, sana.time.factor), (0.41407, 1.0));
        let mut small: Value = published!("sana-transformer");
        small["sample_size"] = json!(16);
        let small = plan(Language::Sana, small, vae());
        assert_eq!(small.size, square(512));
        assert!(small.buckets.contains(&[640, 384]));
        let denoiser = published!("sana-sprint-transformer");
        let sprint = plan(Language::SanaSprint, denoiser, vae());
        assert_eq!(sprint.scale.factor, 0.41407 * 0.5);
        assert_eq!(sprint.guidance, Guidance::Embedded);
        let vae = json!({"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512],
            "scaling_factor": 0.3611, "shift_factor": 0.1159});
        let lumina = plan(Language::Lumina2, published!("lumina-2-transformer"), vae);
        assert_eq!((lumina.size, lumina.stride), (square(1024), 8));
        assert_eq!(lumina.names[0].0, "hidden_states.25");
        assert!(lumina.negated && lumina.time.from_one && lumina.buckets.is_empty());
    }
}
