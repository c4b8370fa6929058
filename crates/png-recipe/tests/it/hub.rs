//! This hub's own files.

use crate::support::{itxt, png, settings, text};
use png_recipe::{Generator, read};

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

    let recipe = r#"{"request": {"model": "a/b", "prompt": "(p:1.2)", "width": 96, "height": 64, "sampler": "Euler a",
        "prompt_syntax": "a1111", "clip_skip": 2, "variation_seed": 7}}"#;
    let found = read(&png(&[itxt("demo-hub", recipe.as_bytes(), false)])).unwrap();
    let chosen = found.settings;
    assert_eq!((chosen.size, chosen.weighted), (Some((96, 64)), true));
    assert_eq!(chosen.sampler.as_deref(), Some("Euler a"));
    assert_eq!(chosen.clip_skip, Some(2));
    assert_eq!(found.unused, ["variation_seed"]);

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
