//! Files as their programs write them. Texts are shaped after what the programs' sources and test data hold.

use crate::support::{itxt, png, text, ztxt};
use png_recipe::{Generator, MAX_TEXT_BYTES, ReadError, Reading, Settings, read};

fn settings(
    model: &str,
    prompt: &str,
    negative: &str,
    seed: u64,
    steps: u32,
    guidance: f32,
) -> Settings {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Settings {
        model: some(model),
        prompt: some(prompt),
        negative_prompt: some(negative),
        seed: Some(seed),
        num_inference_steps: Some(steps),
        guidance_scale: Some(guidance),
    }
}

fn reading(keyword: &str, value: &str) -> Reading {
    read(&png(&[text(keyword, value.as_bytes())])).unwrap()
}

/// The example in the documentation of A1111's `parse_generation_parameters`.
#[test]
fn a1111() {
    let prompt = "girl with an artist's beret, determined, blue eyes, desert scene, computer monitors, heavy makeup, \
                  by Alphonse Mucha and Charlie Bowater, ((eyeshadow)), (coquettish), detailed, intricate";
    let negative = "ugly, fat, obese, chubby, (((deformed))), [blurry], bad anatomy, disfigured, poorly drawn face, \
                    mutation, mutated, (extra_limb), (ugly), (poorly drawn hands), messy drawing";
    let found = reading(
        "parameters",
        &format!(
            "{prompt}\nNegative prompt: {negative}\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, \
             Size: 512x512, Model hash: 45dee52b"
        ),
    );
    assert_eq!(found.generator, Generator::A1111);
    assert_eq!(
        found.settings,
        settings("", prompt, negative, 965_400_086, 20, 7.0)
    );
    assert_eq!(found.unused, ["Sampler", "Size", "Model hash"]);
}

#[test]
fn a1111_quotes_lines_and_commas() {
    let found = reading(
        "parameters",
        "a cat, 3:2\nsecond line\nNegative prompt: dog\nmouse\nSteps: 30, CFG scale: 4.5, Seed: 1, \
         Model: \"odd, \\\"name\\\": x\", Lora hashes: \"add_detail: 7c6bad76eb54, x: 1\", Version: v1.10.1",
    );
    let expected = settings(
        "odd, \"name\": x",
        "a cat, 3:2\nsecond line",
        "dog\nmouse",
        1,
        30,
        4.5,
    );
    assert_eq!(found.settings, expected);
    assert_eq!(found.unused, ["Lora hashes"]);
}

#[test]
fn a1111_without_settings_is_all_prompt() {
    let found = reading("parameters", "note: a cat\nat night: yes");
    assert_eq!(
        found.settings.prompt.as_deref(),
        Some("note: a cat\nat night: yes")
    );
    assert_eq!((found.settings.seed, found.unused), (None, Vec::new()));
}

#[test]
fn a1111_values_that_are_no_numbers_stay_unused() {
    let found = reading(
        "parameters",
        "a\nSteps: many, Seed: -1, CFG scale: inf, Size: 1x1",
    );
    assert_eq!(
        found.settings,
        Settings {
            prompt: Some("a".into()),
            ..Settings::default()
        }
    );
    assert_eq!(found.unused, ["Steps", "Seed", "CFG scale", "Size"]);
}

const FOOOCUS: &str = r#"{"adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL_v8Rundiffusion",
 "base_model_hash": "aeb7e9e689", "clip_skip": 2, "full_negative_prompt": ["blurry", "watermark"],
 "full_prompt": ["cinematic still a cat . moody", "a cat, highly detailed"], "guidance_scale": 4,
 "lora_combined_1": "sd_xl_offset_example-lora_1.0 : 0.1", "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
 "metadata_scheme": "fooocus", "negative_prompt": "", "performance": "Speed", "prompt": "a cat",
 "prompt_expansion": "a cat, highly detailed", "refiner_model": "None", "refiner_switch": 0.5,
 "resolution": "(512, 512)", "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "seed": "127589946317439009",
 "sharpness": 2, "steps": 30, "styles": "['Fooocus V2']", "vae": "Default (model)", "version": "Fooocus v2.5.5"}"#;

#[test]
fn fooocus() {
    let expected = settings(
        "juggernautXL_v8Rundiffusion",
        "a cat",
        "",
        127_589_946_317_439_009,
        30,
        4.0,
    );
    let declared = png(&[
        text("parameters", FOOOCUS.as_bytes()),
        text("fooocus_scheme", b"fooocus"),
    ]);
    for file in [declared, png(&[text("parameters", FOOOCUS.as_bytes())])] {
        let found = read(&file).unwrap();
        assert_eq!(found.generator, Generator::Fooocus);
        assert_eq!(found.settings, expected);
        for name in ["resolution", "sampler", "loras", "styles"] {
            assert!(
                found.unused.iter().any(|n| n == name),
                "{name} in {:?}",
                found.unused
            );
        }
        for name in ["full_prompt", "metadata_scheme", "seed", "negative_prompt"] {
            assert!(
                !found.unused.iter().any(|n| n == name),
                "{name} in {:?}",
                found.unused
            );
        }
    }
}

#[test]
fn fooocus_in_a1111_form() {
    let file = png(&[
        text(
            "parameters",
            b"cinematic still a cat\nNegative prompt: blurry\nSteps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 7, \
              Size: 512x512, CFG scale: 4, ADM Guidance: \"(1.5, 0.8, 0.3)\", Model: juggernautXL, Version: Fooocus v2.5.5",
        ),
        text("fooocus_scheme", b"a1111"),
    ]);
    let found = read(&file).unwrap();
    assert_eq!(found.generator, Generator::Fooocus);
    assert_eq!(
        found.settings,
        settings(
            "juggernautXL",
            "cinematic still a cat",
            "blurry",
            7,
            30,
            4.0
        )
    );
    assert_eq!(found.unused, ["Sampler", "Size", "ADM Guidance"]);
}

#[test]
fn invokeai_of_every_age() {
    let found = reading(
        "invokeai_metadata",
        r#"{"app_version": "5.4.0", "generation_mode": "sdxl_txt2img", "positive_prompt": "a castle",
            "negative_prompt": "blurry", "width": 1024, "height": 768, "seed": 42, "rand_device": "cpu", "cfg_scale": 7.5,
            "cfg_rescale_multiplier": 0, "steps": 30, "scheduler": "dpmpp_2m_k", "clip_skip": null, "loras": [],
            "model": {"key": "k", "hash": "blake3:1", "name": "Juggernaut XL v9", "base": "sdxl", "type": "main"}}"#,
    );
    assert_eq!(found.generator, Generator::InvokeAi);
    assert_eq!(
        found.settings,
        settings("Juggernaut XL v9", "a castle", "blurry", 42, 30, 7.5)
    );
    assert_eq!(
        found.unused,
        [
            "cfg_rescale_multiplier",
            "height",
            "rand_device",
            "scheduler",
            "width"
        ]
    );

    let version_3 = r#"{"positive_prompt": "x", "seed": 1, "steps": 2, "cfg_scale": 3.0,
                        "model": {"model_name": "stable-diffusion-v1-5", "base_model": "sd-1", "model_type": "main"}}"#;
    let found = reading("invokeai_metadata", version_3);
    assert_eq!(
        found.settings,
        settings("stable-diffusion-v1-5", "x", "", 1, 2, 3.0)
    );

    let version_2 = r#"{"model": "stable diffusion", "model_weights": "stable-diffusion-1.4", "model_hash": "fe4efff1",
        "app_id": "invoke-ai/InvokeAI", "app_version": "2.2.4", "image": {"prompt": [{"prompt": "a cat [dog] on a mat",
        "weight": 1.0}], "steps": 50, "cfg_scale": 7.5, "threshold": 0, "perlin": 0, "height": 512, "width": 512,
        "seed": 3078613500, "seamless": false, "hires_fix": false, "type": "txt2img", "sampler": "k_lms"}}"#;
    let found = reading("sd-metadata", version_2);
    assert_eq!(
        found.settings,
        settings(
            "stable-diffusion-1.4",
            "a cat  on a mat",
            "dog",
            3_078_613_500,
            50,
            7.5
        )
    );

    let found = reading(
        "Dream",
        r#""a "quoted" cat [dog]" -s 50 -S 3078613500 -W 512 -H 512 -C 7.5 -A k_lms"#,
    );
    assert_eq!(
        found.settings,
        settings("", "a \"quoted\" cat", "dog", 3_078_613_500, 50, 7.5)
    );
    assert_eq!(found.unused, ["-W", "-H", "-A"]);
}

/// ComfyUI's default graph (`web/scripts/defaultGraph.js`) as `SaveImage` writes it.
const DEFAULT_GRAPH: &str = r#"{"3": {"inputs": {"seed": 156680208700286, "steps": 20, "cfg": 8.0, "sampler_name": "euler",
 "scheduler": "normal", "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
 "latent_image": ["5", 0]}, "class_type": "KSampler"},
 "4": {"inputs": {"ckpt_name": "v1-5-pruned-emaonly.ckpt"}, "class_type": "CheckpointLoaderSimple", "is_changed": [NaN]},
 "5": {"inputs": {"width": 512, "height": 512, "batch_size": 1}, "class_type": "EmptyLatentImage"},
 "6": {"inputs": {"text": "beautiful scenery, a NaN in a \"bottle\"", "clip": ["4", 1]}, "class_type": "CLIPTextEncode"},
 "7": {"inputs": {"text": "text, watermark", "clip": ["4", 1]}, "class_type": "CLIPTextEncode"},
 "8": {"inputs": {"samples": ["3", 0], "vae": ["4", 2]}, "class_type": "VAEDecode"},
 "9": {"inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}, "class_type": "SaveImage"}}"#;

#[test]
fn comfyui() {
    let found = reading("prompt", DEFAULT_GRAPH);
    assert_eq!(found.generator, Generator::ComfyUi);
    assert_eq!(
        found.settings,
        settings(
            "v1-5-pruned-emaonly.ckpt",
            "beautiful scenery, a NaN in a \"bottle\"",
            "text, watermark",
            156_680_208_700_286,
            20,
            8.0
        )
    );
    assert_eq!(found.unused, ["sampler_name", "scheduler", "denoise"]);
}

#[test]
fn comfyui_through_guiders_control_nets_and_primitives() {
    let flux = r#"{"13": {"inputs": {"noise": ["25", 0], "guider": ["22", 0], "sampler": ["16", 0], "sigmas": ["17", 0],
        "latent_image": ["27", 0]}, "class_type": "SamplerCustomAdvanced"},
        "16": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect"},
        "17": {"inputs": {"scheduler": "simple", "steps": ["40", 0], "denoise": 1, "model": ["12", 0]}, "class_type": "BasicScheduler"},
        "22": {"inputs": {"model": ["30", 0], "conditioning": ["26", 0]}, "class_type": "BasicGuider"},
        "25": {"inputs": {"noise_seed": 42}, "class_type": "RandomNoise"},
        "26": {"inputs": {"guidance": 3.5, "conditioning": ["6", 0]}, "class_type": "FluxGuidance"},
        "6": {"inputs": {"text": ["41", 0], "clip": ["11", 0]}, "class_type": "CLIPTextEncode"},
        "12": {"inputs": {"unet_name": "flux1-dev.safetensors"}, "class_type": "UNETLoader"},
        "27": {"inputs": {"width": 8}, "class_type": "EmptySD3LatentImage"},
        "30": {"inputs": {"lora_name": "x", "model": ["12", 0]}, "class_type": "LoraLoaderModelOnly"},
        "40": {"inputs": {"value": 4}, "class_type": "PrimitiveInt"},
        "41": {"inputs": {"string": "a fennec"}, "class_type": "StringConstant"}}"#;
    let found = reading("prompt", flux);
    let expected = Settings {
        guidance_scale: None,
        ..settings("flux1-dev.safetensors", "a fennec", "", 42, 4, 0.0)
    };
    assert_eq!(found.settings, expected);
    assert_eq!(found.unused, ["LoraLoaderModelOnly"]);

    let two = r#"{"10": {"inputs": {"noise_seed": 2, "steps": 9, "cfg": 2, "positive": ["1", 0], "negative": ["1", 1],
        "latent_image": ["9", 0]}, "class_type": "KSamplerAdvanced"},
        "9": {"inputs": {"noise_seed": 1, "steps": 8, "cfg": 3, "positive": ["1", 0], "negative": ["1", 1],
        "latent_image": ["5", 0]}, "class_type": "KSamplerAdvanced"},
        "1": {"inputs": {"positive": ["6", 0], "negative": ["7", 0]}, "class_type": "ControlNetApplyAdvanced"},
        "6": {"inputs": {"text": "yes"}, "class_type": "CLIPTextEncode"},
        "7": {"inputs": {"text": "no"}, "class_type": "CLIPTextEncode"}}"#;
    let found = reading("prompt", two);
    assert_eq!(found.settings, settings("", "yes", "no", 1, 8, 3.0));
    assert_eq!(found.unused, ["1 more samplers", "ControlNetApplyAdvanced"]);
}

#[test]
fn comfyui_in_circles_ends() {
    let circle = r#"{"1": {"inputs": {"seed": ["1", 0], "steps": 5, "cfg": ["2", 0], "positive": ["2", 0]}, "class_type": "KSampler"},
                     "2": {"inputs": {"conditioning": ["1", 0], "text": ["2", 0]}, "class_type": "X"}}"#;
    let found = reading("prompt", circle);
    assert_eq!(
        found.settings,
        Settings {
            num_inference_steps: Some(5),
            ..Settings::default()
        }
    );
    let error = read(&png(&[text(
        "prompt",
        br#"{"1": {"class_type": "SaveImage"}}"#,
    )]))
    .unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Unreadable {
                generator: Generator::ComfyUi,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn this_hub_wins_and_forgives_other_versions() {
    let recipe = r#"{"request": {"model": "demo-hub/glyph", "prompt": "りんご", "negative_prompt": "", "seed": 9007199254740991,
        "num_inference_steps": 8, "guidance_scale": 3.5, "strength": 1}, "new": true}"#;
    let file = png(&[
        text("parameters", b"other\nSteps: 1, Seed: 1, Size: 1x1"),
        itxt("demo-hub", recipe.as_bytes(), false),
    ]);
    let found = read(&file).unwrap();
    assert_eq!(found.generator, Generator::DemoHub);
    assert_eq!(
        found.settings,
        settings(
            "demo-hub/glyph",
            "りんご",
            "",
            9_007_199_254_740_991,
            8,
            3.5
        )
    );
    assert_eq!(found.unused, ["strength"]);

    let damaged = png(&[
        itxt("demo-hub", b"{", false),
        text(
            "parameters",
            b"other\nSteps: 1, Seed: 1, Size: 1x1, Version: Demo Hub",
        ),
    ]);
    let found = read(&damaged).unwrap();
    assert_eq!(
        (found.generator, found.settings.seed),
        (Generator::DemoHub, Some(1))
    );
}

#[test]
fn every_kind_of_text_chunk_is_read() {
    let value = "Äpfel\nSteps: 1, Seed: 2, Size: 1x1";
    let latin1: Vec<u8> = value.chars().map(|c| c as u8).collect();
    for chunk in [
        text("parameters", &latin1),
        text("parameters", value.as_bytes()),
        ztxt("parameters", &latin1),
        itxt("parameters", value.as_bytes(), false),
        itxt("parameters", value.as_bytes(), true),
    ] {
        let found = read(&png(&[chunk])).unwrap();
        assert_eq!(found.settings.prompt.as_deref(), Some("Äpfel"));
    }
}

#[test]
fn bombs_and_long_texts_are_left_alone() {
    let bomb = vec![b' '; MAX_TEXT_BYTES + 1];
    for chunk in [
        text("parameters", &bomb),
        ztxt("parameters", &bomb),
        itxt("parameters", &bomb, true),
        itxt("parameters", &bomb, false),
    ] {
        assert_eq!(read(&png(&[chunk])), Err(ReadError::NoRecipe));
    }
    assert_eq!(
        read(&png(&[text("prompt", "[".repeat(100_000).as_bytes())])),
        Err(ReadError::Unreadable {
            generator: Generator::ComfyUi,
            detail: "recursion limit exceeded at line 1 column 128".into()
        })
    );
}

#[test]
fn what_is_no_png_or_says_nothing() {
    assert_eq!(read(b""), Err(ReadError::NotPng));
    assert_eq!(read(b"GIF89a"), Err(ReadError::NotPng));
    assert_eq!(read(&png(&[])), Err(ReadError::NoRecipe));
    assert_eq!(
        read(&png(&[text("Software", b"x")])),
        Err(ReadError::NoRecipe)
    );
}

#[test]
fn a_file_that_is_cut_off_or_lies_is_read_as_far_as_it_goes() {
    let good = png(&[text("parameters", b"a\nSteps: 1, Seed: 2, Size: 1x1")]);
    assert!(read(&good[..good.len() - 12]).is_ok());
    let lying = |length: u32| {
        let mut file = png(&[text("parameters", b"a\nSteps: 1, Seed: 2, Size: 1x1")]);
        let at = file.windows(4).position(|w| w == b"tEXt").unwrap() - 4;
        file[at..at + 4].copy_from_slice(&length.to_be_bytes());
        read(&file)
    };
    assert_eq!(lying(u32::MAX), Err(ReadError::NoRecipe));
    assert_eq!(lying(0), Err(ReadError::NoRecipe));
}
