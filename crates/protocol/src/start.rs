//! A picture that another one begins with, as a request names it.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /api/v1/inputs` | [`InputRequest`] → 201 [`crate::UploadTicket`]: a presigned PUT, after which requests may name the id |
//! | `DELETE /api/v1/inputs/{id}` | 204; only for the client that announced it |
//!
//! Requests carry names of pictures, never their bytes.

use serde::{Deserialize, Serialize};

use crate::generation::RequestError;
use crate::model::ModelSummary;

/// Largest file of a picture to begin with, or of a mask, in bytes.
pub const MAX_INPUT_BYTES: u64 = 16 << 20;
/// Most pixels of such a file.
pub const MAX_INPUT_PIXELS: u64 = 1 << 25;
/// Media types of such files.
pub const INPUT_MIMES: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];
/// How long such a file may be named in requests, in seconds from its announcement.
pub const INPUT_SECONDS: u64 = 24 * 3600;
/// [`StartRequest::strength`] where it is left open.
pub const DEFAULT_STRENGTH: f32 = 0.8;

/// Body of `POST /api/v1/inputs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InputRequest {
    /// SHA-256 of the file, 64 lower-case hex digits.
    pub sha256: String,
    /// Length of the file in bytes, at most [`MAX_INPUT_BYTES`].
    pub bytes: u64,
    /// Media type, one of [`INPUT_MIMES`].
    pub content_type: String,
}

/// A picture that the hub has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PictureRef {
    /// One that the same client sent: the id of its announcement at `/api/v1/inputs`.
    Input(String),
    /// One of the hub's pictures that the client may see, by its id.
    Image(String),
}

/// What a mask's file says where a picture is made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MaskBy {
    /// Where it is lighter than middle grey.
    #[default]
    Light,
    /// Where it is more transparent than not.
    Transparency,
}

impl MaskBy {
    /// Whether it is what masks say where nothing else is told.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What a picture is to begin with. Pictures and masks are brought to the size of the picture that is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// The picture.
    pub image: PictureRef,
    /// How much of the way from noise is gone, 0 to 1; absent: [`DEFAULT_STRENGTH`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f32>,
    /// What of it is made anew; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<PictureRef>,
    /// What says in the mask where; absent: light does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_by: Option<MaskBy>,
}

impl StartRequest {
    /// The strength, if `model` can begin with a picture and all is in range.
    ///
    /// # Errors
    /// [`RequestError::NoStart`], [`RequestError::OutOfRange`], [`RequestError::NoMask`].
    pub fn check(&self, model: &ModelSummary) -> Result<f32, RequestError> {
        let strength = strength(self.strength, model)?;
        if self.mask_by.is_some() && self.mask.is_none() {
            return Err(RequestError::NoMask);
        }
        Ok(strength)
    }
}

/// The strength that is asked for, or the usual one, if `model` can begin with a picture.
///
/// # Errors
/// [`RequestError::NoStart`], [`RequestError::OutOfRange`].
pub fn strength(asked: Option<f32>, model: &ModelSummary) -> Result<f32, RequestError> {
    if !model.begins_with_pictures {
        return Err(RequestError::NoStart(model.id.clone()));
    }
    let strength = asked.unwrap_or(DEFAULT_STRENGTH);
    if !(0.0..=1.0).contains(&strength) {
        return Err(RequestError::OutOfRange {
            field: "start.strength",
            value: strength.to_string(),
            min: "0".to_owned(),
            max: "1".to_owned(),
        });
    }
    Ok(strength)
}

/// How many of `steps` are taken from a picture on, as diffusers counts them: their share, rounded down.
pub fn steps_taken(steps: u32, strength: f32) -> u32 {
    let taken = (f64::from(steps) * f64::from(strength)) as u32;
    taken.min(steps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::JobRequest;
    use crate::model::tests::glyph;

    fn read(start: serde_json::Value) -> Result<Option<StartRequest>, String> {
        let body = json!({ "model": "m/m", "prompt": "x", "start": start });
        let job: Result<JobRequest, _> = serde_json::from_value(body);
        job.map(|job| job.start).map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_names_its_pictures() {
        assert_eq!(read(json!(null)).unwrap(), None);
        let whole = json!({
            "image": { "input": "a" }, "strength": 0.5, "mask": { "image": "b" }, "mask_by": "transparency",
        });
        let start = read(whole.clone()).unwrap().unwrap();
        assert_eq!(start.image, PictureRef::Input("a".into()));
        assert_eq!(start.mask, Some(PictureRef::Image("b".into())));
        assert_eq!(serde_json::to_value(&start).unwrap(), whole);
        for bad in [
            json!("a"),
            json!([]),
            json!([{ "input": "a" }]),
            json!({}),
            json!({ "image": "a" }),
            json!({ "image": {} }),
            json!({ "image": { "input": "a", "image": "b" } }),
            json!({ "image": { "url": "https://example.org/x.png" } }),
            json!({ "image": { "input": 1 } }),
            json!({ "image": { "input": "a" }, "bytes": "AAAA" }),
            json!({ "image": { "input": "a" }, "strength": "1" }),
            json!({ "image": { "input": "a" }, "mask_by": "darkness" }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_models_with_an_encoder_begin_with_pictures() {
        let start = |strength| StartRequest {
            image: PictureRef::Input("a".into()),
            strength,
            mask: None,
            mask_by: None,
        };
        let mut model = glyph();
        let refused = start(None).check(&model).unwrap_err();
        assert_eq!(refused, RequestError::NoStart(model.id.clone()));
        assert!(refused.to_string().contains("demo-hub/glyph"));
        model.begins_with_pictures = true;
        assert_eq!(start(None).check(&model), Ok(DEFAULT_STRENGTH));
        for fits in [0.0, 0.5, 1.0] {
            assert_eq!(start(Some(fits)).check(&model), Ok(fits));
        }
        for bad in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let refused = start(Some(bad)).check(&model).unwrap_err();
            assert!(matches!(refused, RequestError::OutOfRange { .. }), "{bad}");
        }
        let lone = StartRequest {
            mask_by: Some(MaskBy::Light),
            ..start(None)
        };
        assert_eq!(lone.check(&model), Err(RequestError::NoMask));
    }

    /// `get_timesteps` of diffusers: of 5 steps at 0.6 three are taken, of 50 at 0.5 twenty-five.
    #[test]
    fn strength_is_the_share_of_steps_that_are_taken() {
        for (steps, strength, taken) in [
            (5, 0.6, 3),
            (50, 0.5, 25),
            (10, 0.0, 0),
            (10, 1.0, 10),
            (3, 0.2, 0),
        ] {
            assert_eq!(steps_taken(steps, strength), taken, "{steps} {strength}");
        }
    }
}
