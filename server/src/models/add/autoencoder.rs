//! What latents are divided by before they are decoded.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::pipeline::Pipeline;

/// Classes of diffusers and their default of `scaling_factor`.
const CLASSES: [(&str, f64); 3] = [
    ("AutoencoderKL", 0.18215),
    ("AsymmetricAutoencoderKL", 0.18215),
    ("AutoencoderTiny", 1.0),
];

/// Reads the autoencoder's configuration, if there is one; the second is a note where a default holds.
pub(super) fn scale(
    config: Option<&Value>,
    pipeline: Pipeline,
) -> anyhow::Result<(f32, Option<String>)> {
    let Some(config) = config else {
        let fixed = pipeline.fixed().with_context(|| {
            format!(
                "vae_decoder/config.json is missing: {} divides the latents by its scaling_factor",
                pipeline.name()
            )
        })?;
        return Ok((fixed.scaling_factor as f32, None));
    };
    let stated = |name: &str| config.get(name).filter(|value| !value.is_null());
    let class = match stated("_class_name") {
        None => CLASSES[0].0,
        Some(class) => class.as_str().unwrap_or_default(),
    };
    let Some((_, default)) = CLASSES.iter().find(|(name, _)| *name == class) else {
        bail!("the autoencoder is a {class:?}, which cannot be packed");
    };
    let shift = stated("shift_factor");
    ensure!(
        shift.is_none_or(|shift| shift.as_f64() == Some(0.0)),
        "the autoencoder's shift_factor is {}; such models cannot be packed",
        shift.unwrap_or(&Value::Null)
    );
    for name in ["latents_mean", "latents_std"] {
        ensure!(
            stated(name).is_none(),
            "the autoencoder has {name}; such models cannot be packed"
        );
    }
    let Some(factor) = stated("scaling_factor") else {
        let note = format!(
            "the autoencoder's configuration has no scaling_factor; that of {class} is {default}"
        );
        return Ok((*default as f32, Some(note)));
    };
    let number = factor.as_f64().map(|factor| factor as f32);
    let number = number.filter(|factor| factor.is_finite() && *factor > 0.0);
    let number = number.with_context(|| format!("the autoencoder's scaling_factor is {factor}"))?;
    Ok((number, None))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_scale_is_the_files_or_the_classs() {
        let read = |config: Value| scale(Some(&config), Pipeline::Diffusers);
        assert_eq!(
            read(json!({"scaling_factor": 0.13025})).unwrap(),
            (0.13025, None)
        );
        for (class, expected) in CLASSES {
            let (factor, note) = read(json!({"_class_name": class})).unwrap();
            assert_eq!(factor, expected as f32);
            assert!(note.unwrap().contains(class));
        }
        assert_eq!(
            scale(None, Pipeline::DiffusersOnnx).unwrap(),
            (0.18215, None)
        );
        for pipeline in [Pipeline::Diffusers, Pipeline::Optimum] {
            let error = scale(None, pipeline).unwrap_err().to_string();
            assert!(error.contains("scaling_factor"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_applied_is_refused_by_name() {
        for (config, name) in [
            (json!({"scaling_factor": 0}), "scaling_factor"),
            (json!({"scaling_factor": "0.18"}), "scaling_factor"),
            (json!({"scaling_factor": 1e300}), "scaling_factor"),
            (json!({"shift_factor": 0.0609}), "shift_factor"),
            (json!({"shift_factor": "none"}), "shift_factor"),
            (json!({"latents_mean": [0.1]}), "latents_mean"),
            (json!({"latents_std": [0.1]}), "latents_std"),
            (json!({"_class_name": "AutoencoderDC"}), "AutoencoderDC"),
        ] {
            let error = scale(Some(&config), Pipeline::Diffusers)
                .unwrap_err()
                .to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
