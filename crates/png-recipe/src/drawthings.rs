//! Draw Things: JSON in `exif:UserComment` of its XMP packet, and lines near to A1111's form in `dc:description`.
//!
//! Source: files of the app, as cocktailpeanut/breadmachine issue 2 lists one. In the description the negative prompt is
//! the line that begins with `-`, the guidance scale is `Guidance Scale`.

use crate::a1111::Infotext;
use crate::json::{Names, names};
use crate::source::Source;
use crate::texts::{IMAGE_DESCRIPTION, SOFTWARE};
use crate::{Generator, ReadError, Reading};

const NAMES: Names = Names {
    model: &["model"],
    prompt: &["c"],
    negative_prompt: &["uc"],
    seed: &["seed"],
    steps: &["steps"],
    guidance: &["scale"],
};

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    let generator = Generator::DrawThings;
    let named = source
        .texts
        .get(SOFTWARE)
        .is_some_and(|s| s.starts_with("Draw Things"));
    let object = source.object().filter(|object| {
        let has = |key: &str| object.contains_key(key);
        has("c") && (named || (has("uc") && has("sampler") && has("scale")))
    });
    if let Some(mut object) = object.cloned() {
        let settings = NAMES.take(&mut object);
        // The same once more, in the names of the app's scripts.
        object.remove("v2");
        return Some(Ok(Reading::new(generator, settings, names(object))));
    }
    let description = source.texts.get(IMAGE_DESCRIPTION).filter(|_| named)?;
    let mut info = Infotext::parse(description);
    if !info.has_settings() {
        return None;
    }
    if let Some(prompt) = info.prompt.take() {
        let (prompt, negative) = split(&prompt);
        info.prompt = prompt;
        info.negative_prompt = negative;
    }
    let mut reading = info.reading();
    reading.generator = generator;
    Some(Ok(reading))
}

/// Prompt and negative prompt, which is the part from the first line that begins with `-`.
fn split(text: &str) -> (Option<String>, Option<String>) {
    let (prompt, negative) = match text.strip_prefix('-') {
        Some(negative) => ("", negative),
        None => text.split_once("\n-").unwrap_or((text, "")),
    };
    let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    (some(prompt), some(negative))
}
