//! SwarmUI, formerly StableSwarmUI: JSON whose member `sui_image_params` has the settings.
//!
//! Source: `docs/Image Metadata Format.md` of mcmonkeyprojects/SwarmUI: under `parameters` in a PNG, in `UserComment`
//! elsewhere (little-endian UTF-16); numbers may be text. Files of 2023 have it in EXIF's `Model`.

use serde_json::Value;

use crate::json::{Names, names};
use crate::source::Source;
use crate::{Generator, ReadError, Reading};

const PARAMS: &str = "sui_image_params";

const NAMES: Names = Names {
    model: &["model"],
    prompt: &["prompt"],
    negative_prompt: &["negativeprompt"],
    seed: &["seed"],
    steps: &["steps"],
    guidance: &["cfgscale"],
};

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    let generator = Generator::SwarmUi;
    if let Some(error) = source.damaged(generator, PARAMS) {
        return Some(Err(error));
    }
    let Value::Object(mut params) = source.object()?.get(PARAMS)?.clone() else {
        return Some(Err(ReadError::Unreadable {
            generator,
            detail: format!("{PARAMS} is not an object"),
        }));
    };
    params.remove("swarm_version");
    let settings = NAMES.take(&mut params);
    Some(Ok(Reading::new(generator, settings, names(params))))
}
