//! What the OpenAI images API takes.

use protocol::{GenerationRequest, MAX_SEED, ModelSummary, Problem, ProblemCode, ResolvedRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::OpenAiError;
use super::members::{Kind, Members};
use crate::catalog::Catalog;
use crate::jobs::key::fingerprint;

/// Most pictures of one request.
const MAX_PICTURES: u32 = 10;
/// Most partial pictures of one picture.
const MAX_PARTIAL: u32 = 3;

/// Body of `POST /v1/images/generations`. The last five members are this hub's own.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ImagesRequest {
    /// What the picture should show.
    pub prompt: String,
    /// `owner/name`; absent: the hub's first model.
    pub model: Option<String>,
    /// Pictures, 1 to 10.
    #[schema(minimum = 1, maximum = 10)]
    pub n: Option<u32>,
    /// `WIDTHxHEIGHT` that the model makes, or `auto`.
    pub size: Option<String>,
    /// What the answer holds; absent: address and bytes.
    pub response_format: Option<ResponseFormat>,
    /// Answer by server-sent events.
    pub stream: Option<bool>,
    /// Partial pictures to stream, 0 to 3; fewer come where the model is quick.
    #[schema(minimum = 0, maximum = 3)]
    pub partial_images: Option<u32>,
    /// `png`.
    pub output_format: Option<String>,
    /// `opaque` or `auto`.
    pub background: Option<String>,
    /// Without effect.
    pub quality: Option<String>,
    /// Without effect.
    pub style: Option<String>,
    /// Without effect.
    pub moderation: Option<String>,
    /// Without effect.
    pub output_compression: Option<u32>,
    /// Without effect; not kept.
    pub user: Option<String>,
    /// What the picture should not show; refused where the model takes none.
    pub negative_prompt: Option<String>,
    /// Denoising steps; absent: the model's default.
    pub num_inference_steps: Option<u32>,
    /// Guidance scale; absent: the model's default.
    pub guidance_scale: Option<f32>,
    /// Seed of the first picture; absent: a random one.
    pub seed: Option<u64>,
}

/// What the answer holds of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Its address.
    Url,
    /// Its bytes in base64.
    B64Json,
}

impl ImagesRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// With the name of the member that is missing, not known or not of its type.
    pub fn parse(json: &[u8]) -> Result<Self, OpenAiError> {
        let mut members = Members::parse(json)?;
        let request = Self::of(&mut members);
        members.end()?;
        Ok(request)
    }

    /// Takes its members out of those of a request.
    pub fn of(members: &mut Members) -> Self {
        let formats = [
            ("url", ResponseFormat::Url),
            ("b64_json", ResponseFormat::B64Json),
        ];
        Self {
            prompt: members.required_text("prompt"),
            model: members.text("model"),
            n: members.integer("n"),
            size: members.text("size"),
            response_format: members.choice("response_format", &formats),
            stream: members.flag("stream"),
            partial_images: members.integer("partial_images"),
            output_format: members.text("output_format"),
            background: members.text("background"),
            quality: members.text("quality"),
            style: members.text("style"),
            moderation: members.text("moderation"),
            output_compression: members.integer("output_compression"),
            user: members.text("user"),
            negative_prompt: members.text("negative_prompt"),
            num_inference_steps: members.integer("num_inference_steps"),
            guidance_scale: members.number("guidance_scale"),
            seed: members.integer("seed"),
        }
    }

    /// What the text of a form under that name stands for.
    pub fn kind(name: &str) -> Kind {
        match name {
            "n"
            | "stream"
            | "partial_images"
            | "output_compression"
            | "num_inference_steps"
            | "guidance_scale"
            | "seed"
            | "strength" => Kind::Other,
            _ => Kind::Text,
        }
    }
}

/// A checked request.
pub struct Plan {
    /// One per picture.
    pub requests: Vec<ResolvedRequest>,
    /// Of the request as the client sent it, before seeds were drawn.
    pub fingerprint: [u8; 32],
    /// What the answer holds.
    pub format: Option<ResponseFormat>,
    /// Answer by events.
    pub stream: bool,
    /// Partial pictures per picture.
    pub partial_images: u32,
    /// What the names of its events begin with.
    pub events: &'static str,
    width: u32,
    height: u32,
}

impl Plan {
    /// Checks a request for pictures from noise.
    pub fn new(body: ImagesRequest, catalog: &Catalog) -> Result<Self, OpenAiError> {
        let fingerprint = fingerprint("/v1/images/generations", &body)?;
        let model = body.model.clone();
        let model = model.or_else(|| catalog.summaries().into_iter().next().map(|m| m.id));
        let model = model.unwrap_or_default();
        let asked = size(body.size.as_deref(), catalog.summary(&model))?;
        Self::of(body, catalog, model, asked, fingerprint, "image_generation")
    }

    /// Checks a request for pictures of that model and size.
    pub fn of(
        body: ImagesRequest,
        catalog: &Catalog,
        model: String,
        (width, height): (u32, u32),
        fingerprint: [u8; 32],
        events: &'static str,
    ) -> Result<Self, OpenAiError> {
        let n = body.n.unwrap_or(1);
        if !(1..=MAX_PICTURES).contains(&n) {
            let detail = format!("n is {n}; 1 to {MAX_PICTURES} are accepted");
            return Err(OpenAiError::out_of_range("n", detail));
        }
        let partial_images = body.partial_images.unwrap_or(0);
        if partial_images > MAX_PARTIAL {
            let detail =
                format!("partial_images is {partial_images}; 0 to {MAX_PARTIAL} are accepted");
            return Err(OpenAiError::out_of_range("partial_images", detail));
        }
        only("output_format", body.output_format.as_deref(), &["png"])?;
        only(
            "background",
            body.background.as_deref(),
            &["auto", "opaque"],
        )?;
        let first = match body.seed {
            Some(seed) => seed,
            // Leaves room for the seeds of the other pictures.
            None => {
                let seed = crate::random::seed().map_err(|error| internal(&error))?;
                seed.min(MAX_SEED - u64::from(n))
            }
        };
        let mut requests = Vec::new();
        for i in 0..u64::from(n) {
            let seed = first.saturating_add(i);
            let asked = GenerationRequest {
                model: model.clone(),
                prompt: body.prompt.clone(),
                negative_prompt: body.negative_prompt.clone(),
                seed: Some(seed),
                num_inference_steps: body.num_inference_steps,
                guidance_scale: body.guidance_scale,
                width: Some(width),
                height: Some(height),
                ..GenerationRequest::default()
            };
            requests.push(catalog.resolve(asked, seed)?);
            catalog.runs_on_servers(&model)?;
        }
        Ok(Self {
            requests,
            fingerprint,
            format: body.response_format,
            stream: body.stream.unwrap_or(false),
            partial_images,
            events,
            width,
            height,
        })
    }

    /// Width and height, such as `64x64`.
    pub fn size(&self) -> String {
        format!("{}x{}", self.width, self.height)
    }
}

/// Width and height that are asked for, or the model's.
pub fn size(asked: Option<&str>, model: Option<&ModelSummary>) -> Result<(u32, u32), OpenAiError> {
    let default = model.map_or((0, 0), |model| (model.width, model.height));
    let Some(asked) = asked.filter(|size| *size != "auto") else {
        return Ok(default);
    };
    let sides = asked.split_once('x');
    let sides = sides.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let made = sides.filter(|(w, h)| model.is_some_and(|model| model.makes(*w, *h)));
    made.ok_or_else(|| {
        let default = format!("{}x{}", default.0, default.1);
        OpenAiError::invalid_value("size", asked, &["auto", &default])
    })
}

fn only(field: &str, value: Option<&str>, accepted: &[&str]) -> Result<(), OpenAiError> {
    match value {
        Some(value) if !accepted.contains(&value) => {
            Err(OpenAiError::invalid_value(field, value, accepted))
        }
        _ => Ok(()),
    }
}

fn internal(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!("images request: {error:#}");
    Problem::new(ProblemCode::Internal, "the request could not be prepared")
}
