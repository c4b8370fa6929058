//! The command line of version 1: `"prompt" -s 50 -S 1234 -W 512 -H 512 -C 7.5 -A k_lms`; the first files have no space
//! between an option and its value.

use super::split;
use crate::{Generator, Reading, Settings};

/// Options that matter, in their long forms too.
const STEPS: [&str; 2] = ["-s", "--steps"];
const SEED: [&str; 2] = ["-S", "--seed"];
const GUIDANCE: [&str; 2] = ["-C", "--cfg_scale"];

pub(super) fn read(line: &str) -> Result<Reading, String> {
    let (combined, arguments) = line
        .trim()
        .strip_prefix('"')
        .and_then(|rest| rest.rsplit_once('"'))
        .ok_or("its prompt is not in quotes")?;
    let (prompt, negative_prompt) = split(combined);
    let mut settings = Settings {
        prompt,
        negative_prompt,
        ..Settings::default()
    };
    let mut unused = Vec::new();
    let words: Vec<&str> = arguments.split_whitespace().collect();
    for (i, word) in words.iter().enumerate() {
        let Some((option, glued)) = option(word) else {
            continue;
        };
        let value = glued.or(words.get(i + 1).copied()).unwrap_or_default();
        let used = if STEPS.contains(&option) {
            let steps = value.parse().ok();
            settings.num_inference_steps = settings.num_inference_steps.or(steps);
            steps.is_some()
        } else if SEED.contains(&option) {
            let seed = value.parse().ok();
            settings.seed = settings.seed.or(seed);
            seed.is_some()
        } else if GUIDANCE.contains(&option) {
            let scale = value.parse().ok().filter(|scale: &f32| scale.is_finite());
            settings.guidance_scale = settings.guidance_scale.or(scale);
            scale.is_some()
        } else {
            false
        };
        if !used {
            unused.push(option.to_owned());
        }
    }
    Ok(Reading::new(Generator::InvokeAi, settings, unused))
}

/// An option and the value that hangs on it: `-s50`, `--steps=50`.
fn option(word: &str) -> Option<(&str, Option<&str>)> {
    if word.starts_with("--") {
        return Some(match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        });
    }
    let letters = word.strip_prefix('-')?;
    let first = letters.chars().next().filter(char::is_ascii_alphabetic)?;
    let (_, rest) = letters.split_at_checked(first.len_utf8())?;
    // `-cf 0.75` has two letters; a value is a number.
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        Some((&word[..2], Some(rest)))
    } else {
        Some((word, None))
    }
}
