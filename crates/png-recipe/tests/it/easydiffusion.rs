//! Easy Diffusion.

use crate::support::{app1, exif, jpeg, png, settings, text, unicode, webp};
use png_recipe::{Generator, ReadError, read};

#[test]
fn each_setting_is_a_text_of_its_own() {
    let files = [
        [
            ("prompt", "a kite over dunes"),
            ("negative_prompt", "birds"),
            ("seed", "224466"),
            ("num_inference_steps", "25"),
            ("guidance_scale", "7.5"),
            ("use_stable_diffusion_model", "sd-v1-5"),
            ("sampler_name", "euler_a"),
            ("width", "512"),
        ],
        [
            ("Prompt", "a kite over dunes"),
            ("Negative Prompt", "birds"),
            ("Seed", "224466"),
            ("Steps", "25"),
            ("Guidance Scale", "7.5"),
            (
                "Stable Diffusion model",
                "C:\\models\\stable-diffusion\\sd-v1-5",
            ),
            ("Sampler", "euler_a"),
            ("width", "512"),
        ],
    ];
    for texts in files {
        let chunks: Vec<_> = texts.iter().map(|(k, v)| text(k, v.as_bytes())).collect();
        let found = read(&png(&chunks)).unwrap();
        assert_eq!(found.generator, Generator::EasyDiffusion);
        assert_eq!(
            found.settings,
            settings("sd-v1-5", "a kite over dunes", "birds", 224_466, 25, 7.5)
        );
        assert_eq!(found.unused.len(), 2, "{found:?}");
    }
}

#[test]
fn json_in_a_comment() {
    let json = r#"{"prompt": "{a|b} kite", "negative_prompt": "", "seed": 1, "use_stable_diffusion_model": "sd-v1-5", "clip_skip": false,
        "use_vae_model": null, "num_inference_steps": 25, "guidance_scale": 7.5, "use_lora_model": []}"#;
    let block = exif(true, &[], &[(0x9286, 7, &unicode(json))]);
    for file in [jpeg(&[app1(&block)]), webp(&[(b"EXIF", block.clone())])] {
        let found = read(&file).unwrap();
        assert_eq!(found.generator, Generator::EasyDiffusion);
        assert_eq!(
            found.settings,
            settings("sd-v1-5", "{a|b} kite", "", 1, 25, 7.5)
        );
        assert_eq!(found.unused, ["clip_skip"]);
    }
}

/// The word alone says nothing of who wrote it.
#[test]
fn a_text_named_prompt_is_not_enough() {
    let file = png(&[text("prompt", b"a kite"), text("seed", b"1")]);
    assert_eq!(read(&file), Err(ReadError::NoRecipe));
}
