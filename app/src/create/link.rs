//! The form as text, as the page's address, and as a request.

use super::alternatives::expand;
use crate::format::encode;
use protocol::{
    GenerationRequest, MAX_SEED, ModelSummary, Policy, Problem, ProblemCode, PromptSyntax,
    RequestError, ResolvedRequest,
};

/// The parameters of the page's address.
pub const FIELDS: [&str; 14] = [
    "model",
    "prompt",
    "pictures",
    "seed",
    "steps",
    "guidance",
    "width",
    "height",
    "sampler",
    "clip_skip",
    "weighted",
    "negative_prompt",
    "policy",
    "accept-software",
];

/// Everything that the form holds, as typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Package id.
    pub model: String,
    /// What the picture should show.
    pub prompt: String,
    /// How many pictures of each prompt, as typed.
    pub pictures: String,
    /// What it should not show.
    pub negative_prompt: String,
    /// Seed as typed.
    pub seed: String,
    /// Draw a new seed for every picture.
    pub random_seed: bool,
    /// Denoising steps as typed.
    pub steps: String,
    /// Guidance scale as typed.
    pub guidance: String,
    /// Width in pixels as typed; empty: the model's.
    pub width: String,
    /// Height in pixels as typed; empty: the model's.
    pub height: String,
    /// Name of a sampler; empty: the model's own.
    pub sampler: String,
    /// Clip skip as typed; empty: none.
    pub clip_skip: String,
    /// Read weights in the prompts.
    pub weighted: bool,
    /// Where to run.
    pub policy: Policy,
    /// Count a software adapter as a GPU.
    pub accept_software: bool,
}

impl Settings {
    /// Settings from the page's query, `get` giving the value of a parameter; the rest from the model's defaults.
    pub fn from_query(models: &[ModelSummary], get: impl Fn(&str) -> Option<String>) -> Self {
        let wanted = get("model");
        let model = models
            .iter()
            .find(|m| Some(&m.id) == wanted.as_ref())
            .or(models.first());
        let seed = get("seed").unwrap_or_default();
        let or_default = |name: &str, default: Option<String>| {
            get(name)
                .filter(|text| !text.is_empty())
                .or(default)
                .unwrap_or_default()
        };
        Self {
            model: model.map(|m| m.id.clone()).unwrap_or_default(),
            prompt: get("prompt").unwrap_or_default(),
            pictures: or_default("pictures", Some("1".to_owned())),
            negative_prompt: get("negative_prompt").unwrap_or_default(),
            random_seed: seed.is_empty(),
            seed,
            steps: or_default(
                "steps",
                model.map(|m| m.defaults.num_inference_steps.to_string()),
            ),
            guidance: or_default(
                "guidance",
                model.map(|m| m.defaults.guidance_scale.to_string()),
            ),
            width: get("width").unwrap_or_default(),
            height: get("height").unwrap_or_default(),
            sampler: get("sampler").unwrap_or_default(),
            clip_skip: get("clip_skip").unwrap_or_default(),
            weighted: get("weighted").is_some_and(|v| v == "1" || v == "on"),
            policy: get("policy").map(|p| parse_policy(&p)).unwrap_or_default(),
            accept_software: get("accept-software").is_some_and(|v| v == "1" || v == "on"),
        }
    }

    /// The request that the form describes; `drawn` is the seed where a random one is asked for.
    ///
    /// # Errors
    /// What is wrong with the form, as a problem to show beside it.
    pub fn request(
        &self,
        models: &[ModelSummary],
        drawn: u64,
    ) -> Result<(ModelSummary, ResolvedRequest), Problem> {
        let model = models
            .iter()
            .find(|m| m.id == self.model)
            .ok_or_else(|| RequestError::UnknownModel(self.model.chars().take(80).collect()))?;
        let seed = if self.random_seed {
            drawn
        } else {
            number(&self.seed, &SEED)?
        };
        let request = GenerationRequest {
            model: self.model.clone(),
            prompt: self.prompt.clone(),
            negative_prompt: Some(self.negative_prompt.clone())
                .filter(|text| model.negative_prompt && !text.is_empty()),
            seed: Some(seed),
            num_inference_steps: Some(number(&self.steps, &STEPS)?),
            guidance_scale: Some(number(&self.guidance, &GUIDANCE)?),
            width: self.side(model, &self.width, &WIDTH)?,
            height: self.side(model, &self.height, &HEIGHT)?,
            variation_seed: None,
            variation_strength: None,
            // What was chosen for another model is not asked of this one.
            prompt_syntax: (self.weighted && model.weighted_prompts).then_some(PromptSyntax::A1111),
            sampler: Some(self.sampler.clone())
                .filter(|name| model.samplers.iter().any(|sampler| sampler.is(name))),
            clip_skip: self.clip_skip(model)?,
            upscale: None,
        };
        Ok((model.clone(), request.resolve(model, seed)?))
    }
}

impl Settings {
    /// The requests that the form describes: every prompt that its alternatives stand for, each as often as is asked, with one seed
    /// after the other. `drawn` is the first seed where a random one is asked for.
    ///
    /// # Errors
    /// What is wrong with the form, as a problem to show beside it.
    pub fn requests(
        &self,
        models: &[ModelSummary],
        drawn: u64,
    ) -> Result<(ModelSummary, Vec<ResolvedRequest>), Problem> {
        let each: u64 = number(&self.pictures, &PICTURES)?;
        let prompts = match expand(&self.prompt, MAX_PICTURES) {
            Ok(prompts) => prompts,
            Err(number) => return Err(too_many(number.saturating_mul(each.max(1)))),
        };
        let all = each.saturating_mul(prompts.len() as u64);
        if each == 0 {
            return Err(
                Problem::new(ProblemCode::OutOfRange, "No picture is asked for")
                    .with_hint(PICTURES.hint),
            );
        }
        if all > MAX_PICTURES {
            return Err(too_many(all));
        }
        let mut requests = Vec::new();
        let mut chosen = None;
        for prompt in prompts {
            let settings = Self {
                prompt,
                ..self.clone()
            };
            let (model, first) = settings.request(models, drawn)?;
            requests.extend((0..each).map(|nth| ResolvedRequest {
                seed: (first.seed + nth) % (MAX_SEED + 1),
                ..first.clone()
            }));
            chosen = Some(model);
        }
        let model = chosen.ok_or(RequestError::EmptyPrompt)?;
        Ok((model, requests))
    }

    fn side(
        &self,
        model: &ModelSummary,
        text: &str,
        field: &Field,
    ) -> Result<Option<u32>, Problem> {
        if model.sizes.is_none() || text.trim().is_empty() {
            return Ok(None);
        }
        number(text, field).map(Some)
    }

    fn clip_skip(&self, model: &ModelSummary) -> Result<Option<u32>, Problem> {
        if model.max_clip_skip == 1 || self.clip_skip.trim().is_empty() {
            return Ok(None);
        }
        number(&self.clip_skip, &CLIP_SKIP).map(Some)
    }

    /// Width and height in pixels of the picture that is asked for, as far as they are typed.
    pub fn size(&self, model: &ModelSummary) -> (u32, u32) {
        if model.sizes.is_none() {
            return (model.width, model.height);
        }
        let typed = |text: &str, default: u32| text.trim().parse().unwrap_or(default);
        (
            typed(&self.width, model.width),
            typed(&self.height, model.height),
        )
    }

    /// Whether a field under “More settings” says something.
    pub fn says_more(&self) -> bool {
        let texts = [
            &self.negative_prompt,
            &self.width,
            &self.height,
            &self.sampler,
            &self.clip_skip,
        ];
        texts.iter().any(|text| !text.is_empty()) || self.weighted || self.accept_software
    }
}

/// Most pictures that are asked for at once.
pub const MAX_PICTURES: u64 = 16;

fn too_many(number: u64) -> Problem {
    Problem::new(
        ProblemCode::OutOfRange,
        format!("These would be {number} pictures; at most {MAX_PICTURES} are asked for at once"),
    )
    .with_hint("Ask for fewer, or leave alternatives out of the prompt.")
}

/// A field that takes a number.
struct Field {
    /// As a sentence begins with it.
    what: &'static str,
    kind: &'static str,
    hint: &'static str,
}

const PICTURES: Field = Field {
    what: "The number of pictures",
    kind: "a whole number",
    hint: "Correct it under “Pictures”: 1 to 16.",
};
const SEED: Field = Field {
    what: "The seed",
    kind: "a whole number",
    hint: "Correct it under “Seed”.",
};
const STEPS: Field = Field {
    what: "The number of steps",
    kind: "a whole number",
    hint: "Correct it under “Steps”.",
};
const GUIDANCE: Field = Field {
    what: "The guidance",
    kind: "a number",
    hint: "Correct it under “Guidance”.",
};
const WIDTH: Field = Field {
    what: "The width",
    kind: "a whole number",
    hint: "Correct it under “More settings”, or leave it empty for the model’s own.",
};
const HEIGHT: Field = Field {
    what: "The height",
    ..WIDTH
};
const CLIP_SKIP: Field = Field {
    what: "The clip skip",
    ..WIDTH
};

fn number<T: std::str::FromStr>(text: &str, field: &Field) -> Result<T, Problem> {
    text.trim().parse().map_err(|_| {
        let Field { what, kind, hint } = field;
        let shown: String = text.trim().chars().take(40).collect();
        Problem::new(
            ProblemCode::OutOfRange,
            if shown.is_empty() {
                format!("{what} is missing")
            } else {
                format!("{what} is \"{shown}\", which is not {kind} in range")
            },
        )
        .with_hint(*hint)
    })
}

/// The policy of the form's value; anything unknown is [`Policy::Auto`].
pub fn parse_policy(text: &str) -> Policy {
    match text {
        "browser_only" => Policy::BrowserOnly,
        "prefer_server" => Policy::PreferServer,
        _ => Policy::Auto,
    }
}

/// The form's value of a policy.
pub fn policy_value(policy: Policy) -> &'static str {
    match policy {
        Policy::Auto => "auto",
        Policy::BrowserOnly => "browser_only",
        Policy::PreferServer => "prefer_server",
    }
}

/// Address of the page with these settings filled in.
pub fn link(request: &GenerationRequest) -> String {
    let mut query = format!(
        "/?model={}&prompt={}",
        encode(&request.model),
        encode(&request.prompt)
    );
    let numbers = [
        ("seed", request.seed.map(|v| v.to_string())),
        ("steps", request.num_inference_steps.map(|v| v.to_string())),
        ("guidance", request.guidance_scale.map(|v| v.to_string())),
        ("width", request.width.map(|v| v.to_string())),
        ("height", request.height.map(|v| v.to_string())),
        ("sampler", request.sampler.as_deref().map(encode)),
        ("clip_skip", request.clip_skip.map(|v| v.to_string())),
        (
            "weighted",
            (request.prompt_syntax == Some(PromptSyntax::A1111)).then(|| "1".to_owned()),
        ),
        (
            "negative_prompt",
            request
                .negative_prompt
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(encode),
        ),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={value}"));
        }
    }
    query
}

#[cfg(test)]
pub(crate) mod tests;
