//! NovelAI.

use crate::support::{app1, exif, jpeg, png, settings, text, unicode};
use png_recipe::{Generator, ReadError, read};

fn file(comment: &str, source: &str) -> Vec<u8> {
    png(&[
        text("Title", b"AI generated image"),
        text("Description", b"a cat, space"),
        text("Software", b"NovelAI"),
        text("Source", source.as_bytes()),
        text("Comment", comment.as_bytes()),
    ])
}

/// As a file of 2022 in `tests/resources` of d3x-at/sd-parsers has it, shortened.
const FIRST: &str = r#"{"steps": 50, "sampler": "k_euler_ancestral", "seed": 2253955223, "strength": 0.4, "noise": 0.0,
 "scale": 10.0, "uc": "lowres, text"}"#;

#[test]
fn the_first_form_and_the_fourth() {
    let found = read(&file(FIRST, "Stable Diffusion 1D44365E")).unwrap();
    assert_eq!(found.generator, Generator::NovelAi);
    let expected = settings(
        "Stable Diffusion",
        "a cat, space",
        "lowres, text",
        2_253_955_223,
        50,
        10.0,
    );
    assert_eq!(found.settings, expected);
    assert_eq!(found.unused, ["noise", "sampler", "strength"]);

    let fourth = r#"{"prompt": "2 cats, space", "steps": 28, "height": 1216, "width": 832, "scale": 5.5, "uncond_scale": 0.0,
        "seed": 7, "n_samples": 1, "sampler": "k_euler", "uc": "old", "request_type": "PromptGenerateRequest",
        "v4_prompt": {"caption": {"base_caption": "2 cats, space", "char_captions": [{"char_caption": "black cat",
        "centers": [{"x": 0.5, "y": 0.5}]}]}, "use_coords": true}, "v4_negative_prompt": {"caption": {"base_caption": "text",
        "char_captions": [{"char_caption": "", "centers": []}]}}, "signed_hash": "x"}"#;
    let found = read(&file(fourth, "NovelAI Diffusion V4 7ABFFA2A")).unwrap();
    assert_eq!(
        found.settings,
        settings("NovelAI Diffusion V4", "2 cats, space", "text", 7, 28, 5.5)
    );
    assert!(
        found.unused.contains(&"prompts of characters".to_owned()),
        "{found:?}"
    );
    assert!(
        !found
            .unused
            .contains(&"negative prompts of characters".to_owned())
    );
}

#[test]
fn one_object_in_a_comment() {
    let whole = serde_json::json!({"Software": "NovelAI", "Description": "a cat, space", "Source": "Stable Diffusion XL 7BCCAA2C", "Comment": FIRST});
    let block = exif(false, &[], &[(0x9286, 7, &unicode(&whole.to_string()))]);
    let found = read(&jpeg(&[app1(&block)])).unwrap();
    assert_eq!(found.generator, Generator::NovelAi);
    assert_eq!(found.settings.prompt.as_deref(), Some("a cat, space"));
    assert_eq!(found.settings.seed, Some(2_253_955_223));
}

#[test]
fn damage_is_said_and_others_comments_are_not_its_own() {
    let error = read(&file("{\"steps\": 50,", "x")).unwrap_err();
    let ReadError::Unreadable { generator, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(generator, Generator::NovelAi);
    for texts in [
        vec![text("Comment", b"Created with GIMP")],
        vec![
            text("Description", b"a boat --ar 16:9 --v 5 Job ID: 1"),
            text("Author", b"x"),
        ],
        vec![text("Software", b"NovelAI"), text("Description", b"a boat")],
    ] {
        assert_eq!(read(&png(&texts)), Err(ReadError::NoRecipe));
    }
}
