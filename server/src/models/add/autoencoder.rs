//! What latents are divided by before they are decoded.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::pipeline::Pipeline;

/// Classes of diffusers and their default of `scaling_factor`.
const CLASSES: [(&str, f64); 4] = [
    ("AutoencoderDC", 1.0),
    ("AutoencoderKL", 0.18215),
    ("AsymmetricAutoencoderKL", 0.18215),
    ("AutoencoderTiny", 1.0),
];

/// That of exports without a name.
const UNNAMED: &str = "AutoencoderKL";

/// The autoencoder's own latents are `latents / factor + shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub factor: f32,
    pub shift: f32,
}

impl Scale {
    /// Of an autoencoder whose graph does what there is to do.
    pub const NONE: Self = Self {
        factor: 1.0,
        shift: 0.0,
    };
}

/// Reads the autoencoder's configuration, if there is one; the second is a note where a default holds. `given` is what the
/// person who adds the model says of a folder that does not.
pub(super) fn scale(
    config: Option<&Value>,
    pipeline: Pipeline,
    given: Option<f32>,
) -> anyhow::Result<(Scale, Option<String>)> {
    let plain = |factor| Scale { factor, shift: 0.0 };
    let Some(config) = config else {
        let fixed = pipeline.fixed().map(|fixed| fixed.scaling_factor as f32);
        let factor = given.or(fixed).with_context(|| {
            format!(
                "vae_decoder/config.json is missing: {} divides the latents by its scaling_factor, which is not guessed; \
                 --latent-scale says it (0.18215 of Stable Diffusion 1 and 2, 0.13025 of SDXL)",
                pipeline.name()
            )
        })?;
        return Ok((plain(factor), None));
    };
    of_config(config, given)
}

/// [`scale`] of a configuration.
///
/// # Errors
/// For other autoencoders and numbers that are none.
pub(super) fn of_config(
    config: &Value,
    given: Option<f32>,
) -> anyhow::Result<(Scale, Option<String>)> {
    let stated = |name: &str| config.get(name).filter(|value| !value.is_null());
    let class = match stated("_class_name") {
        None => UNNAMED,
        Some(class) => class.as_str().unwrap_or_default(),
    };
    let Some((_, default)) = CLASSES.iter().find(|(name, _)| *name == class) else {
        bail!("the autoencoder is a {class:?}, which cannot be packed");
    };
    let shift = match stated("shift_factor") {
        None => 0.0,
        Some(shift) => {
            let number = shift.as_f64().map(|number| number as f32);
            let number = number.filter(|number| number.is_finite());
            number.with_context(|| format!("the autoencoder's shift_factor is {shift}"))?
        }
    };
    for name in ["latents_mean", "latents_std"] {
        ensure!(
            stated(name).is_none(),
            "the autoencoder has {name}; such models cannot be packed"
        );
    }
    let Some(factor) = stated("scaling_factor") else {
        if let Some(factor) = given {
            return Ok((Scale { factor, shift }, None));
        }
        let note = format!(
            "the autoencoder's configuration has no scaling_factor; that of {class} is {default}"
        );
        let factor = *default as f32;
        return Ok((Scale { factor, shift }, Some(note)));
    };
    let number = factor.as_f64().map(|factor| factor as f32);
    let number = number.filter(|factor| factor.is_finite() && *factor > 0.0);
    let number = number.with_context(|| format!("the autoencoder's scaling_factor is {factor}"))?;
    let scale = Scale {
        factor: number,
        shift,
    };
    Ok((scale, None))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_scale_is_the_files_or_the_classs() {
        let read = |config: Value| scale(Some(&config), Pipeline::DIFFUSERS, None);
        let of = |factor, shift| Scale { factor, shift };
        assert_eq!(
            read(json!({"scaling_factor": 0.13025})).unwrap(),
            (of(0.13025, 0.0), None)
        );
        let flux = json!({"scaling_factor": 0.3611, "shift_factor": 0.1159});
        assert_eq!(read(flux).unwrap(), (of(0.3611, 0.1159), None));
        for (class, expected) in CLASSES {
            let (scale, note) = read(json!({"_class_name": class})).unwrap();
            assert_eq!(scale, of(expected as f32, 0.0));
            assert!(note.unwrap().contains(class));
        }
        assert_eq!(
            scale(None, Pipeline::DIFFUSERS_ONNX, None).unwrap(),
            (of(0.18215, 0.0), None)
        );
        for pipeline in [Pipeline::DIFFUSERS, Pipeline::OPTIMUM] {
            let error = scale(None, pipeline, None).unwrap_err().to_string();
            assert!(error.contains("scaling_factor"), "{error}");
            let given = scale(None, pipeline, Some(0.5)).unwrap();
            assert_eq!(given, (of(0.5, 0.0), None));
        }
    }

    #[test]
    fn what_cannot_be_applied_is_refused_by_name() {
        for (config, name) in [
            (json!({"scaling_factor": 0}), "scaling_factor"),
            (json!({"scaling_factor": "0.18"}), "scaling_factor"),
            (json!({"scaling_factor": 1e300}), "scaling_factor"),
            (json!({"shift_factor": "none"}), "shift_factor"),
            (json!({"latents_mean": [0.1]}), "latents_mean"),
            (json!({"latents_std": [0.1]}), "latents_std"),
            (json!({"_class_name": "AutoencoderX"}), "AutoencoderX"),
        ] {
            let error = scale(Some(&config), Pipeline::DIFFUSERS, None)
                .unwrap_err()
                .to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
