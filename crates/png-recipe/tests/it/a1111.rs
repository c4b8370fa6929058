//! A1111's form as the program and its forks write it.

use crate::support::{reading, settings};
use png_recipe::{Generator, Settings};

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
