//! A picture that was begun in a browser and is finished on the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::generation::GenerationRequest;
use crate::strict;

/// Most latents that a hand-over carries: 4 channels of 128 × 128, a picture of 1024 × 1024 pixels.
pub const MAX_RESUME_LATENTS: usize = 4 * 128 * 128;

/// Body of `POST /api/v1/jobs`: a request, and where it was begun elsewhere what is done of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRequest {
    /// What is asked for.
    #[serde(flatten)]
    pub request: GenerationRequest,
    /// The state after the last finished step; absent: the picture is made from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// By hand: `flatten` would accept unknown fields.
impl<'de> Deserialize<'de> for JobRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        let resume = match fields.remove("resume") {
            Some(value) => strict::from_value(&value).map_err(D::Error::custom)?,
            None => None,
        };
        let fields = serde_json::Value::Object(fields);
        let request = strict::from_value(&fields).map_err(D::Error::custom)?;
        Ok(Self { request, resume })
    }
}

/// The state of a picture between two denoising steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Resume {
    /// Steps done; the server goes on with the next one. With all of them done only the decoder is left.
    pub step: u32,
    /// Channels, height and width of the latents.
    pub shape: [u32; 3],
    /// The latents: 16-bit floats, little-endian, row-major, in base64.
    pub latents: String,
}

/// Why a [`Resume`] is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResumeError {
    /// The step is 0 or beyond the steps asked for.
    #[error("resume.step is {step}; it must be 1 to {steps}")]
    Step {
        /// The value given.
        step: u32,
        /// Steps asked for.
        steps: u32,
    },
    /// The shape is empty or too large.
    #[error("resume.shape is {0:?}; 1 to {MAX_RESUME_LATENTS} latents are accepted")]
    Shape([u32; 3]),
    /// The text is not base64 of as many 16-bit floats.
    #[error("resume.latents is not base64 of {0} 16-bit floats")]
    Latents(usize),
    /// A latent is infinite or no number.
    #[error("a latent of resume.latents is not finite")]
    NotFinite,
}

impl Resume {
    /// Writes latents `[c, h, w]`; values beyond the range of 16-bit floats become infinite, which readers refuse.
    pub fn new(step: u32, shape: [u32; 3], latents: &[f32]) -> Self {
        let bytes: Vec<u8> = latents
            .iter()
            .flat_map(|&x| f16::from_f32(x).to_le_bytes())
            .collect();
        Self {
            step,
            shape,
            latents: STANDARD.encode(bytes),
        }
    }

    /// Checks everything that can be checked without the package, for a request of `steps` steps; gives the latents.
    ///
    /// # Errors
    /// The first [`ResumeError`] found. Nothing is allocated for a size beyond [`MAX_RESUME_LATENTS`].
    pub fn read(&self, steps: u32) -> Result<Vec<f32>, ResumeError> {
        if !(1..=steps).contains(&self.step) {
            return Err(ResumeError::Step {
                step: self.step,
                steps,
            });
        }
        let count = self
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d as usize))
            .filter(|n| (1..=MAX_RESUME_LATENTS).contains(n))
            .ok_or(ResumeError::Shape(self.shape))?;
        if self.latents.len() != (count * 2).div_ceil(3) * 4 {
            return Err(ResumeError::Latents(count));
        }
        let bytes = STANDARD
            .decode(&self.latents)
            .ok()
            .filter(|bytes| bytes.len() == count * 2)
            .ok_or(ResumeError::Latents(count))?;
        let latents: Vec<f32> = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| f16::from_le_bytes(*pair).to_f32())
            .collect();
        if latents.iter().any(|x| !x.is_finite()) {
            return Err(ResumeError::NotFinite);
        }
        Ok(latents)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn resume() -> Resume {
        Resume::new(3, [1, 2, 2], &[1.0, -0.5, 0.0, 1.0 / 3.0])
    }

    /// IEEE 754 binary16: 1 is 0x3c00, -0.5 is 0xb800, 1/3 rounds to 0x3555.
    #[test]
    fn latents_are_little_endian_halves() {
        let bytes = [0x00, 0x3c, 0x00, 0xb8, 0x00, 0x00, 0x55, 0x35];
        assert_eq!(resume().latents, STANDARD.encode(bytes));
        let read = resume().read(8).unwrap();
        assert_eq!(read[..3], [1.0, -0.5, 0.0]);
        assert!((read[3] - 1.0 / 3.0).abs() < 2f32.powi(-13));
    }

    #[test]
    fn hostile_values_are_refused() {
        let refused = |change: &dyn Fn(&mut Resume)| {
            let mut resume = resume();
            change(&mut resume);
            resume.read(8).unwrap_err()
        };
        assert_eq!(
            refused(&|r| r.step = 0),
            ResumeError::Step { step: 0, steps: 8 }
        );
        assert_eq!(
            refused(&|r| r.step = 9),
            ResumeError::Step { step: 9, steps: 8 }
        );
        for shape in [
            [0, 2, 2],
            [u32::MAX, u32::MAX, u32::MAX],
            [4, 128, 129],
            [1 << 16, 1 << 16, 1],
        ] {
            assert_eq!(refused(&|r| r.shape = shape), ResumeError::Shape(shape));
        }
        assert_eq!(refused(&|r| r.shape = [1, 2, 3]), ResumeError::Latents(6));
        for text in ["", "AAAA", "!!!!!!!!!!!!", "AAAAAAAAAAAAAAA="] {
            assert_eq!(
                refused(&|r| r.latents = text.into()),
                ResumeError::Latents(4)
            );
        }
        // 0x7c00 is infinity, 0x7e00 is not a number.
        for high in [0x7c, 0x7e] {
            let bytes = [0, high, 0, 0, 0, 0, 0, 0];
            let text = STANDARD.encode(bytes);
            assert_eq!(
                refused(&|r| r.latents.clone_from(&text)),
                ResumeError::NotFinite
            );
        }
    }

    #[test]
    fn a_job_is_a_request_with_or_without_a_resume() {
        let plain = json!({ "model": "demo-hub/glyph", "prompt": "red apple" });
        let job: JobRequest = serde_json::from_value(plain.clone()).unwrap();
        assert_eq!(job.resume, None);
        let mut with = plain.clone();
        with["resume"] = json!({ "step": 3, "shape": [1, 2, 2], "latents": resume().latents });
        let job: JobRequest = serde_json::from_value(with.clone()).unwrap();
        assert_eq!(job.resume, Some(resume()));
        let again: JobRequest =
            serde_json::from_value(serde_json::to_value(&job).unwrap()).unwrap();
        assert_eq!(again, job);
        for (key, value) in [
            ("surprise", json!(1)),
            ("resume", json!({ "step": 3 })),
            (
                "resume",
                json!({ "step": 3, "shape": [1, 2], "latents": "" }),
            ),
            (
                "resume",
                json!({ "step": -1, "shape": [1, 2, 2], "latents": "" }),
            ),
            ("resume", json!([])),
        ] {
            let mut bad = with.clone();
            bad[key] = value;
            assert!(serde_json::from_value::<JobRequest>(bad).is_err(), "{key}");
        }
    }
}
