//! Fooocus: JSON (its scheme `fooocus`), or A1111's form (its scheme `a1111`).
//!
//! Source: `modules/meta_parser.py` and `modules/private_logger.py` of lllyasviel/Fooocus. In A1111's form the lines
//! hold the prompt as styles and expansion left it; what was typed is in the pairs `Raw prompt` and `Raw negative
//! prompt`. In JPEG and WebP the text is in `UserComment`, the scheme in `MakerNote`. The fork MRE writes JSON into the
//! file's comment.

use serde_json::{Map, Value};

use crate::a1111::Infotext;
use crate::json::{Names, names};
use crate::source::{Source, looks_like_json};
use crate::texts::{FOOOCUS_SCHEME, USER_COMMENT};
use crate::{Generator, PARAMETERS_KEYWORD, ReadError, Reading};

/// The second names are those of the log that the program shows.
const NAMES: Names = Names {
    model: &["base_model", "Base Model"],
    prompt: &["prompt", "Prompt"],
    negative_prompt: &["negative_prompt", "Negative Prompt"],
    seed: &["seed", "Seed"],
    steps: &["steps", "Steps"],
    guidance: &["guidance_scale", "Guidance Scale", "cfg"],
};

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    let scheme = source.texts.get(FOOOCUS_SCHEME);
    if let Some(object) = source.object().filter(|o| scheme.is_some() || is_own(o)) {
        return Some(Ok(json(object.clone())));
    }
    let mark = if scheme.is_some() {
        ""
    } else {
        "\"metadata_scheme\""
    };
    if let Some(error) = source.damaged(Generator::Fooocus, mark) {
        return Some(Err(error));
    }
    let text = [PARAMETERS_KEYWORD, USER_COMMENT]
        .iter()
        .find_map(|keyword| source.texts.get(keyword))?;
    let info = (!looks_like_json(text)).then(|| Infotext::parse(text))?;
    let own = scheme == Some("a1111")
        || info
            .value("Version")
            .is_some_and(|v| v.starts_with("Fooocus"));
    own.then(|| Ok(as_typed(info)))
}

fn is_own(object: &Map<String, Value>) -> bool {
    let says = |key: &str, start: &str| {
        let value = object.get(key).and_then(Value::as_str);
        value.is_some_and(|v| v.starts_with(start))
    };
    says("metadata_scheme", "fooocus")
        || ["version", "Version", "software"]
            .iter()
            .any(|key| says(key, "Fooocus"))
        || (object.contains_key("base_model") && object.contains_key("performance"))
        || (object.contains_key("Base Model") && object.contains_key("Performance"))
}

fn json(mut object: Map<String, Value>) -> Reading {
    // What Fooocus made of the prompt before it ran: the prompt once more.
    for passed_over in [
        "metadata_scheme",
        "version",
        "Version",
        "software",
        "full_prompt",
        "full_negative_prompt",
        "prompt_expansion",
    ] {
        object.remove(passed_over);
    }
    let settings = NAMES.take(&mut object);
    Reading::new(Generator::Fooocus, settings, names(object))
}

/// The prompts before styles were added to them, where the file has them.
fn as_typed(mut info: Infotext) -> Reading {
    let some = |text: String| Some(text).filter(|t| !t.trim().is_empty());
    let (raw, raw_negative) = (info.take("Raw prompt"), info.take("Raw negative prompt"));
    let mut reading = info.reading();
    reading.generator = Generator::Fooocus;
    if let Some(raw) = raw {
        reading.settings.prompt = some(raw);
        reading.settings.negative_prompt = raw_negative.and_then(some);
    }
    reading
}
