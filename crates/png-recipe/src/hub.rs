//! This hub's own recipe: [`protocol::Recipe`] as JSON. Fields that other versions add or lack do no harm.

use serde_json::Value;

use crate::json::{Names, names, object};
use crate::source::Source;
use crate::{Generator, RECIPE_KEYWORD, ReadError, Reading};

const NAMES: Names = Names {
    model: &["model"],
    prompt: &["prompt"],
    negative_prompt: &["negative_prompt"],
    seed: &["seed"],
    steps: &["num_inference_steps"],
    guidance: &["guidance_scale"],
};

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    let recipe = source.texts.get(RECIPE_KEYWORD)?;
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
    let settings = NAMES.take(&mut request);
    // The rest of a recipe is about the run, not about what was asked for.
    Ok(Reading::new(Generator::DemoHub, settings, names(request)))
}
