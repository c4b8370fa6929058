//! PNG with the recipe inside.
//!
//! Three texts: `parameters` in the form that A1111's web UI writes and prompt readers take (`tEXt`, or `iTXt` where the
//! text is not Latin-1), `demo-hub` (`iTXt`), the [`Recipe`] as JSON, and an XMP packet that marks the picture as made by
//! a model.

mod xmp;

use png_recipe::a1111;
pub use png_recipe::{PARAMETERS_KEYWORD, RECIPE_KEYWORD};
use protocol::Recipe;

use crate::error::{Error, ErrorKind, Result};
use crate::picture::Picture;

/// Encodes a picture with its recipe.
///
/// # Errors
/// [`ErrorKind::Png`] when the picture's size and data do not fit each other.
pub fn encode(picture: &Picture, recipe: &Recipe) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = encoder(&mut out, picture)?;
    let text = a1111::write(recipe, picture.width, picture.height);
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

/// Encodes a picture that is not the result of a recipe, such as a preview; the mark of its making is in it all the
/// same.
///
/// # Errors
/// As [`encode`].
pub fn encode_plain(picture: &Picture) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write(encoder(&mut out, picture)?, picture)?;
    Ok(out)
}

fn encoder<'a>(
    out: &'a mut Vec<u8>,
    picture: &Picture,
) -> Result<::png::Encoder<'static, &'a mut Vec<u8>>> {
    let mut encoder = ::png::Encoder::new(out, picture.width, picture.height);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_source_srgb(::png::SrgbRenderingIntent::Perceptual);
    encoder
        .add_itxt_chunk(xmp::KEYWORD.to_owned(), xmp::PACKET.to_owned())
        .map_err(fail)?;
    Ok(encoder)
}

fn write(encoder: ::png::Encoder<'_, &mut Vec<u8>>, picture: &Picture) -> Result<()> {
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&picture.rgb).map_err(fail)?;
    writer.finish().map_err(fail)
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
