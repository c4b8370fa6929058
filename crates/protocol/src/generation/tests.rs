#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::model::tests::glyph;

fn request() -> GenerationRequest {
    GenerationRequest {
        model: "demo-hub/glyph".into(),
        prompt: "red apple".into(),
        seed: Some(1),
        num_inference_steps: None,
        guidance_scale: None,
        ..GenerationRequest::default()
    }
}

#[test]
fn defaults_are_filled_in() {
    let r = request().resolve(&glyph(), 5).unwrap();
    assert_eq!((r.seed, r.num_inference_steps), (1, 8));
    assert_eq!(r.guidance_scale, 3.0);
    let mut open = request();
    open.seed = None;
    assert_eq!(open.resolve(&glyph(), 5).unwrap().seed, 5);
}

#[test]
fn a_picture_is_made_larger_up_to_4096_pixels() {
    let mut model = glyph();
    (model.width, model.height) = (1024, 1032);
    let asked = |upscale| GenerationRequest {
        upscale,
        ..request()
    };
    let twice = asked(Some(UpscaleFactor::Two)).resolve(&model, 0).unwrap();
    assert_eq!((twice.width, twice.height), (1024, 1032));
    let again = GenerationRequest::from(twice);
    assert_eq!(again.upscale, Some(UpscaleFactor::Two));
    assert_eq!(model.size_of(&again), (2048, 2064));
    assert_eq!(model.size_of(&asked(None)), (1024, 1032));
    let error = asked(Some(UpscaleFactor::Four)).resolve(&model, 0);
    assert!(matches!(error, Err(RequestError::TooLarge { .. })));
}

#[test]
fn bad_values_are_named() {
    let field = |r: GenerationRequest| match r.resolve(&glyph(), 0) {
        Err(RequestError::OutOfRange { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    for steps in [0, 1_000_000_000] {
        let mut r = request();
        r.num_inference_steps = Some(steps);
        assert_eq!(field(r), "num_inference_steps");
    }
    for guidance in [f32::NAN, f32::INFINITY, -1.0] {
        let mut r = request();
        r.guidance_scale = Some(guidance);
        assert_eq!(field(r), "guidance_scale");
    }
    let mut r = request();
    r.seed = Some(MAX_SEED + 1);
    assert_eq!(field(r), "seed");
}

/// Sentences are read on pages, whose fields have other names than the members of a request.
#[test]
fn sentences_name_no_members() {
    let whole = GenerationRequest {
        negative_prompt: Some(String::new()),
        width: Some(1),
        height: Some(1),
        variation_seed: Some(1),
        variation_strength: Some(0.5),
        prompt_syntax: Some(PromptSyntax::A1111),
        sampler: Some(String::new()),
        clip_skip: Some(1),
        upscale: Some(UpscaleFactor::Two),
        ..request()
    };
    let members = serde_json::to_value(whole).unwrap();
    for member in members.as_object().unwrap().keys() {
        assert_ne!(in_words(member), member);
    }
    let wrong: [fn(&mut GenerationRequest); 10] = [
        |r| r.prompt = " ".into(),
        |r| r.negative_prompt = Some("x".repeat(MAX_PROMPT_CHARS + 1)),
        |r| r.seed = Some(MAX_SEED + 1),
        |r| r.num_inference_steps = Some(0),
        |r| r.guidance_scale = Some(-1.0),
        |r| r.width = Some(1),
        |r| r.variation_seed = Some(1),
        |r| r.variation_strength = Some(2.0),
        |r| r.prompt_syntax = Some(PromptSyntax::A1111),
        |r| r.clip_skip = Some(99),
    ];
    for change in wrong {
        let mut request = request();
        change(&mut request);
        let refused = request.resolve(&glyph(), 0).unwrap_err();
        let problem = crate::Problem::from(refused);
        let said = format!("{} {}", problem.detail, problem.hint);
        assert!(!said.contains(['_', '`']), "{said}");
    }
    let mut none = request();
    none.num_inference_steps = Some(0);
    let refused = none.resolve(&glyph(), 0).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the number of steps is 0; this model accepts 1 to 50"
    );
}

#[test]
fn a_model_without_negative_prompts_refuses_them() {
    let mut model = glyph();
    let mut r = request();
    r.negative_prompt = Some("leaf".into());
    assert!(r.clone().resolve(&model, 0).is_ok());
    model.negative_prompt = false;
    let refused = r.clone().resolve(&model, 0);
    assert_eq!(refused, Err(RequestError::NoNegativePrompt));
    r.negative_prompt = Some(String::new());
    assert!(r.resolve(&model, 0).is_ok());
}

#[test]
fn prompts_are_counted_in_characters() {
    let mut r = request();
    r.prompt = "é".repeat(MAX_PROMPT_CHARS);
    assert!(r.clone().resolve(&glyph(), 0).is_ok());
    r.prompt.push('x');
    assert!(matches!(
        r.resolve(&glyph(), 0),
        Err(RequestError::PromptTooLong { chars: 1_001, .. })
    ));
    let mut r = request();
    r.prompt = " \t\n".into();
    assert_eq!(r.resolve(&glyph(), 0), Err(RequestError::EmptyPrompt));
}

#[test]
fn layers_are_skipped_where_the_model_offers_it() {
    let with = |clip_skip| GenerationRequest {
        clip_skip,
        ..request()
    };
    let mut model = glyph();
    for clip_skip in [None, Some(1)] {
        let resolved = with(clip_skip).resolve(&model, 0).unwrap();
        assert_eq!(resolved.clip_skip, 1);
        assert_eq!(GenerationRequest::from(resolved).clip_skip, None);
    }
    assert!(with(Some(2)).resolve(&model, 0).is_err());
    model.max_clip_skip = 2;
    let resolved = with(Some(2)).resolve(&model, 0).unwrap();
    assert_eq!(GenerationRequest::from(resolved).clip_skip, Some(2));
    for clip_skip in [0, 3] {
        let refused = with(Some(clip_skip)).resolve(&model, 0);
        assert!(
            matches!(&refused, Err(RequestError::OutOfRange { field: "clip_skip", max, .. }) if max == "2"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_variation_has_a_seed_and_a_strength() {
    let with = |seed, strength| GenerationRequest {
        variation_seed: seed,
        variation_strength: strength,
        ..request()
    };
    let resolved = with(Some(7), Some(0.25)).resolve(&glyph(), 0).unwrap();
    let variation = Variation {
        seed: 7,
        strength: 0.25,
    };
    assert_eq!(resolved.variation, Some(variation));
    let again = GenerationRequest::from(resolved.clone());
    assert_eq!(again.resolve(&glyph(), 0), Ok(resolved));
    for (seed, strength, missing) in [
        (Some(7), None, "variation_strength"),
        (None, Some(0.5), "variation_seed"),
    ] {
        let refused = with(seed, strength).resolve(&glyph(), 0);
        assert_eq!(refused, Err(RequestError::HalfVariation { missing }));
    }
    for (seed, strength) in [(7, -0.1), (7, 1.5), (7, f32::NAN), (MAX_SEED + 1, 0.5)] {
        let refused = with(Some(seed), Some(strength)).resolve(&glyph(), 0);
        assert!(matches!(refused, Err(RequestError::OutOfRange { .. })));
    }
}
