//! A1111's form as it is written.

use png_recipe::a1111::{read, write};
use protocol::{GenerationRequest, Recipe};

fn recipe(prompt: &str, negative_prompt: &str) -> Recipe {
    Recipe {
        request: GenerationRequest {
            model: "demo-hub/glyph".into(),
            prompt: prompt.into(),
            negative_prompt: Some(negative_prompt.into()),
            seed: Some(9_007_199_254_740_991),
            num_inference_steps: Some(8),
            guidance_scale: Some(3.5),
            ..GenerationRequest::default()
        },
        weights_digest: "0123456789abcdef".repeat(4),
        scheduler: "flow-match-euler".into(),
        backend: "rten (CPU)".into(),
        adapter: "x".into(),
        place: protocol::RunsOn::Server,
        start: None,
        upscaler: None,
        loras: Vec::new(),
        duration_ms: 12,
    }
}

/// The layout that A1111's `parse_generation_parameters` documents: prompt lines, `Negative prompt:`, then
/// one line of `name: value` pairs that begins with `Steps`.
#[test]
fn parameters_have_the_form_that_prompt_readers_take() {
    assert_eq!(
        write(&recipe("red apple\nflat", "leaf"), 64, 64),
        "red apple\nflat\nNegative prompt: leaf\nSteps: 8, Sampler: Euler, CFG scale: 3.5, \
         Seed: 9007199254740991, Size: 64x64, Model hash: 0123456789, Model: demo-hub/glyph, \
         Version: Demo Hub"
    );
    assert!(!write(&recipe("a", ""), 1, 1).contains("Negative prompt"));
    let hosted = Recipe {
        scheduler: String::new(),
        weights_digest: String::new(),
        ..recipe("a", "")
    };
    let text = write(&hosted, 1, 1);
    assert!(
        !text.contains("Sampler") && !text.contains("hash"),
        "{text}"
    );
}

/// Names of `samplers_k_diffusion` and `samplers_data_timesteps` in A1111's `modules`.
#[test]
fn schedulers_have_the_names_of_samplers() {
    for (scheduler, sampler) in [
        ("euler-discrete", "Euler"),
        ("ddim", "DDIM"),
        ("lcm", "lcm"),
        (
            "DPM++ 2M Karras (DPMSolverMultistepScheduler)",
            "DPM++ 2M Karras, Diffusers sampler: DPMSolverMultistepScheduler",
        ),
    ] {
        let recipe = Recipe {
            scheduler: scheduler.into(),
            ..recipe("a", "")
        };
        let text = write(&recipe, 64, 64);
        assert!(text.contains(&format!("Sampler: {sampler},")), "{text}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let settings = read(&write(&recipe("red apple\nflat", "leaf"), 64, 64)).settings;
    assert_eq!(settings.prompt.as_deref(), Some("red apple\nflat"));
    assert_eq!(settings.negative_prompt.as_deref(), Some("leaf"));
    assert_eq!(settings.seed, Some(9_007_199_254_740_991));
    assert_eq!(settings.num_inference_steps, Some(8));
    assert_eq!(settings.guidance_scale, Some(3.5));
    assert_eq!(settings.model.as_deref(), Some("demo-hub/glyph"));
}

/// As `ExtraNetworkLora` of A1111 writes them: tags in the prompt, and names with hashes in one quoted value.
#[test]
fn loras_are_named_with_their_hashes() {
    let lora = |name: &str, hash: &str| protocol::UsedLora {
        name: name.into(),
        hash: hash.into(),
        text_weight: 1.0,
        weight: 0.5,
    };
    let prompt = "red apple <lora:ink wash:1:0.5> <lora:soft:1:0.5>";
    let mut drawn = recipe(prompt, "");
    assert!(!write(&drawn, 64, 64).contains("Lora"));
    drawn.loras = vec![
        lora("ink wash", "0a1b2c3d4e5f"),
        lora("soft", "1a2b3c4d5e6f"),
    ];
    let text = write(&drawn, 64, 64);
    let hashes = r#", Lora hashes: "ink wash: 0a1b2c3d4e5f, soft: 1a2b3c4d5e6f", "#;
    assert!(text.contains(hashes), "{text}");
    let read = read(&text);
    assert_eq!(read.settings.prompt.as_deref(), Some(prompt));
    assert_eq!(read.settings.seed, Some(9_007_199_254_740_991));
}

/// Under the name that A1111's `create_infotext` gives it, and where it is not 1 alone.
#[test]
fn a_clip_skip_is_named() {
    let mut skipping = recipe("a", "");
    assert!(!write(&skipping, 64, 64).contains("Clip skip"));
    skipping.request.clip_skip = Some(2);
    let text = write(&skipping, 64, 64);
    assert!(text.contains(", Clip skip: 2, "), "{text}");
}
