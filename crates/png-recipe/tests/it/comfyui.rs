//! Graphs of ComfyUI.

use crate::support::{png, reading, settings, text};
use png_recipe::{Generator, ReadError, Settings, read};

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
    assert_eq!(found.unused, ["FluxGuidance", "LoraLoaderModelOnly"]);

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
