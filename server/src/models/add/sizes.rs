//! The size of the latents in `unet/config.json`.

use anyhow::bail;
use serde_json::Value;

use super::pipeline::Pipeline;

/// Latents that pipelines take at least where the file is older than [`FIRST_TRUE`].
const LEAST: usize = 64;
/// The version of diffusers, after the leading 0, whose files say what they mean.
const FIRST_TRUE: u64 = 9;

/// Height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub sides: [usize; 2],
    /// What the file says, where the pipeline overrules it.
    overruled: Option<usize>,
}

impl Stated {
    /// A sentence, where the pipeline overrules the file.
    pub fn note(self, pipeline: Pipeline) -> Option<String> {
        let said = self.overruled?;
        let pipeline = pipeline.name();
        Some(format!(
            "sample_size of the unet is {said}; {pipeline} takes {LEAST}"
        ))
    }
}

/// `sample_size`: a number, or height and width.
pub(super) fn stated(config: &Value, pipeline: Pipeline) -> anyhow::Result<Option<Stated>> {
    let size = |value: &Value| {
        let size = value.as_u64().filter(|&size| size > 0)?;
        usize::try_from(size).ok()
    };
    let sides = match config.get("sample_size") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(sides)) => match &sides[..] {
            [height, width] => size(height).zip(size(width)),
            _ => None,
        },
        Some(side) => size(side).map(|side| (side, side)),
    };
    let Some((height, width)) = sides else {
        bail!("sample_size of the unet is {}", config["sample_size"]);
    };
    let small = config["sample_size"].is_u64() && height < LEAST;
    if small && is_old(config) && pipeline.overrules_sizes() {
        return Ok(Some(Stated {
            sides: [LEAST; 2],
            overruled: Some(height),
        }));
    }
    Ok(Some(Stated {
        sides: [height, width],
        overruled: None,
    }))
}

/// Whether a diffusers of before 0.9 wrote the file.
fn is_old(config: &Value) -> bool {
    let version = config.get("_diffusers_version").and_then(Value::as_str);
    let mut parts = version.unwrap_or_default().split('.');
    let minor = parts.next().filter(|major| *major == "0").and(parts.next());
    minor
        .and_then(|minor| minor.parse::<u64>().ok())
        .is_some_and(|minor| minor < FIRST_TRUE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// `StableDiffusionPipeline.__init__` of diffusers 0.42.1.
    #[test]
    fn small_sizes_of_old_files_are_overruled_by_the_pipelines_that_do() {
        for (config, pipeline, expected) in [
            (
                json!({"sample_size": 32, "_diffusers_version": "0.2.2"}),
                Pipeline::DIFFUSERS,
                Some([64, 64]),
            ),
            (
                json!({"sample_size": 32, "_diffusers_version": "0.8.0.dev0"}),
                Pipeline::DIFFUSERS_ONNX,
                Some([64, 64]),
            ),
            (
                json!({"sample_size": 32, "_diffusers_version": "0.8.0"}),
                Pipeline::OPTIMUM,
                Some([32, 32]),
            ),
            (
                json!({"sample_size": 32, "_diffusers_version": "0.9.0"}),
                Pipeline::DIFFUSERS,
                Some([32, 32]),
            ),
            (
                json!({"sample_size": 32, "_diffusers_version": "0.10.1"}),
                Pipeline::DIFFUSERS,
                Some([32, 32]),
            ),
            (
                json!({"sample_size": 32, "_diffusers_version": "1.0.0"}),
                Pipeline::DIFFUSERS,
                Some([32, 32]),
            ),
            (
                json!({"sample_size": 32}),
                Pipeline::DIFFUSERS,
                Some([32, 32]),
            ),
            (
                json!({"sample_size": 96, "_diffusers_version": "0.2.2"}),
                Pipeline::DIFFUSERS,
                Some([96, 96]),
            ),
            (
                json!({"sample_size": [32, 48], "_diffusers_version": "0.2.2"}),
                Pipeline::DIFFUSERS,
                Some([32, 48]),
            ),
            (json!({"sample_size": null}), Pipeline::DIFFUSERS, None),
            (json!(null), Pipeline::DIFFUSERS, None),
        ] {
            let stated = stated(&config, pipeline).unwrap();
            assert_eq!(stated.map(|stated| stated.sides), expected, "{config}");
            let overruled = stated.and_then(|stated| stated.note(pipeline)).is_some();
            assert_eq!(overruled, expected == Some([64, 64]), "{config}");
        }
        for size in [
            json!(0),
            json!(-1),
            json!("64"),
            json!([64]),
            json!([64, "64"]),
            json!(64.5),
        ] {
            assert!(
                stated(&json!({"sample_size": size}), Pipeline::DIFFUSERS).is_err(),
                "{size}"
            );
        }
    }
}
