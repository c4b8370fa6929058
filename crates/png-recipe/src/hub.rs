//! This hub's own recipe: [`protocol::Recipe`] as JSON. Fields that other versions add or lack do no harm.

use serde_json::Value;

use crate::chunks::Texts;
use crate::json::{finite, names, number, object, take, text};
use crate::{Generator, RECIPE_KEYWORD, ReadError, Reading, Settings};

pub(crate) fn read(texts: &Texts) -> Option<Result<Reading, ReadError>> {
    let recipe = texts.get(RECIPE_KEYWORD)?;
    Some(request(recipe).map_err(|detail| ReadError::Unreadable {
        generator: Generator::DemoHub,
        detail,
    }))
}

fn request(recipe: &str) -> Result<Reading, String> {
    let mut recipe = object(recipe)?;
    let Some(Value::Object(mut request)) = recipe.remove("request") else {
        return Err("it has no request".to_owned());
    };
    let settings = Settings {
        model: take(&mut request, "model", text),
        prompt: take(&mut request, "prompt", text),
        negative_prompt: take(&mut request, "negative_prompt", text),
        seed: take(&mut request, "seed", number),
        num_inference_steps: take(&mut request, "num_inference_steps", number),
        guidance_scale: take(&mut request, "guidance_scale", finite),
    };
    // The rest of a recipe is about the run, not about what was asked for.
    let unused = names(request);
    Ok(Reading {
        generator: Generator::DemoHub,
        settings,
        unused,
    })
}
