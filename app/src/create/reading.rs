//! From the text in a picture to the form.

use png_recipe::{Field, Reading};
use protocol::{MAX_PROMPT_CHARS, MAX_SEED, ModelSummary, without_lora_tags};

use super::link::Settings;

/// Names of unused settings that are listed before the rest is only counted.
const LISTED: usize = 6;

/// Fills in what the form can take; gives the form and a sentence on what was read, what was not used, and what could not
/// be read.
pub fn apply(reading: Reading, form: &Settings, models: &[ModelSummary]) -> (Settings, String) {
    let no_prompt = reading.missing().contains(&Field::Prompt);
    let found = reading.settings;
    let mut form = form.clone();
    let (mut used, mut unused) = (Vec::new(), Vec::new());
    if let Some(name) = found.model {
        match models.iter().find(|m| is_named(m, &name)) {
            Some(model) => {
                if form.model != model.id {
                    form.steps = model.defaults.num_inference_steps.to_string();
                    form.guidance = model.defaults.guidance_scale.to_string();
                }
                form.model = model.id.clone();
                used.push("model");
            }
            None => unused.push(format!("the model {}, which is not here", short(&name))),
        }
    }
    let fits = |text: &String| text.chars().count() <= MAX_PROMPT_CHARS;
    match found.prompt {
        // Tags of LoRAs are no part of the text.
        Some(prompt) if fits(&without_lora_tags(&prompt)) => {
            form.prompt = prompt;
            // A file that names none was made without one.
            form.negative_prompt.clear();
            used.push("prompt");
        }
        Some(_) => unused.push(format!(
            "the prompt, which is longer than {MAX_PROMPT_CHARS} characters"
        )),
        None => {}
    }
    let chosen = models.iter().find(|m| m.id == form.model);
    match found.negative_prompt {
        Some(_) if chosen.is_some_and(|m| !m.negative_prompt) => {
            unused.push("the negative prompt, which this model does not take".to_owned());
        }
        Some(prompt) if fits(&prompt) => {
            form.negative_prompt = prompt;
            used.push("negative prompt");
        }
        Some(_) => unused.push("the negative prompt, which is too long".to_owned()),
        None => {}
    }
    match found.seed {
        Some(seed) if seed <= MAX_SEED => {
            form.seed = seed.to_string();
            form.random_seed = false;
            used.push("seed");
        }
        Some(seed) => unused.push(format!("the seed {seed}, which is too large")),
        None => {}
    }
    let limits = chosen.map(|m| &m.limits);
    match found.num_inference_steps {
        Some(n) if limits.is_none_or(|l| (l.min_steps..=l.max_steps).contains(&n)) => {
            form.steps = n.to_string();
            used.push("steps");
        }
        Some(n) => unused.push(format!(
            "{}, outside this model’s range",
            protocol::counted(n, "step")
        )),
        None => {}
    }
    match found.guidance_scale {
        Some(n) if limits.is_none_or(|l| (l.min_guidance..=l.max_guidance).contains(&n)) => {
            form.guidance = n.to_string();
            used.push("guidance");
        }
        Some(n) => unused.push(format!("the guidance {n}, outside this model’s range")),
        None => {}
    }
    if let (Some((width, height)), Some(model)) = (found.size, chosen) {
        form.width.clear();
        form.height.clear();
        if (width, height) == (model.width, model.height) {
            // What is left open comes to the same.
        } else if model.makes(width, height) {
            form.width = width.to_string();
            form.height = height.to_string();
            used.push("size");
        } else {
            unused.push(format!(
                "{width} × {height} pixels, which this model does not make"
            ));
        }
    }
    match (found.sampler, chosen) {
        (Some(name), Some(model)) if model.samplers.iter().any(|s| s.is(&name)) => {
            form.sampler = name;
            used.push("sampler");
        }
        (Some(name), _) => unused.push(format!("the sampler {}", short(&name))),
        (None, _) if used.contains(&"prompt") => form.sampler.clear(),
        (None, _) => {}
    }
    match (found.clip_skip, chosen) {
        (Some(skip), Some(model)) if (2..=model.max_clip_skip).contains(&skip) => {
            form.clip_skip = skip.to_string();
            used.push("clip skip");
        }
        (Some(skip), _) if skip > 1 => unused.push(format!("the clip skip {skip}")),
        _ if used.contains(&"prompt") => form.clip_skip.clear(),
        _ => {}
    }
    if used.contains(&"prompt") {
        form.weighted = found.weighted && chosen.is_some_and(|m| m.weighted_prompts);
    }
    unused.extend(reading.unused.iter().map(|name| short(name)));
    let mut sentence = sentence(reading.generator.name(), &used, &unused);
    if !reading.unread.is_empty() {
        let unread: Vec<String> = reading.unread.iter().map(ToString::to_string).collect();
        let unread: Vec<&str> = unread.iter().map(String::as_str).collect();
        sentence.push_str(&format!(" Not read: {}.", list(&unread)));
    }
    if no_prompt {
        sentence.push_str(" The file has no prompt.");
    }
    (form, sentence)
}

fn is_named(model: &ModelSummary, name: &str) -> bool {
    [&model.id, &model.name]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// Names come from files of strangers.
fn short(name: &str) -> String {
    let mut chars = name.chars();
    let start: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() {
        format!("{start}…")
    } else {
        start
    }
}

fn sentence(generator: &str, used: &[&str], unused: &[String]) -> String {
    let mut text = if used.is_empty() {
        format!("Written by {generator}; nothing in it fits this form.")
    } else {
        format!("Written by {generator}. Read: {}.", list(used))
    };
    if !unused.is_empty() {
        let mut names: Vec<&str> = unused.iter().take(LISTED).map(String::as_str).collect();
        let more = unused.len().saturating_sub(LISTED);
        let counted = format!("{more} more");
        if more > 0 {
            names.push(&counted);
        }
        text.push_str(&format!(" Not used: {}.", list(&names)));
    }
    text
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::create::link::tests::models;
    use png_recipe::Generator;

    fn form() -> Settings {
        Settings::from_query(&models(), |_| None)
    }

    fn reading(settings: png_recipe::Settings, unused: &[&str]) -> Reading {
        Reading {
            generator: Generator::ComfyUi,
            settings,
            unused: unused.iter().map(|s| (*s).to_owned()).collect(),
            unread: Vec::new(),
        }
    }

    #[test]
    fn everything_that_fits_is_filled_in() {
        let found = png_recipe::Settings {
            model: Some("Demo-Hub/Other".into()),
            prompt: Some("a cat".into()),
            negative_prompt: Some("dog".into()),
            seed: Some(7),
            num_inference_steps: Some(20),
            guidance_scale: Some(4.5),
            ..png_recipe::Settings::default()
        };
        let (form, sentence) = apply(reading(found, &["scheduler"]), &form(), &models());
        let (model, request) = form.request(&models(), 99).unwrap();
        assert_eq!(model.id, "demo-hub/other");
        assert_eq!(
            (request.prompt.as_str(), request.negative_prompt.as_deref()),
            ("a cat", Some("dog"))
        );
        assert_eq!((request.seed, request.num_inference_steps), (7, 20));
        assert_eq!(request.guidance_scale, 4.5);
        assert_eq!(
            sentence,
            "Written by ComfyUI. Read: model, prompt, negative prompt, seed, steps and guidance. Not used: scheduler."
        );
    }

    #[test]
    fn a_negative_prompt_is_left_out_where_the_model_takes_none() {
        let mut models = models();
        models[0].negative_prompt = false;
        let found = png_recipe::Settings {
            prompt: Some("a cat".into()),
            negative_prompt: Some("dog".into()),
            ..png_recipe::Settings::default()
        };
        let (form, sentence) = apply(reading(found, &[]), &form(), &models);
        assert_eq!(form.negative_prompt, "");
        assert_eq!(
            sentence,
            "Written by ComfyUI. Read: prompt. Not used: the negative prompt, which this model does not take."
        );
    }

    #[test]
    fn what_the_form_would_refuse_stays_out_and_is_said() {
        let mut before = form();
        before.negative_prompt = "old".into();
        let found = png_recipe::Settings {
            model: Some("sd_xl_base_1.0".into()),
            prompt: Some("a cat".into()),
            negative_prompt: None,
            seed: Some(MAX_SEED + 1),
            num_inference_steps: Some(51),
            guidance_scale: Some(0.5),
            ..png_recipe::Settings::default()
        };
        let (form, sentence) = apply(reading(found, &[]), &before, &models());
        assert_eq!(form.negative_prompt, "");
        assert!(form.random_seed);
        assert_eq!((form.steps.as_str(), form.guidance.as_str()), ("8", "3.5"));
        assert_eq!(
            sentence,
            "Written by ComfyUI. Read: prompt. Not used: the model sd_xl_base_1.0, which is not here, the seed \
             9007199254740992, which is too large, 51 steps, outside this model’s range and the guidance 0.5, outside \
             this model’s range."
        );
    }

    #[test]
    fn what_could_not_be_read_is_said() {
        let found = png_recipe::Settings {
            seed: Some(7),
            ..png_recipe::Settings::default()
        };
        let mut unreadable = reading(found.clone(), &[]);
        unreadable.unread.push(png_recipe::Unread {
            field: Field::Prompt,
            why: "which the node Styler makes".into(),
        });
        let mut before = form();
        before.prompt = "mine".into();
        let (form, sentence) = apply(unreadable, &before, &models());
        assert_eq!((form.prompt.as_str(), form.seed.as_str()), ("mine", "7"));
        assert_eq!(
            sentence,
            "Written by ComfyUI. Read: seed. Not read: the prompt, which the node Styler makes."
        );
        let (_, sentence) = apply(reading(found, &[]), &before, &models());
        assert_eq!(
            sentence,
            "Written by ComfyUI. Read: seed. The file has no prompt."
        );
    }

    #[test]
    fn long_lists_and_names_are_cut() {
        let found = png_recipe::Settings {
            prompt: Some("x".repeat(MAX_PROMPT_CHARS + 1)),
            ..Default::default()
        };
        let long = "n".repeat(50);
        let names = ["a", "b", "c", "d", "e", &long];
        let (form, sentence) = apply(reading(found, &names), &form(), &models());
        assert_eq!(form.prompt, "");
        assert_eq!(
            sentence,
            "Written by ComfyUI; nothing in it fits this form. Not used: the prompt, which is longer than 1000 \
             characters, a, b, c, d, e and 1 more."
        );
        assert_eq!(short(&long), format!("{}…", "n".repeat(40)));
    }
}
