//! This hub's own recipe: [`protocol::Recipe`] as JSON. Fields that other versions add or lack do no harm.

use serde_json::Value;

use crate::json::{Names, names, number, object, take_first, text};
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
    let mut settings = NAMES.take(&mut request);
    let mut side = |name: &str| take_first(&mut request, &[name], number);
    settings.size = side("width").zip(side("height"));
    settings.sampler = take_first(&mut request, &["sampler"], text);
    let whole = take_first(&mut request, &["clip_skip"], number);
    settings.clip_skip = whole;
    let syntax = take_first(&mut request, &["prompt_syntax"], text);
    settings.weighted = syntax.as_deref() == Some("a1111");
    // The rest of a recipe is about the run, not about what was asked for.
    Ok(Reading::new(Generator::DemoHub, settings, names(request)))
}
