//! InvokeAI: `invokeai_metadata` (version 3 and later), `sd-metadata` (version 2) and `Dream` (version 1).
//!
//! Sources: `invokeai/app/invocations/metadata.py` (`CoreMetadataInvocation`) and, for the older forms,
//! `ldm/invoke/args.py` of invoke-ai/InvokeAI.

use serde_json::{Map, Value};

use crate::chunks::Texts;
use crate::json::{finite, names, number, object, take, text};
use crate::{Generator, ReadError, Reading, Settings};

pub(crate) fn read(texts: &Texts) -> Option<Result<Reading, ReadError>> {
    let read = if let Some(metadata) = texts.get("invokeai_metadata") {
        object(metadata).map(core_metadata)
    } else if let Some(metadata) = texts.get("sd-metadata") {
        object(metadata).and_then(sd_metadata)
    } else {
        dream(texts.get("Dream")?)
    };
    Some(read.map_err(|detail| ReadError::Unreadable {
        generator: Generator::InvokeAi,
        detail,
    }))
}

fn reading(settings: Settings, unused: Vec<String>) -> Reading {
    Reading {
        generator: Generator::InvokeAi,
        settings,
        unused,
    }
}

fn core_metadata(mut map: Map<String, Value>) -> Reading {
    map.remove("app_version");
    map.remove("generation_mode");
    let model = take(&mut map, "model", |model| {
        ["name", "model_name"]
            .iter()
            .find_map(|key| text(model.get(key)?))
    });
    let settings = Settings {
        model,
        prompt: take(&mut map, "positive_prompt", text),
        negative_prompt: take(&mut map, "negative_prompt", text),
        seed: take(&mut map, "seed", number),
        num_inference_steps: take(&mut map, "steps", number),
        guidance_scale: take(&mut map, "cfg_scale", finite),
    };
    reading(settings, names(map))
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
    let settings = Settings {
        model: take(&mut map, "model_weights", text),
        prompt,
        negative_prompt,
        seed: take(&mut image, "seed", number),
        num_inference_steps: take(&mut image, "steps", number),
        guidance_scale: take(&mut image, "cfg_scale", finite),
    };
    Ok(reading(settings, names(image)))
}

/// `"prompt" -s 50 -S 1234 -W 512 -H 512 -C 7.5 -A k_lms`.
fn dream(line: &str) -> Result<Reading, String> {
    let (combined, arguments) = line
        .trim()
        .strip_prefix('"')
        .and_then(|rest| rest.rsplit_once('"'))
        .ok_or("its prompt is not in quotes")?;
    let (prompt, negative_prompt) = split(combined);
    let mut settings = Settings {
        prompt,
        negative_prompt,
        ..Settings::default()
    };
    let mut unused = Vec::new();
    let words: Vec<&str> = arguments.split_whitespace().collect();
    for (i, option) in words.iter().enumerate() {
        let value = words.get(i + 1).copied().unwrap_or_default();
        let is_name = |c: char| c.is_ascii_alphabetic() || c == '-';
        let used = match *option {
            "-s" => value
                .parse()
                .map(|n| settings.num_inference_steps = Some(n))
                .is_ok(),
            "-S" => value.parse().map(|n| settings.seed = Some(n)).is_ok(),
            "-C" => match value.parse::<f32>() {
                Ok(n) if n.is_finite() => {
                    settings.guidance_scale = Some(n);
                    true
                }
                _ => false,
            },
            _ => false,
        };
        if !used && option.starts_with('-') && option[1..].starts_with(is_name) {
            unused.push((*option).to_owned());
        }
    }
    Ok(reading(settings, unused))
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
