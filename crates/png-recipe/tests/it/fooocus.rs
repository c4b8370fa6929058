//! Fooocus, in both of its schemes and its containers.

use crate::support::{app1, exif, jpeg, png, settings, text, webp};
use png_recipe::{Generator, Reading, read};

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

const TAIL: &str = "Steps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 8365172839405162738, Size: 1152x896, CFG scale: 4.0, Sharpness: 2, \
                    ADM Guidance: \"(1.5, 0.8, 0.3)\", Model: juggernautXL, Performance: Speed";

/// The lines have the prompt with styles and expansion; what was typed is in the pairs.
#[test]
fn what_was_typed_is_read() {
    let head = "cinematic still an owl . emotional, an owl, intricate\nNegative prompt: anime, (blur:1.2), rain";
    for (raw, raw_negative, prompt, negative) in [
        ("an owl", "", "an owl", ""),
        ("an owl", "rain", "an owl", "rain"),
        (
            r#""an owl\non a post, dusk: \"late\"""#,
            r#""rain, fog""#,
            "an owl\non a post, dusk: \"late\"",
            "rain, fog",
        ),
    ] {
        let text_of = |version: &str| {
            format!(
                "{head}\n{TAIL}, Raw prompt: {raw}, Raw negative prompt: {raw_negative}, Version: {version}"
            )
        };
        let declared = png(&[
            text("parameters", text_of("v1").as_bytes()),
            text("fooocus_scheme", b"a1111"),
        ]);
        let comment = text_of("Fooocus v2.5.5");
        let block = exif(
            false,
            &[
                (0x0131, 2, b"Fooocus v2.5.5\0"),
                (0x9286, 2, comment.as_bytes()),
                (0x927C, 2, b"a1111"),
            ],
            &[],
        );
        for file in [
            declared,
            png(&[text("parameters", comment.as_bytes())]),
            jpeg(&[app1(&block)]),
            webp(&[(b"EXIF", block.clone())]),
        ] {
            let found = read(&file).unwrap();
            assert_eq!(found.generator, Generator::Fooocus);
            let expected = settings(
                "juggernautXL",
                prompt,
                negative,
                8_365_172_839_405_162_738,
                30,
                4.0,
            );
            assert_eq!(found.settings, expected);
        }
    }
}

/// Pillow writes the text as the first directory's `UserComment`, without the name of a character set.
#[test]
fn json_in_exif_and_in_a_comment() {
    let block = exif(
        false,
        &[(0x9286, 7, FOOOCUS.as_bytes()), (0x927C, 7, b"fooocus")],
        &[],
    );
    let plain = png(&[text("parameters", FOOOCUS.as_bytes())]);
    let expected: Reading = read(&plain).unwrap();
    for file in [
        jpeg(&[app1(&block)]),
        webp(&[(b"EXIF", [b"Exif\0\0", &block[..]].concat())]),
    ] {
        assert_eq!(read(&file).unwrap(), expected);
    }
    // The fork MRE.
    let json = r#"{"prompt": "an owl", "negative_prompt": "", "styles": [], "seed": 5, "base_model": "sd_xl_base_1.0",
        "performance": "Speed", "steps": 30, "cfg": 7.0, "software": "Fooocus 2.0.19 MRE"}"#;
    for file in [
        jpeg(&[(0xFE, json.as_bytes().to_vec())]),
        png(&[text("Comment", json.as_bytes())]),
    ] {
        let found = read(&file).unwrap();
        assert_eq!(found.generator, Generator::Fooocus);
        assert_eq!(
            found.settings,
            settings("sd_xl_base_1.0", "an owl", "", 5, 30, 7.0)
        );
    }
}
