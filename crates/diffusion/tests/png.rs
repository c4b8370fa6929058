//! What other readers find in the PNG.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use diffusion::png::{encode, encode_plain};
use diffusion::{ErrorKind, GenerationRequest, Picture, Recipe, RunsOn};
use png_recipe::a1111::write as parameters;

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
        place: RunsOn::Server,
        start: None,
        upscaler: None,
        loras: Vec::new(),
        duration_ms: 12,
    }
}

fn picture() -> Picture {
    Picture {
        width: 3,
        height: 2,
        rgb: (0..18).map(|i| i * 14).collect(),
    }
}

struct Read {
    rgb: Vec<u8>,
    text: Vec<(String, String)>,
    itxt: Vec<(String, String)>,
}

fn read(bytes: &[u8]) -> Read {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((info.width, info.height), (3, 2));
    assert_eq!(info.color_type, png::ColorType::Rgb);
    let info = reader.info();
    Read {
        rgb,
        text: info
            .uncompressed_latin1_text
            .iter()
            .map(|c| (c.keyword.clone(), c.text.clone()))
            .collect(),
        itxt: info
            .utf8_text
            .iter()
            .map(|c| (c.keyword.clone(), c.get_text().unwrap()))
            .collect(),
    }
}

#[test]
fn pixels_and_recipe_come_back() {
    let recipe = recipe("Äpfel, flat style", "");
    let read = read(&encode(&picture(), &recipe).unwrap());
    assert_eq!(read.rgb, picture().rgb);
    assert_eq!(
        read.text,
        [("parameters".to_owned(), parameters(&recipe, 3, 2))]
    );
    let [(xmp, _), (keyword, json)] = &read.itxt[..] else {
        panic!("two iTXt chunks expected")
    };
    assert_eq!(
        (xmp.as_str(), keyword.as_str()),
        ("XML:com.adobe.xmp", "demo-hub")
    );
    assert_eq!(serde_json::from_str::<Recipe>(json).unwrap(), recipe);
}

#[test]
fn text_beyond_latin_1_goes_to_itxt() {
    for prompt in ["りんご 🍎", "€", "nul\0inside"] {
        let recipe = recipe(prompt, "");
        let read = read(&encode(&picture(), &recipe).unwrap());
        let all = [&read.text[..], &read.itxt[..]].concat();
        let found = |k: &str| &all.iter().find(|(keyword, _)| keyword == k).unwrap().1;
        assert!(found("parameters").starts_with(&prompt.replace('\0', " ")));
        assert_eq!(read.text.is_empty(), !prompt.is_ascii());
        let back: Recipe = serde_json::from_str(found("demo-hub")).unwrap();
        assert_eq!(back, recipe);
    }
}

#[test]
fn a_picture_whose_size_lies_is_refused() {
    let mut short = picture();
    short.rgb.pop();
    let error = encode(&short, &recipe("a", "")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Png);
}

/// The packet of every picture, previews too; `exiftool` reads it in `cargo xtask test server`.
#[test]
fn every_picture_says_that_a_model_made_it() {
    for bytes in [
        encode(&picture(), &recipe("a", "")).unwrap(),
        encode_plain(&picture()).unwrap(),
    ] {
        let read = read(&bytes);
        let (_, packet) = read
            .itxt
            .iter()
            .find(|(keyword, _)| keyword == "XML:com.adobe.xmp")
            .unwrap();
        assert!(packet.contains(
            "Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\""
        ));
    }
}

#[test]
fn the_form_gets_back_what_was_asked_for() {
    for prompt in ["red apple", "りんご 🍎", "Negative prompt: none\nSteps: 1"] {
        let recipe = recipe(prompt, "leaf");
        let read = png_recipe::read(&encode(&picture(), &recipe).unwrap()).unwrap();
        assert_eq!(read.generator, png_recipe::Generator::DemoHub);
        let settings = read.settings;
        assert_eq!(settings.prompt.as_deref(), Some(prompt));
        assert_eq!(settings.negative_prompt.as_deref(), Some("leaf"));
        assert_eq!(settings.seed, recipe.request.seed);
        assert_eq!(settings.num_inference_steps, Some(8));
        assert_eq!(settings.guidance_scale, Some(3.5));
        assert_eq!(read.unused, Vec::<String>::new());
    }
}
