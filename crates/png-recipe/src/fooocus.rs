//! Fooocus: JSON under `parameters` (its scheme `fooocus`), or A1111's form (its scheme `a1111`).
//!
//! Source: `modules/meta_parser.py` and `modules/private_logger.py` of lllyasviel/Fooocus.

use crate::chunks::Texts;
use crate::json::{finite, names, number, object, take, text};
use crate::{Generator, PARAMETERS_KEYWORD, ReadError, Reading, Settings, a1111};

pub(crate) fn read(texts: &Texts) -> Option<Result<Reading, ReadError>> {
    let parameters = texts.get(PARAMETERS_KEYWORD)?;
    let scheme = texts.get("fooocus_scheme");
    if !parameters.trim_start().starts_with('{') {
        return (scheme == Some("a1111")).then(|| {
            Ok(Reading {
                generator: Generator::Fooocus,
                ..a1111::read(parameters)
            })
        });
    }
    match json(parameters, scheme.is_some()) {
        Ok(reading) => reading.map(Ok),
        Err(detail) if scheme.is_some() => Some(Err(ReadError::Unreadable {
            generator: Generator::Fooocus,
            detail,
        })),
        // A prompt may begin with a brace.
        Err(_) => None,
    }
}

/// `None` for a JSON object of another program.
fn json(parameters: &str, declared: bool) -> Result<Option<Reading>, String> {
    let mut map = object(parameters)?;
    let scheme = map.remove("metadata_scheme");
    if !declared && scheme.is_none_or(|s| s != "fooocus") {
        return Ok(None);
    }
    map.remove("version");
    // What Fooocus made of the prompt before it ran: the prompt once more.
    for expansion in ["full_prompt", "full_negative_prompt", "prompt_expansion"] {
        map.remove(expansion);
    }
    let settings = Settings {
        model: take(&mut map, "base_model", text),
        prompt: take(&mut map, "prompt", text),
        negative_prompt: take(&mut map, "negative_prompt", text),
        seed: take(&mut map, "seed", number),
        num_inference_steps: take(&mut map, "steps", number),
        guidance_scale: take(&mut map, "guidance_scale", finite),
    };
    Ok(Some(Reading {
        generator: Generator::Fooocus,
        settings,
        unused: names(map),
    }))
}
