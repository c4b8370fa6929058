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
