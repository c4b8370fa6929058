//! Which line holds the settings: texts without any, and texts with more lines than the program writes.

use crate::support::{reading, settings};
use png_recipe::{Generator, ReadError, Reading, Settings, read};

fn prompts(prompt: &str, negative: &str) -> Settings {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Settings {
        prompt: some(prompt),
        negative_prompt: some(negative),
        ..Settings::default()
    }
}

fn parameters(text: &str) -> Reading {
    reading("parameters", text)
}

/// AUTOMATIC1111/stable-diffusion-webui issue 16876: three colons made the last line of a prompt the settings.
#[test]
fn lines_with_colons_are_no_settings() {
    for last in [
        "<lora:ink wash v2:0.8>, <lora:paper grain:0.6>, <lora:soft light:1>, quiet water",
        "morning fog: thick, light: low, boats: three",
        "Steps: worn, Size: huge, Seed: of doubt, Model: tall woman, Version: two",
        "Steps: 12, Size: huge, Style: gothic, Mood: dark",
        "Model: tall woman, Sampler: a DJ, Size: small, VAE: none",
        "(masterpiece:1.2), (steps: 3), [seed: 5: 0.4], {size: 4}",
        "<lora:Steps:20>, <lora:Seed:1>, <lora:CFG scale:7>",
        "a sign that says \"Steps: 20, Seed: 1, Size: 1x1\" in red",
    ] {
        let prompt = format!("harbour at dawn\n{last}");
        let found = parameters(&prompt);
        assert_eq!(found.settings, prompts(&prompt, ""));
        assert!(found.unused.is_empty(), "{found:?}");
        let found = parameters(&format!("harbour\nNegative prompt: people, cars\n{last}"));
        let negative = format!("people, cars\n{last}");
        assert_eq!(found.settings, prompts("harbour", &negative));
    }
}

const HEAD: &str = "a red lantern in the rain\nNegative prompt: blurry, text\nSteps: 28, Sampler: Euler a, CFG scale: 6, \
                    Seed: 271828182, Size: 512x768, Model hash: abcdef0123, Model: night_v3, Version: v1.6.0";

fn expected() -> Settings {
    settings(
        "night_v3",
        "a red lantern in the rain",
        "blurry, text",
        271_828_182,
        28,
        6.0,
    )
}

/// adieyal/sd-dynamic-prompts before its pull request 691, and neighbours of its lines.
#[test]
fn lines_behind_the_settings_are_passed_over() {
    let template = "\nTemplate: a {red|blue} lantern in the __weather__";
    let negative = "\nNegative Template: blurry, {text|logo}";
    for (more, unused) in [
        (template.to_owned(), &["Template"][..]),
        (
            format!("{template}{negative}"),
            &["Template", "Negative Template"],
        ),
        (negative.to_owned(), &["Negative Template"]),
        (
            format!("{template}\nin the __weather__, wet stones{negative}\nand: more"),
            &["Template", "Negative Template"],
        ),
        // A template that is itself such a text.
        (
            format!(
                "{template}\nNegative prompt: x\nSteps: 9, Sampler: y, CFG scale: 9, Seed: 9, Size: 9x9"
            ),
            &["Template"],
        ),
        (
            "\nUsed embeddings: easynegative [119b]".to_owned(),
            &["Used embeddings"],
        ),
        ("\n\nsome note".to_owned(), &["more lines"]),
    ] {
        for line_break in ["\n", "\r\n"] {
            let text = format!("{HEAD}{more}").replace('\n', line_break);
            let found = parameters(&text);
            assert_eq!(found.settings, expected(), "{text}");
            let behind: Vec<&str> = found.unused.iter().skip(3).map(String::as_str).collect();
            assert_eq!(behind, unused, "{text}");
        }
    }
    let between = HEAD.replace(
        "\nSteps",
        "\nTemplate: a {red|blue} lantern\nNegative Template: {text|logo}\nSteps",
    );
    assert_eq!(parameters(&between).settings, expected());
}

/// Pairs that extensions add, as `quote` of several versions writes them; `Hashes` and `Civitai resources` as their
/// extensions do.
#[test]
fn values_of_extensions_hold_anything() {
    for more in [
        r#"Template: "a {red|blue} lantern, wet: stones", Negative Template: "blurry, {text|logo}""#,
        r#"Wildcard prompt: "Steps: 3, Seed: 4, Model: other, Size: 1x1\nNegative prompt: none""#,
        "Wildcard prompt: \"a __colour__ lantern,\nModel: other\", Hires prompt: \"x, y\"",
        r#"ADetailer model: face_yolov8n.pt, ADetailer prompt: "a face, Seed: 5", ADetailer steps: 9, ADetailer CFG scale: 3"#,
        r#"ControlNet 0: "preprocessor: canny, model: control_v11p, weight: 1, Seed: 3""#,
        r#"Lora hashes: "a: 0a1b2c3d4e5f, b: 1a2b3c4d5e6f", TI hashes: "easynegative: c74b4e810b03""#,
        r#"Hashes: {"vae": "63aeecb90f", "model": "abcdef0123", "lora:a, b": "1"}"#,
        r#"Civitai resources: [{"type":"checkpoint","modelName":"x, Seed: 5","modelVersionId":128078}], Civitai metadata: {}"#,
        "Hires upscale: 2, Hires steps: 9, Hires CFG Scale: 3, Hires upscaler: Latent, Denoising strength: 0.4",
        "Refiner: sd_xl_refiner [7440042bbd], Refiner switch at: 0.8",
    ] {
        let (head, version) = HEAD.rsplit_once(", Version").unwrap();
        for text in [
            format!("{HEAD}, {more}"),
            format!("{head}, {more}, Version{version}"),
            HEAD.replace("Model hash", &format!("{more}, Model hash")),
        ] {
            assert_eq!(parameters(&text).settings, expected(), "{text}");
        }
    }
}

/// Issue 12128: an extension's value without quotes goes on in the next line.
#[test]
fn a_line_break_in_a_value_cuts_nothing_off() {
    let text = HEAD.replace(", Model hash", ", Some prompt: a face\nsmile, Model hash");
    let found = parameters(&text);
    assert_eq!(found.settings, expected());
}

#[test]
fn models_are_named_in_any_way() {
    for (value, name) in [
        ("night v3 (final)", "night v3 (final)"),
        ("\"night, v3\"", "night, v3"),
        (r#""a \"b\", c: d""#, "a \"b\", c: d"),
        ("night_v3.safetensors [abc]", "night_v3.safetensors [abc]"),
    ] {
        let found = parameters(&HEAD.replace("Model: night_v3", &format!("Model: {value}")));
        assert_eq!(found.settings.model.as_deref(), Some(name));
        assert_eq!(found.settings.seed, Some(271_828_182));
    }
}

#[test]
fn prompts_of_several_lines() {
    let tail = "Steps: 28, Sampler: Euler a, CFG scale: 6, Seed: 271828182, Size: 512x768, Model: night_v3";
    for (head, prompt, negative) in [
        ("a\nBREAK\nb, (c:1.2)\n", "a\nBREAK\nb, (c:1.2)", ""),
        (
            "a\n\nb\nNegative prompt: c\n\nd: e\n",
            "a\n\nb",
            "c\n\nd: e",
        ),
        ("a\nNegative prompt:\n", "a", ""),
        ("a\nNegative prompt: \n", "a", ""),
        ("Negative prompt: c\n", "", "c"),
        (
            "a, Negative prompt: b\nNegative prompt: c\n",
            "a, Negative prompt: b",
            "c",
        ),
        (
            "Steps: 3, Seed: 4, Size: 5x6, of an old picture\nNegative prompt: c\n",
            "Steps: 3, Seed: 4, Size: 5x6, of an old picture",
            "c",
        ),
        ("", "", ""),
    ] {
        let found = parameters(&format!("{head}{tail}"));
        let expected = settings("night_v3", prompt, negative, 271_828_182, 28, 6.0);
        assert_eq!(found.settings, expected, "{head}");
    }
}

/// `create_infotext` of the forks.
#[test]
fn forks_are_told_by_what_they_write() {
    let forge = "a cat\nSteps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 5, \
                 Size: 896x1152, Model hash: bea01d51bd, Model: flux1-dev-bnb-nf4-v2, Module 1: ae, \
                 Version: f2.0.1v1.10.1-previous-543-g22e2bc3b";
    let found = parameters(forge);
    assert_eq!(found.generator, Generator::Forge);
    assert_eq!(
        found.settings,
        settings("flux1-dev-bnb-nf4-v2", "a cat", "", 5, 20, 1.0)
    );
    let sdnext = "a cat\nNegative prompt: dog\nSteps: 20, Seed: 5, Sampler: Euler a, CFG scale: 6, Size: 1024x1024, Parser: Full \
                  parser, Model: juggernaut xl, Model hash: 33e58e8668, Backend: Diffusers, App: SD.Next, Version: 93c49e1, \
                  Operations: txt2img; hires, Pipeline: StableDiffusionXLPipeline";
    let found = parameters(sdnext);
    assert_eq!(found.generator, Generator::SdNext);
    assert_eq!(
        found.settings,
        settings("juggernaut xl", "a cat", "dog", 5, 20, 6.0)
    );
    // ArtBot, for the AI Horde: names in lower case, no space behind a comma.
    let found = parameters(
        "a robot\nSteps: 20, Sampler: k_euler, CFG scale: 9, Seed: 1415104642,Size: 512x512, model: deliberate",
    );
    assert_eq!(
        found.settings,
        settings("deliberate", "a robot", "", 1_415_104_642, 20, 9.0)
    );
    assert_eq!(found.generator, Generator::A1111);
}

#[test]
fn what_is_json_or_only_enlarged_is_no_prompt() {
    for text in [
        r#"{"anything": 1}"#,
        "{\n  \"prompt\": \"of nobody known\", \"x\": 1}",
        r#"[{"a": 1}]"#,
        r#"{"cut": "off"#,
        "{}",
        "Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN 4x+",
        "",
    ] {
        let file = crate::support::png(&[crate::support::text("parameters", text.as_bytes())]);
        assert_eq!(read(&file), Err(ReadError::NoRecipe), "{text}");
    }
    // A choice between prompts begins with a brace, too.
    let found = parameters("{red|blue} lantern, [a:b:0.5]");
    assert_eq!(found.settings, prompts("{red|blue} lantern, [a:b:0.5]", ""));
}
