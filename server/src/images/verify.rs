//! Whether stored bytes are the picture that they claim to be.

mod chunks;
mod pixels;

use std::io::Cursor;

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use protocol::Recipe;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longest side of a picture in pixels.
const MAX_SIDE: u32 = 4096;
/// Memory that decoding may take, in bytes.
const MAX_DECODED_BYTES: usize = 128 << 20;

/// Why the bytes are not stored as a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPicture {
    /// Not decodable as PNG.
    #[error("it is not a readable PNG: {0}")]
    Undecodable(String),
    /// A chunk that a still picture does not need.
    #[error("its chunk {0:?} is not accepted")]
    Chunk(String),
    /// Too many bytes beside the pixels.
    #[error("it holds too much beside the pixels")]
    TooMuchText,
    /// A side is longer than accepted.
    #[error("it is {width}×{height} pixels; at most {MAX_SIDE} a side are accepted")]
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Not the size that the model makes.
    #[error("it is {width}×{height} pixels; this model makes {expected_width}×{expected_height}")]
    OtherSize {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Pixels.
        expected_width: u32,
        /// Pixels.
        expected_height: u32,
    },
    /// Something follows the picture.
    #[error("it does not end where the picture ends")]
    TrailingData,
    /// Bytes that no picture shows.
    #[error("it holds bytes that are not part of the picture: {0}")]
    Hidden(&'static str),
    /// No recipe inside, or another one.
    #[error("{0}")]
    Recipe(String),
}

impl NotAPicture {
    /// Whether the bytes may be a good picture of another upload.
    pub fn depends_on_announcement(&self) -> bool {
        matches!(self, Self::OtherSize { .. } | Self::Recipe(_))
    }
}

/// Decodes a PNG completely, after its size was compared with `expected` (width and height), and compares the recipe
/// inside with the announced one.
///
/// # Errors
/// [`NotAPicture`].
pub fn check(
    bytes: &[u8],
    expected: Option<(u32, u32)>,
    announced: &Recipe,
) -> Result<DynamicImage, NotAPicture> {
    let parts = chunks::walk(bytes)?;
    let (width, height) = (parts.header.width, parts.header.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(NotAPicture::TooLarge { width, height });
    }
    if let Some((expected_width, expected_height)) = expected
        && (width, height) != (expected_width, expected_height)
    {
        return Err(NotAPicture::OtherSize {
            width,
            height,
            expected_width,
            expected_height,
        });
    }
    pixels::walk(&parts.header, &parts.pixels)?;
    let picture = decode(decoder(bytes), width, height)?;
    compare(&parts.international, announced, (width, height))?;
    Ok(picture)
}

fn decoder(bytes: &[u8]) -> png::Decoder<Cursor<&[u8]>> {
    let limits = png::Limits {
        bytes: MAX_DECODED_BYTES,
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder
}

fn decode(
    decoder: png::Decoder<Cursor<&[u8]>>,
    width: u32,
    height: u32,
) -> Result<DynamicImage, NotAPicture> {
    let mut reader = decoder.read_info().map_err(undecodable)?;
    let size = reader
        .output_buffer_size()
        .filter(|&n| n <= MAX_DECODED_BYTES)
        .ok_or(NotAPicture::TooLarge { width, height })?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(undecodable)?;
    reader.finish().map_err(undecodable)?;
    let picture = match frame.color_type {
        png::ColorType::Grayscale => {
            GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        }
        png::ColorType::GrayscaleAlpha => {
            GrayAlphaImage::from_raw(width, height, pixels).map(DynamicImage::ImageLumaA8)
        }
        png::ColorType::Rgb => {
            RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        }
        png::ColorType::Rgba => {
            RgbaImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgba8)
        }
        png::ColorType::Indexed => None,
    };
    picture.ok_or_else(|| NotAPicture::Undecodable("its pixels do not fill it".to_owned()))
}

/// The recipe inside must say what was announced; it may say more. A recipe of before requests had sizes means that of its
/// picture.
fn compare(
    texts: &[(String, String)],
    announced: &Recipe,
    (width, height): (u32, u32),
) -> Result<(), NotAPicture> {
    let sized = |mut recipe: Recipe| {
        recipe.request.width.get_or_insert(width);
        recipe.request.height.get_or_insert(height);
        recipe
    };
    let announced = &sized(announced.clone());
    let wrong = |why: String| NotAPicture::Recipe(why);
    let mut own = texts
        .iter()
        .filter(|(keyword, _)| keyword == diffusion::png::RECIPE_KEYWORD);
    let (Some((_, json)), None) = (own.next(), own.next()) else {
        return Err(wrong("it does not hold exactly one recipe".to_owned()));
    };
    let found: Recipe =
        serde_json::from_str(json).map_err(|e| wrong(format!("its recipe cannot be read: {e}")))?;
    let found = sized(found);
    if found == *announced {
        return Ok(());
    }
    let value = |recipe: &Recipe| serde_json::to_value(recipe).map_err(|e| wrong(e.to_string()));
    let (found, model) = (value(&found)?, value(announced)?);
    let name = first_difference(&found, &model).unwrap_or_default();
    Err(wrong(format!("the recipe inside has another {name}")))
}

fn first_difference(a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => b.keys().chain(a.keys()).find_map(|name| {
            let of = |members: &'_ serde_json::Map<String, Value>| {
                members.get(name).cloned().unwrap_or_default()
            };
            let inner = first_difference(&of(a), &of(b))?;
            let dot = if inner.is_empty() { "" } else { "." };
            Some(format!("{name}{dot}{inner}"))
        }),
        _ => (a != b).then(String::new),
    }
}

fn undecodable(error: png::DecodingError) -> NotAPicture {
    NotAPicture::Undecodable(error.to_string())
}

/// SHA-256 in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
