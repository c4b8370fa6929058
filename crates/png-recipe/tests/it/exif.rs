//! Text in the EXIF of JPEG, WebP and PNG: character sets as programs write them, rightly or not.

use crate::support::{app1, chunk, exif, jpeg, png, reading, text, unicode, webp};
use png_recipe::{Generator, ReadError, read};

const TEXT: &str = "Äpfel, りんご 🍎\nNegative prompt: Öl\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512, Model: x";

/// In which order the bytes of UTF-16 stand is not said in the comment; the block's own order is often another.
#[test]
fn comments_in_every_character_set() {
    let little: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let comments: [(&str, Vec<u8>); 9] = [
        ("big-endian", [b"UNICODE\0", &big[..]].concat()),
        ("little-endian", [b"UNICODE\0", &little[..]].concat()),
        (
            "with its mark",
            [b"UNICODE\0\xFF\xFE", &little[..]].concat(),
        ),
        (
            "UTF-8 under a wrong name",
            [b"UNICODE\0", TEXT.as_bytes()].concat(),
        ),
        ("UTF-8 as ASCII", [b"ASCII\0\0\0", TEXT.as_bytes()].concat()),
        ("UTF-8 without a name", [&[0; 8], TEXT.as_bytes()].concat()),
        ("UTF-8 alone", TEXT.as_bytes().to_vec()),
        ("UTF-16 alone", big.clone()),
        (
            "with zeros behind",
            [b"UNICODE\0", &big[..], &[0; 6]].concat(),
        ),
    ];
    let expected = reading("parameters", TEXT);
    assert_eq!(
        expected.settings.prompt.as_deref(),
        Some("Äpfel, りんご 🍎")
    );
    for (name, comment) in &comments {
        for is_big in [true, false] {
            let block = exif(
                is_big,
                &[(0x0131, 2, b"x\0")],
                &[(0x9003, 2, b"2026"), (0x9286, 7, comment)],
            );
            for file in [
                jpeg(&[(0xE0, b"JFIF\0".to_vec()), app1(&block)]),
                webp(&[
                    (b"VP8X", vec![0; 10]),
                    (b"VP8 ", vec![0; 7]),
                    (b"EXIF", block.clone()),
                ]),
                png(&[chunk(b"eXIf", &block)]),
            ] {
                assert_eq!(read(&file).unwrap(), expected, "{name}");
            }
        }
    }
}

/// A camera, a screenshot and a photographer write there, too.
#[test]
fn prose_in_a_comment_is_no_prompt() {
    for prose in [
        "Screenshot",
        "a holiday in Rome, Trevi: fountain, sun: low",
        "{not json}",
        "",
    ] {
        let block = exif(
            true,
            &[(0x010E, 2, prose.as_bytes())],
            &[(0x9286, 7, &unicode(prose))],
        );
        let file = jpeg(&[app1(&block), (0xFE, prose.as_bytes().to_vec())]);
        assert_eq!(read(&file), Err(ReadError::NoRecipe), "{prose}");
    }
    let block = exif(
        true,
        &[],
        &[(0x9286, 7, &unicode("a cat\nNegative prompt: dog"))],
    );
    let found = read(&jpeg(&[app1(&block)])).unwrap();
    assert_eq!(found.settings.negative_prompt.as_deref(), Some("dog"));
}

#[test]
fn texts_of_the_png_come_before_its_exif() {
    let block = exif(true, &[], &[(0x9286, 7, &unicode(TEXT))]);
    let own = text("parameters", b"own\nSteps: 1, Seed: 2, Size: 3x4");
    let found = read(&png(&[chunk(b"eXIf", &block), own])).unwrap();
    assert_eq!(found.settings.prompt.as_deref(), Some("own"));
}

/// `SaveAnimatedWEBP` in `comfy_extras/nodes_images.py` of ComfyUI: `Model` has the run, the tags before it the rest.
#[test]
fn graphs_of_comfyui_in_webp() {
    let graph = r#"{"3":{"inputs":{"seed":5,"steps":20,"cfg":8,"positive":["6",0],"negative":["7",0]},"class_type":"KSampler"},
        "6":{"inputs":{"text":"yes"},"class_type":"CLIPTextEncode"},"7":{"inputs":{"text":"no"},"class_type":"CLIPTextEncode"}}"#;
    let labelled = |label: &str| format!("{label}:{graph}\0");
    for (label, tag) in [("prompt", 0x0110), ("Prompt", 0x010F), ("prompt", 0x010E)] {
        let value = labelled(label);
        let tags = [(tag, 2, value.as_bytes()), (0x0131, 2, &b"x\0"[..])];
        let found = read(&webp(&[(b"EXIF", exif(false, &tags, &[]))])).unwrap();
        assert_eq!(found.generator, Generator::ComfyUi);
        assert_eq!(found.settings.prompt.as_deref(), Some("yes"));
    }
    let both = serde_json::json!({"prompt": serde_json::from_str::<serde_json::Value>(graph).unwrap(), "workflow": {}});
    let block = exif(true, &[], &[(0x9286, 7, &unicode(&both.to_string()))]);
    let found = read(&webp(&[(b"EXIF", block)])).unwrap();
    assert_eq!(found.settings.negative_prompt.as_deref(), Some("no"));
}
