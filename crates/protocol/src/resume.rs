//! A picture that was begun in a browser and is finished on the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use serde::{Deserialize, Deserializer, Serialize};

use crate::generation::{GenerationRequest, PromptSyntax};
use crate::start::StartRequest;
use crate::strict;
use crate::upscale::UpscaleFactor;

/// Most numbers that a hand-over carries, latents and registers together: 4 channels of 128 × 128, a picture of 1024 × 1024
/// pixels without registers, or one of 512 × 512 with three.
pub const MAX_RESUME_LATENTS: usize = 4 * 128 * 128;

/// Body of `POST /api/v1/jobs`: a request, where it was begun elsewhere what is done of it, and the picture that it begins
/// with, if it begins with one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRequest {
    /// What is asked for.
    #[serde(flatten)]
    pub request: GenerationRequest,
    /// The state after the last finished step; absent: the picture is made from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// The picture to begin with; absent: noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartRequest>,
}

/// By hand: `flatten` would accept unknown members, and could not say which one is wrong.
impl<'de> Deserialize<'de> for JobRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            model: String,
            prompt: String,
            negative_prompt: Option<String>,
            seed: Option<u64>,
            num_inference_steps: Option<u32>,
            guidance_scale: Option<f32>,
            width: Option<u32>,
            height: Option<u32>,
            variation_seed: Option<u64>,
            variation_strength: Option<f32>,
            prompt_syntax: Option<PromptSyntax>,
            sampler: Option<String>,
            clip_skip: Option<u32>,
            upscale: Option<UpscaleFactor>,
            #[serde(default, deserialize_with = "strict::resume")]
            resume: Option<Resume>,
            #[serde(default, deserialize_with = "strict::start")]
            start: Option<StartRequest>,
        }
        let body = Body::deserialize(strict::Object(deserializer))?;
        Ok(Self {
            request: GenerationRequest {
                model: body.model,
                prompt: body.prompt,
                negative_prompt: body.negative_prompt,
                seed: body.seed,
                num_inference_steps: body.num_inference_steps,
                guidance_scale: body.guidance_scale,
                width: body.width,
                height: body.height,
                variation_seed: body.variation_seed,
                variation_strength: body.variation_strength,
                prompt_syntax: body.prompt_syntax,
                sampler: body.sampler,
                clip_skip: body.clip_skip,
                upscale: body.upscale,
            },
            resume: body.resume,
            start: body.start,
        })
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
    /// What the scheduler keeps beside the latents, each like them; absent where it keeps nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registers: Vec<String>,
}

/// The numbers of a [`Resume`].
#[derive(Clone, Debug, PartialEq)]
pub struct ResumedState {
    /// The latents, row-major.
    pub latents: Vec<f32>,
    /// The registers, as many numbers each.
    pub registers: Vec<Vec<f32>>,
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
    /// There are too many registers for the shape.
    #[error(
        "resume.registers are {0}; latents and registers together are {MAX_RESUME_LATENTS} numbers at most"
    )]
    Registers(usize),
    /// The text is not base64 of as many 16-bit floats.
    #[error("resume.latents or a register is not base64 of {0} 16-bit floats")]
    Latents(usize),
    /// A latent is infinite or no number.
    #[error("a number of resume.latents or resume.registers is not finite")]
    NotFinite,
}

impl Resume {
    /// Writes latents `[c, h, w]` and registers of that shape; values beyond the range of 16-bit floats become infinite,
    /// which readers refuse.
    pub fn new(step: u32, shape: [u32; 3], latents: &[f32], registers: &[Vec<f32>]) -> Self {
        Self {
            step,
            shape,
            latents: written(latents),
            registers: registers.iter().map(|values| written(values)).collect(),
        }
    }

    /// Checks everything that can be checked without the package, for a request of `steps` steps; gives the
    /// numbers.
    ///
    /// # Errors
    /// The first [`ResumeError`] found. Nothing is allocated for a size beyond [`MAX_RESUME_LATENTS`].
    pub fn read(&self, steps: u32) -> Result<ResumedState, ResumeError> {
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
        let registers = self.registers.len();
        if registers >= MAX_RESUME_LATENTS || (1 + registers) * count > MAX_RESUME_LATENTS {
            return Err(ResumeError::Registers(registers));
        }
        let registers = self.registers.iter().map(|text| read(text, count));
        Ok(ResumedState {
            latents: read(&self.latents, count)?,
            registers: registers.collect::<Result<_, _>>()?,
        })
    }
}

fn written(values: &[f32]) -> String {
    let halves = values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes());
    STANDARD.encode(halves.collect::<Vec<u8>>())
}

fn read(text: &str, count: usize) -> Result<Vec<f32>, ResumeError> {
    if text.len() != (count * 2).div_ceil(3) * 4 {
        return Err(ResumeError::Latents(count));
    }
    let bytes = STANDARD
        .decode(text)
        .ok()
        .filter(|bytes| bytes.len() == count * 2)
        .ok_or(ResumeError::Latents(count))?;
    let pairs = bytes.as_chunks::<2>().0.iter();
    let values: Vec<f32> = pairs
        .map(|pair| f16::from_le_bytes(*pair).to_f32())
        .collect();
    if values.iter().any(|x| !x.is_finite()) {
        return Err(ResumeError::NotFinite);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn resume() -> Resume {
        Resume::new(3, [1, 2, 2], &[1.0, -0.5, 0.0, 1.0 / 3.0], &[])
    }

    /// IEEE 754 binary16: 1 is 0x3c00, -0.5 is 0xb800, 1/3 rounds to 0x3555.
    #[test]
    fn latents_are_little_endian_halves() {
        let bytes = [0x00, 0x3c, 0x00, 0xb8, 0x00, 0x00, 0x55, 0x35];
        assert_eq!(resume().latents, STANDARD.encode(bytes));
        let read = resume().read(8).unwrap().latents;
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
    fn registers_are_as_many_numbers_as_the_latents_and_bounded_with_them() {
        let with = |registers: &[Vec<f32>]| Resume::new(3, [1, 2, 2], &[0.5; 4], registers);
        let registers = [vec![1.0, 2.0, 3.0, 4.0], vec![-1.0; 4]];
        let state = with(&registers).read(8).unwrap();
        assert_eq!(
            (state.latents, &state.registers[..]),
            (vec![0.5; 4], &registers[..])
        );
        for (refused, error) in [
            (with(&[vec![1.0; 3]]), ResumeError::Latents(4)),
            (
                with(&[vec![1.0; 4], vec![f32::INFINITY; 4]]),
                ResumeError::NotFinite,
            ),
            (
                with(&vec![vec![]; MAX_RESUME_LATENTS / 4]),
                ResumeError::Registers(MAX_RESUME_LATENTS / 4),
            ),
        ] {
            assert_eq!(refused.read(8), Err(error));
        }
        let large = Resume::new(1, [4, 64, 64], &[0.0; 16384], &vec![vec![0.0; 16384]; 4]);
        assert_eq!(large.read(8), Err(ResumeError::Registers(4)));
        let body =
            |resume: serde_json::Value| json!({ "model": "m/m", "prompt": "x", "resume": resume });
        for (registers, kept) in [(json!([]), 0), (json!([resume().latents]), 1)] {
            let mut value = serde_json::to_value(resume()).unwrap();
            assert!(value.get("registers").is_none());
            value["registers"] = registers;
            let job: JobRequest = serde_json::from_value(body(value)).unwrap();
            assert_eq!(job.resume.unwrap().registers.len(), kept);
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
