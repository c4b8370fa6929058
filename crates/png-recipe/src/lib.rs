//! How a picture was made, as text inside its PNG, WebP or JPEG.
//!
//! [`read`] finds the settings in files of this hub and of the programs in [`Generator`]. It takes any bytes: what is
//! decompressed and followed has one budget for each file, and nothing of the picture itself is decoded.
//! [`a1111::write`] makes the text that such readers take.

pub mod a1111;
mod comfyui;
mod container;
mod drawthings;
mod easydiffusion;
mod fooocus;
mod hub;
mod invokeai;
mod json;
mod novelai;
mod reading;
mod source;
mod swarmui;
mod texts;

pub use reading::{Field, Generator, ReadError, Reading, Settings, Unread};
pub use texts::{MAX_FILE_TEXT_BYTES, MAX_TEXT_BYTES};

use source::Source;

/// Keyword of A1111's text.
pub const PARAMETERS_KEYWORD: &str = "parameters";
/// Keyword of this hub's recipe, [`protocol::Recipe`] as JSON.
pub const RECIPE_KEYWORD: &str = "demo-hub";

/// Reads the settings of a PNG, WebP or JPEG. Where several generators left text, the most exact one counts.
///
/// # Errors
/// [`ReadError`].
pub fn read(file: &[u8]) -> Result<Reading, ReadError> {
    let source = Source::new(container::texts(file)?);
    type Reader = fn(&Source) -> Option<Result<Reading, ReadError>>;
    let readers: [Reader; 9] = [
        hub::read,
        swarmui::read,
        invokeai::read,
        fooocus::read,
        drawthings::read,
        novelai::read,
        easydiffusion::read,
        a1111::read_source,
        comfyui::read,
    ];
    let mut failure = None;
    for reader in readers {
        match reader(&source) {
            Some(Ok(reading)) if !reading.settings.is_empty() => return Ok(reading),
            Some(Ok(reading)) => {
                failure = failure.or(reading.nothing_readable());
            }
            Some(Err(error)) => failure = failure.or(Some(error)),
            None => {}
        }
    }
    let nothing = if source.texts.left_some_out() {
        ReadError::TooLong
    } else {
        ReadError::NoRecipe
    };
    Err(failure.unwrap_or(nothing))
}
