//! Easy Diffusion: each setting a text of its own in a PNG, JSON in `UserComment` elsewhere.
//!
//! Sources: `ui/easydiffusion/utils/save_utils.py` (`TASK_TEXT_MAPPING`: the second names, which it takes where it also
//! writes a text file) of easydiffusion/easydiffusion, `sdkit/utils/file_utils.py` of easydiffusion/sdkit.

use serde_json::{Map, Value};

use crate::json::{Names, names};
use crate::source::Source;
use crate::{Generator, ReadError, Reading};

const NAMES: Names = Names {
    model: &["use_stable_diffusion_model", "Stable Diffusion model"],
    prompt: &["prompt", "Prompt"],
    negative_prompt: &["negative_prompt", "Negative Prompt"],
    seed: &["seed", "Seed"],
    steps: &["num_inference_steps", "Steps"],
    guidance: &["guidance_scale", "Guidance Scale"],
};

/// What else is looked at in a PNG.
const MORE: [&str; 5] = ["sampler_name", "Sampler", "width", "height", "clip_skip"];

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    if let Some(error) = source.damaged(Generator::EasyDiffusion, "\"use_stable_diffusion_model\"")
    {
        return Some(Err(error));
    }
    let shared = source.object().filter(|object| is_own(object)).cloned();
    let mut object = shared.or_else(|| Some(texts(source)).filter(is_own))?;
    let mut settings = NAMES.take(&mut object);
    // Python's word for nothing.
    settings.model = settings
        .model
        .filter(|model| model != "None")
        .map(|model| file_name(&model).to_owned());
    settings.negative_prompt = settings.negative_prompt.filter(|p| p != "None");
    object.retain(|_, value| value != "None");
    Some(Ok(Reading::new(
        Generator::EasyDiffusion,
        settings,
        names(object),
    )))
}

fn is_own(object: &Map<String, Value>) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| object.contains_key(*name));
    has(NAMES.prompt) && has(NAMES.model)
}

/// The texts of a PNG as an object.
fn texts(source: &Source) -> Map<String, Value> {
    let all = [
        NAMES.model,
        NAMES.prompt,
        NAMES.negative_prompt,
        NAMES.seed,
        NAMES.steps,
        NAMES.guidance,
        &MORE[..],
    ];
    all.into_iter()
        .flatten()
        .filter_map(|name| Some(((*name).to_owned(), Value::from(source.texts.get(name)?))))
        .collect()
}

/// A model may be named by where it lies on somebody's disk.
fn file_name(model: &str) -> &str {
    let bytes = model.as_bytes();
    let absolute =
        model.starts_with('/') || bytes.get(1..3) == Some(b":\\") || bytes.get(1..3) == Some(b":/");
    if absolute {
        model.rsplit(['/', '\\']).next().unwrap_or(model)
    } else {
        model
    }
}
