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
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use protocol::{ModelDefaults, ModelLimits, ModelNeeds};

    pub(crate) fn models() -> Vec<ModelSummary> {
        ["demo-hub/glyph", "demo-hub/other"]
            .map(|id| ModelSummary {
                id: id.into(),
                name: id.into(),
                creator: "demo-hub".into(),
                summary: String::new(),
                license: "Apache-2.0".into(),
                paper: None,
                package_url: None,
                weights_digest: String::new(),
                download_bytes: 0,
                width: 64,
                height: 64,
                sizes: None,
                weighted_prompts: false,
                max_clip_skip: 1,
                loras: Vec::new(),
                begins_with_pictures: false,
                samplers: Vec::new(),
                negative_prompt: true,
                limits: ModelLimits {
                    min_steps: 1,
                    max_steps: 50,
                    min_guidance: 1.0,
                    max_guidance: 15.0,
                },
                defaults: ModelDefaults {
                    num_inference_steps: 8,
                    guidance_scale: 3.5,
                },
                needs: ModelNeeds {
                    max_buffer_size: 0,
                    max_storage_buffer_binding_size: 0,
                    memory_bytes: 0,
                    one_at_a_time: None,
                    streamed: None,
                },
                needs_of_largest: None,
                work: None,
                example_prompts: Vec::new(),
            })
            .into()
    }

    pub(crate) fn query<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        }
    }

    #[test]
    fn a_model_without_negative_prompts_is_not_sent_what_was_typed_for_another() {
        let mut models = models();
        models[0].negative_prompt = false;
        let mut settings = Settings::from_query(&models, |_| None);
        settings.prompt = "a cat".into();
        settings.negative_prompt = "dog".into();
        assert_eq!(
            settings.request(&models, 1).unwrap().1.negative_prompt,
            None
        );
        settings.model = models[1].id.clone();
        let (_, request) = settings.request(&models, 1).unwrap();
        assert_eq!(request.negative_prompt.as_deref(), Some("dog"));
    }

    #[test]
    fn an_empty_query_gives_the_defaults() {
        let settings = Settings::from_query(&models(), query(&[]));
        assert_eq!(settings.model, "demo-hub/glyph");
        assert_eq!(
            (settings.steps.as_str(), settings.guidance.as_str()),
            ("8", "3.5")
        );
        assert!(settings.random_seed && !settings.accept_software);
        assert_eq!(settings.policy, Policy::Auto);
    }

    #[test]
    fn a_query_fills_the_form() {
        let settings = Settings::from_query(
            &models(),
            query(&[
                ("model", "demo-hub/other"),
                ("prompt", "red apple"),
                ("seed", "7"),
                ("steps", "12"),
                ("policy", "browser_only"),
                ("accept-software", "1"),
            ]),
        );
        let (model, request) = settings.request(&models(), 99).unwrap();
        assert_eq!(model.id, "demo-hub/other");
        assert_eq!(request.seed, 7);
        assert_eq!(request.num_inference_steps, 12);
        assert_eq!(request.guidance_scale, 3.5);
        assert_eq!(settings.policy, Policy::BrowserOnly);
        assert!(settings.accept_software);
    }

    #[test]
    fn every_alternative_is_made_as_often_as_is_asked() {
        let models = models();
        let pairs = [
            ("prompt", "a {red|blue} cat"),
            ("pictures", "2"),
            ("seed", "7"),
        ];
        let mut settings = Settings::from_query(&models, query(&pairs));
        let asked = |settings: &Settings| {
            let (_, requests) = settings.requests(&models, 99)?;
            let pairs = requests.into_iter().map(|r| (r.prompt, r.seed));
            Ok::<_, Problem>(pairs.collect::<Vec<_>>())
        };
        let pair = |prompt: &str, seed| (prompt.to_owned(), seed);
        assert_eq!(
            asked(&settings).unwrap(),
            [
                pair("a red cat", 7),
                pair("a red cat", 8),
                pair("a blue cat", 7),
                pair("a blue cat", 8)
            ]
        );
        settings.seed = MAX_SEED.to_string();
        assert_eq!(asked(&settings).unwrap()[1].1, 0);
        settings.pictures = "8".into();
        assert_eq!(asked(&settings).unwrap().len(), 16);
        for (pictures, said) in [
            ("9", "18 pictures"),
            ("0", "No picture"),
            ("x", "number of pictures is \"x\""),
            ("18446744073709551615", "at most 16"),
        ] {
            settings.pictures = pictures.into();
            let problem = asked(&settings).unwrap_err();
            assert_eq!(problem.code, ProblemCode::OutOfRange);
            assert!(problem.detail.contains(said), "{}", problem.detail);
        }
        settings.prompt = "{a|b}".repeat(70);
        assert!(asked(&settings).unwrap_err().detail.contains("at most 16"));
    }

    #[test]
    fn a_random_seed_is_the_one_drawn() {
        let mut settings = Settings::from_query(&models(), query(&[("prompt", "x")]));
        settings.seed = "5".into();
        assert_eq!(settings.request(&models(), 99).unwrap().1.seed, 99);
    }

    #[test]
    fn bad_fields_are_named() {
        let good = Settings::from_query(&models(), query(&[("prompt", "x")]));
        let code = |change: &dyn Fn(&mut Settings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.request(&models(), 1).unwrap_err()
        };
        assert_eq!(
            code(&|s| s.prompt = " \n".into()).code,
            ProblemCode::EmptyPrompt
        );
        assert_eq!(
            code(&|s| s.prompt = "x".repeat(1_001)).code,
            ProblemCode::PromptTooLong
        );
        assert_eq!(
            code(&|s| s.steps = "0".into()).code,
            ProblemCode::OutOfRange
        );
        assert_eq!(
            code(&|s| s.guidance = "NaN".into()).code,
            ProblemCode::OutOfRange
        );
        assert_eq!(
            code(&|s| s.model = "no/such".into()).code,
            ProblemCode::UnknownModel
        );
        let problem = code(&|s| s.steps = "1000000000000".into());
        assert!(
            problem
                .detail
                .starts_with("The number of steps is \"1000000000000\"")
        );
        let missing = code(&|s| {
            s.random_seed = false;
            s.seed = String::new();
        });
        assert_eq!(missing.detail, "The seed is missing");
    }

    /// Only what lies there is looked for under “More settings”.
    #[test]
    fn a_hint_leads_to_the_field() {
        let mut models = models();
        models[0].sizes = Some(protocol::ModelSizes {
            multiple_of: 8,
            min_side: 8,
            max_side: 512,
            max_pixels: 1 << 18,
            buckets: Vec::new(),
        });
        models[0].max_clip_skip = 2;
        let good = Settings::from_query(&models, query(&[("prompt", "x"), ("seed", "1")]));
        type Change = fn(&mut Settings);
        let wrong: [(Change, &str); 6] = [
            (|s| s.seed = "x".into(), "“Seed”"),
            (|s| s.steps = "x".into(), "“Steps”"),
            (|s| s.guidance = "x".into(), "“Guidance”"),
            (|s| s.width = "x".into(), "“More settings”"),
            (|s| s.height = "x".into(), "“More settings”"),
            (|s| s.clip_skip = "x".into(), "“More settings”"),
        ];
        for (change, named) in wrong {
            let mut settings = good.clone();
            change(&mut settings);
            let problem = settings.request(&models, 1).unwrap_err();
            assert!(problem.hint.contains(named), "{}", problem.hint);
        }
    }

    #[test]
    fn the_size_is_that_of_the_chosen_model() {
        let mut models = models();
        models[1].width = 512;
        models[1].height = 768;
        let settings = Settings {
            model: models[1].id.clone(),
            width: "256".into(),
            ..Settings::default()
        };
        // A width that was typed for another model.
        assert_eq!(settings.size(&models[1]), (512, 768));
    }

    #[test]
    fn a_link_brings_the_request_back() {
        let request = GenerationRequest {
            model: "demo-hub/glyph".into(),
            prompt: "émoji & <b>".into(),
            negative_prompt: Some("blue".into()),
            seed: Some(1),
            num_inference_steps: Some(8),
            guidance_scale: Some(3.0),
            ..GenerationRequest::default()
        };
        assert_eq!(
            link(&request),
            "/?model=demo-hub%2Fglyph&prompt=%C3%A9moji%20%26%20%3Cb%3E&seed=1&steps=8&guidance=3&negative_prompt=blue"
        );
    }
}
