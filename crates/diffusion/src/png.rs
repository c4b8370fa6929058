//! PNG with the recipe inside.
//!
//! Two text chunks: `parameters` in the form that A1111's web UI writes and prompt readers take (`tEXt`, or
//! `iTXt` where the text is not Latin-1), and `demo-hub` (`iTXt`): the [`Recipe`] as JSON.

use std::fmt::Write as _;

use protocol::Recipe;

use crate::error::{Error, ErrorKind, Result};
use crate::picture::Picture;

/// Keyword of the A1111 text.
pub const PARAMETERS_KEYWORD: &str = "parameters";
/// Keyword of the JSON recipe.
pub const RECIPE_KEYWORD: &str = "demo-hub";

/// Encodes a picture with its recipe.
///
/// # Errors
/// [`ErrorKind::Png`] when the picture's size and data do not fit each other.
pub fn encode(picture: &Picture, recipe: &Recipe) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = encoder(&mut out, picture);
    let text = parameters(recipe, picture.width, picture.height);
    if is_latin1(&text) {
        encoder.add_text_chunk(PARAMETERS_KEYWORD.to_owned(), text)
    } else {
        encoder.add_itxt_chunk(PARAMETERS_KEYWORD.to_owned(), text)
    }
    .map_err(fail)?;
    let json = serde_json::to_string(recipe).map_err(fail)?;
    encoder
        .add_itxt_chunk(RECIPE_KEYWORD.to_owned(), json)
        .map_err(fail)?;
    write(encoder, picture)?;
    Ok(out)
}

/// Encodes a picture that is not the result of a recipe, such as a preview.
///
/// # Errors
/// As [`encode`].
pub fn encode_plain(picture: &Picture) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write(encoder(&mut out, picture), picture)?;
    Ok(out)
}

fn encoder<'a>(
    out: &'a mut Vec<u8>,
    picture: &Picture,
) -> ::png::Encoder<'static, &'a mut Vec<u8>> {
    let mut encoder = ::png::Encoder::new(out, picture.width, picture.height);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_source_srgb(::png::SrgbRenderingIntent::Perceptual);
    encoder
}

fn write(encoder: ::png::Encoder<'_, &mut Vec<u8>>, picture: &Picture) -> Result<()> {
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&picture.rgb).map_err(fail)?;
    writer.finish().map_err(fail)
}

/// The A1111 text of a recipe: prompt, `Negative prompt:` line where there is one, then the settings.
pub fn parameters(recipe: &Recipe, width: u32, height: u32) -> String {
    let request = &recipe.request;
    let mut text = request.prompt.clone();
    if !request.negative_prompt.is_empty() {
        text.push_str("\nNegative prompt: ");
        text.push_str(&request.negative_prompt);
    }
    text.push('\n');
    let mut settings: Vec<(&str, String)> = Vec::new();
    if let Some(steps) = request.num_inference_steps {
        settings.push(("Steps", steps.to_string()));
    }
    if !recipe.scheduler.is_empty() {
        settings.push(("Sampler", "Euler".to_owned()));
    }
    if let Some(scale) = request.guidance_scale {
        settings.push(("CFG scale", scale.to_string()));
    }
    if let Some(seed) = request.seed {
        settings.push(("Seed", seed.to_string()));
    }
    settings.push(("Size", format!("{width}x{height}")));
    if !recipe.weights_digest.is_empty() {
        settings.push((
            "Model hash",
            recipe.weights_digest.chars().take(10).collect(),
        ));
    }
    settings.push(("Model", quoted(&request.model)));
    settings.push(("Version", "Demo Hub".to_owned()));
    for (i, (name, value)) in settings.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}: {value}");
    }
    // NUL would end a PNG text early.
    text.replace('\0', " ")
}

/// A1111 writes values that hold its separators as JSON strings.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n']) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

fn is_latin1(text: &str) -> bool {
    text.chars().all(|c| u32::from(c) <= 0xFF)
}

fn fail(error: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Png,
        format!("the picture cannot be written as PNG: {error}"),
    )
}
