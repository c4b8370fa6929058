//! A comparison as a form and as a link: one prompt and one seed, several sides.

use protocol::{ModelSummary, Policy, Problem, ResolvedRequest, RunsOn};

use crate::create::link::Settings;
use crate::format::encode;

/// Fewest sides of a comparison.
pub const MIN_SIDES: usize = 2;
/// Most sides of a comparison.
pub const MAX_SIDES: usize = 4;
/// Names of the sides, on the page and in the link.
pub const NAMES: [&str; MAX_SIDES] = ["A", "B", "C", "D"];

/// The place of a form's or a link's value; anything unknown is the browser.
pub fn parse_place(text: &str) -> RunsOn {
    if text == RunsOn::Server.name() {
        RunsOn::Server
    } else {
        RunsOn::Browser
    }
}

/// A place in words.
pub fn place_label(place: RunsOn) -> &'static str {
    match place {
        RunsOn::Browser => "this browser",
        RunsOn::Server => "the server",
    }
}

/// What keeps a run there; in the browser on its GPU, else on its processor.
pub fn place_policy(place: RunsOn) -> Policy {
    match place {
        RunsOn::Browser => Policy::BrowserOnly,
        RunsOn::Server => Policy::PreferServer,
    }
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Package id.
    pub model: String,
    /// Where it runs.
    pub place: RunsOn,
}

impl Side {
    /// `owner/name@place`.
    fn parse(text: &str) -> Self {
        let (model, place) = text.rsplit_once('@').unwrap_or((text, ""));
        Self {
            model: model.to_owned(),
            place: parse_place(place),
        }
    }

    fn written(&self) -> String {
        format!("{}@{}", self.model, self.place.name())
    }
}

/// Everything that the form holds, as typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What the pictures should show.
    pub prompt: String,
    /// Seed as typed.
    pub seed: String,
    /// Denoising steps as typed; empty for each model's own default.
    pub steps: String,
    /// Guidance scale as typed; empty for each model's own default.
    pub guidance: String,
    /// [`MIN_SIDES`] to [`MAX_SIDES`] of them.
    pub sides: Vec<Side>,
    /// Count a software adapter as a GPU.
    pub accept_software: bool,
}

impl Comparison {
    /// The comparison of the page's query, `get` giving the value of a parameter. Without sides: the first two models in this
    /// browser, or the only one here and on the server.
    pub fn from_query(models: &[ModelSummary], get: impl Fn(&str) -> Option<String>) -> Self {
        let mut sides: Vec<Side> = NAMES
            .iter()
            .filter_map(|name| get(&name.to_ascii_lowercase()))
            .map(|text| Side::parse(&text))
            .filter(|side| models.iter().any(|m| m.id == side.model))
            .collect();
        if sides.len() < MIN_SIDES {
            sides = defaults(models, sides.first());
        }
        let text = |name: &str| get(name).unwrap_or_default();
        Self {
            prompt: text("prompt"),
            seed: Some(text("seed"))
                .filter(|s| !s.is_empty())
                .unwrap_or_else(|| "1".to_owned()),
            steps: text("steps"),
            guidance: text("guidance"),
            sides,
            accept_software: get("accept-software").is_some_and(|v| v == "1" || v == "on"),
        }
    }

    /// Address of the page with this comparison filled in.
    pub fn link(&self) -> String {
        let mut link = format!(
            "/compare?prompt={}&seed={}",
            encode(&self.prompt),
            encode(&self.seed)
        );
        for (name, value) in [("steps", &self.steps), ("guidance", &self.guidance)] {
            if !value.is_empty() {
                link.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        for (name, side) in NAMES.iter().zip(&self.sides) {
            link.push_str(&format!(
                "&{}={}",
                name.to_ascii_lowercase(),
                encode(&side.written())
            ));
        }
        if self.accept_software {
            link.push_str("&accept-software=1");
        }
        link
    }

    /// The model and the checked request of every side.
    ///
    /// # Errors
    /// What is wrong with the form, as a problem to show beside it; the first side that it concerns is named.
    pub fn requests(
        &self,
        models: &[ModelSummary],
    ) -> Result<Vec<(ModelSummary, ResolvedRequest)>, Problem> {
        self.sides
            .iter()
            .zip(NAMES)
            .map(|(side, name)| {
                let model = models.iter().find(|m| m.id == side.model);
                let or_default = |text: &str, default: Option<String>| match text.trim() {
                    "" => default.unwrap_or_default(),
                    text => text.to_owned(),
                };
                let settings = Settings {
                    model: side.model.clone(),
                    prompt: self.prompt.clone(),
                    seed: self.seed.clone(),
                    steps: or_default(
                        &self.steps,
                        model.map(|m| m.defaults.num_inference_steps.to_string()),
                    ),
                    guidance: or_default(
                        &self.guidance,
                        model.map(|m| m.defaults.guidance_scale.to_string()),
                    ),
                    ..Settings::default()
                };
                settings.request(models, 0).map_err(|problem| Problem {
                    detail: format!("side {name}: {}", problem.detail),
                    ..problem
                })
            })
            .collect()
    }
}

/// Two sides where the query names fewer, the first of them as named.
fn defaults(models: &[ModelSummary], named: Option<&Side>) -> Vec<Side> {
    let Some(first) = named
        .cloned()
        .or_else(|| models.first().map(|m| side(&m.id, RunsOn::Browser)))
    else {
        return Vec::new();
    };
    let second = match models.iter().find(|m| m.id != first.model) {
        Some(other) => side(&other.id, first.place),
        None => side(
            &first.model,
            match first.place {
                RunsOn::Browser => RunsOn::Server,
                RunsOn::Server => RunsOn::Browser,
            },
        ),
    };
    vec![first, second]
}

fn side(model: &str, place: RunsOn) -> Side {
    Side {
        model: model.to_owned(),
        place,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::create::link::tests::{models, query};
    use protocol::ProblemCode;

    #[test]
    fn an_empty_query_compares_the_first_two_models() {
        let comparison = Comparison::from_query(&models(), query(&[]));
        assert_eq!(
            comparison.sides,
            [
                side("demo-hub/glyph", RunsOn::Browser),
                side("demo-hub/other", RunsOn::Browser)
            ]
        );
        assert_eq!(comparison.seed, "1");
        let one = &models()[..1];
        let comparison = Comparison::from_query(one, query(&[]));
        assert_eq!(
            comparison.sides,
            [
                side("demo-hub/glyph", RunsOn::Browser),
                side("demo-hub/glyph", RunsOn::Server)
            ]
        );
        assert!(
            Comparison::from_query(&[], query(&[])).sides.is_empty(),
            "no models, no sides"
        );
    }

    #[test]
    fn a_link_brings_the_comparison_back() {
        let comparison = Comparison {
            prompt: "émoji & <b>".into(),
            seed: "7".into(),
            steps: "3".into(),
            guidance: String::new(),
            sides: vec![
                side("demo-hub/other", RunsOn::Server),
                side("demo-hub/glyph", RunsOn::Browser),
                side("demo-hub/glyph", RunsOn::Server),
            ],
            accept_software: true,
        };
        let link = comparison.link();
        assert_eq!(
            link,
            "/compare?prompt=%C3%A9moji%20%26%20%3Cb%3E&seed=7&steps=3&a=demo-hub%2Fother%40server\
             &b=demo-hub%2Fglyph%40browser&c=demo-hub%2Fglyph%40server&accept-software=1"
        );
        let pairs = [
            ("prompt", "émoji & <b>"),
            ("seed", "7"),
            ("steps", "3"),
            ("a", "demo-hub/other@server"),
            ("b", "demo-hub/glyph@browser"),
            ("c", "demo-hub/glyph@server"),
            ("accept-software", "1"),
        ];
        assert_eq!(Comparison::from_query(&models(), query(&pairs)), comparison);
    }

    #[test]
    fn models_that_are_not_here_are_left_out() {
        let pairs = [
            ("a", "no/such@server"),
            ("b", "demo-hub/other@server"),
            ("c", "'><script>"),
        ];
        let comparison = Comparison::from_query(&models(), query(&pairs));
        assert_eq!(
            comparison.sides,
            [
                side("demo-hub/other", RunsOn::Server),
                side("demo-hub/glyph", RunsOn::Server)
            ]
        );
    }

    #[test]
    fn every_side_gets_the_same_prompt_and_seed() {
        let pairs = [("prompt", "red apple"), ("seed", "7")];
        let comparison = Comparison::from_query(&models(), query(&pairs));
        let requests = comparison.requests(&models()).unwrap();
        assert_eq!(requests.len(), 2);
        for (model, request) in &requests {
            assert_eq!(request.model, model.id);
            assert_eq!(request.prompt, "red apple");
            assert_eq!(request.seed, 7);
            assert_eq!(request.num_inference_steps, 8);
        }
        let empty = Comparison::from_query(&models(), query(&[]));
        let problem = empty.requests(&models()).unwrap_err();
        assert_eq!(problem.code, ProblemCode::EmptyPrompt);
        let many = Comparison {
            steps: "1000".into(),
            ..comparison
        };
        let problem = many.requests(&models()).unwrap_err();
        assert_eq!(problem.code, ProblemCode::OutOfRange);
        assert!(problem.detail.starts_with("side A"), "{}", problem.detail);
    }
}
