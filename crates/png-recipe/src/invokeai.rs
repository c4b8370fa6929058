//! InvokeAI: `invokeai_metadata` (version 3 and later), `sd-metadata` (version 2) and `Dream` (version 1).
//!
//! Sources: `invokeai/app/invocations/metadata.py` (`CoreMetadataInvocation`) and, for the older forms,
//! `ldm/invoke/args.py` of invoke-ai/InvokeAI.

mod dream;

use serde_json::{Map, Value};

use crate::json::{Names, names, object, take, text};
use crate::source::Source;
use crate::{Generator, ReadError, Reading, Settings};

const NAMES: Names = Names {
    model: &[],
    prompt: &["positive_prompt"],
    negative_prompt: &["negative_prompt"],
    seed: &["seed"],
    steps: &["steps"],
    guidance: &["cfg_scale"],
};

const OLDER: Names = Names {
    model: &["model_weights"],
    prompt: &[],
    negative_prompt: &[],
    ..NAMES
};

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    let texts = &source.texts;
    let read = if let Some(metadata) = texts.get("invokeai_metadata") {
        object(metadata).map(core_metadata)
    } else if let Some(metadata) = texts.get("sd-metadata") {
        object(metadata).and_then(sd_metadata)
    } else if let Some(line) = texts.get("Dream") {
        dream::read(line)
    } else if let Some(metadata) = source
        .object()
        .filter(|o| o.contains_key("positive_prompt"))
    {
        Ok(core_metadata(metadata.clone()))
    } else if texts.get("invokeai_graph").is_some() {
        Err("it holds the graph alone, which is not read".to_owned())
    } else {
        return None;
    };
    Some(read.map_err(|detail| ReadError::Unreadable {
        generator: Generator::InvokeAi,
        detail,
    }))
}

fn core_metadata(mut map: Map<String, Value>) -> Reading {
    map.remove("app_version");
    map.remove("generation_mode");
    let model = take(&mut map, "model", |model| {
        let member = ["name", "model_name"]
            .iter()
            .find_map(|key| text(model.get(key)?));
        member.or_else(|| text(model))
    });
    let settings = Settings {
        model,
        ..NAMES.take(&mut map)
    };
    Reading::new(Generator::InvokeAi, settings, names(map))
}

fn sd_metadata(mut map: Map<String, Value>) -> Result<Reading, String> {
    let Some(Value::Object(mut image)) = map.remove("image") else {
        return Err("it has no image".to_owned());
    };
    let combined = take(&mut image, "prompt", |prompt| match prompt {
        // Weighted parts, each with its text.
        Value::Array(parts) => {
            let texts: Vec<&str> = parts
                .iter()
                .filter_map(|p| p.get("prompt")?.as_str())
                .collect();
            (!texts.is_empty()).then(|| texts.join(" "))
        }
        other => text(other),
    });
    let (prompt, negative_prompt) = combined.map(|c| split(&c)).unwrap_or_default();
    let model = OLDER.take(&mut map).model;
    let settings = Settings {
        model,
        prompt,
        negative_prompt,
        ..OLDER.take(&mut image)
    };
    Ok(Reading::new(Generator::InvokeAi, settings, names(image)))
}

/// Before version 3 the parts in square brackets were the negative prompt.
fn split(combined: &str) -> (Option<String>, Option<String>) {
    let (mut positive, mut negative) = (String::new(), Vec::new());
    let mut rest = combined;
    while let Some((before, after)) = rest.split_once('[')
        && let Some((inside, after)) = after.split_once(']')
    {
        positive.push_str(before);
        negative.push(inside.trim());
        rest = after;
    }
    positive.push_str(rest);
    let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    (some(&positive), some(&negative.join(", ")))
}
