//! NovelAI: JSON under `Comment`, the prompt once more under `Description`, the model under `Source`.
//!
//! Source: files of the service, as `tests/resources` of d3x-at/sd-parsers and its issue trackers have them; its WebP
//! has all of them as one JSON object. What it hides in the lowest bits of the alpha channel is not read: that would
//! take the pixels.

use serde_json::{Map, Value};

use crate::json::{Names, names, object, take, text};
use crate::source::Source;
use crate::texts::SOFTWARE;
use crate::{Generator, ReadError, Reading};

const NAMES: Names = Names {
    model: &[],
    prompt: &["prompt"],
    negative_prompt: &["uc"],
    seed: &["seed"],
    steps: &["steps"],
    guidance: &["scale"],
};

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    let generator = Generator::NovelAi;
    let own = |software: &str| software.trim().eq_ignore_ascii_case("NovelAI");
    let get = |keyword: &str| source.texts.get(keyword).map(str::to_owned);
    if source.texts.get(SOFTWARE).is_some_and(own)
        && let Some(error) = source.damaged(generator, "")
    {
        return Some(Err(error));
    }
    let found = source.object()?;
    let (comment, description, made_with) = match found.get(SOFTWARE).and_then(Value::as_str) {
        Some(software) if own(software) => {
            let member = |key: &str| found.get(key).and_then(Value::as_str).map(str::to_owned);
            let comment = match found.get("Comment")? {
                Value::String(json) => object(json),
                Value::Object(comment) => Ok(comment.clone()),
                _ => Err("its comment is not an object".to_owned()),
            };
            (comment, member("Description"), member("Source"))
        }
        _ => {
            let has = |key: &str| found.contains_key(key);
            let shaped =
                has("uc") && has("scale") && has("sampler") && has("steps") && has("strength");
            let own = source.texts.get(SOFTWARE).is_some_and(own)
                || has("v4_prompt")
                || (shaped && get("Description").is_some());
            if !own {
                return None;
            }
            (Ok(found.clone()), get("Description"), get("Source"))
        }
    };
    Some(match comment {
        Ok(comment) => Ok(reading(comment, description, made_with)),
        Err(detail) => Err(ReadError::Unreadable { generator, detail }),
    })
}

fn reading(
    mut comment: Map<String, Value>,
    description: Option<String>,
    made_with: Option<String>,
) -> Reading {
    let prompt = take(&mut comment, "v4_prompt", base);
    let negative = take(&mut comment, "v4_negative_prompt", base);
    let mut unused = Vec::new();
    for (characters, name) in [
        (prompt.as_ref().map_or(0, |p| p.1), "prompts of characters"),
        (
            negative.as_ref().map_or(0, |p| p.1),
            "negative prompts of characters",
        ),
    ] {
        if characters > 0 {
            unused.push(name.to_owned());
        }
    }
    let mut settings = NAMES.take(&mut comment);
    let some = |text: String| Some(text).filter(|t| !t.trim().is_empty());
    if let Some((base, _)) = prompt {
        settings.prompt = some(base);
    }
    if let Some((base, _)) = negative {
        settings.negative_prompt = some(base);
    }
    settings.prompt = settings.prompt.or(description.and_then(some));
    settings.model = made_with.and_then(|name| some(without_hash(&name).to_owned()));
    for passed_over in ["signed_hash", "request_type", "version"] {
        comment.remove(passed_over);
    }
    unused.extend(names(comment));
    Reading::new(Generator::NovelAi, settings, unused)
}

/// From version 4 on: the base prompt, and how many characters have prompts of their own.
fn base(prompt: &Value) -> Option<(String, usize)> {
    let caption = prompt.get("caption")?;
    let characters = caption.get("char_captions").and_then(Value::as_array);
    let told = characters
        .into_iter()
        .flatten()
        .filter(|c| c.get("char_caption").and_then(text).is_some());
    Some((
        caption.get("base_caption")?.as_str()?.to_owned(),
        told.count(),
    ))
}

/// `Stable Diffusion 1D44365E`: a name and a hash.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once(' ') {
        Some((name, hash)) if hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name
        }
        _ => name,
    }
}
