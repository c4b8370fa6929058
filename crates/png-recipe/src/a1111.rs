//! The form of AUTOMATIC1111's web UI: prompt, a line `Negative prompt:`, and a line of `name: value` pairs.
//!
//! Source: `parse_generation_parameters` in `modules/infotext_utils.py` of AUTOMATIC1111/stable-diffusion-webui.

use std::fmt::Write as _;

use protocol::Recipe;

use crate::{Generator, Reading, Settings};

const NEGATIVE: &str = "Negative prompt:";
/// A last line with fewer pairs belongs to the prompt.
const FEWEST_PAIRS: usize = 3;
/// Value of `Version` in what [`write`] makes.
const VERSION: &str = "Demo Hub";

/// The text of a recipe, for a picture of `width` × `height` pixels.
pub fn write(recipe: &Recipe, width: u32, height: u32) -> String {
    let request = &recipe.request;
    let mut text = request.prompt.clone();
    if !request.negative_prompt.is_empty() {
        text.push('\n');
        text.push_str(NEGATIVE);
        text.push(' ');
        text.push_str(&request.negative_prompt);
    }
    text.push('\n');
    let mut settings: Vec<(&str, String)> = Vec::new();
    if let Some(steps) = request.num_inference_steps {
        settings.push(("Steps", steps.to_string()));
    }
    if !recipe.scheduler.is_empty() {
        settings.push(("Sampler", sampler(&recipe.scheduler).to_owned()));
    }
    if let Some(scale) = request.guidance_scale {
        settings.push(("CFG scale", scale.to_string()));
    }
    if let Some(seed) = request.seed {
        settings.push(("Seed", seed.to_string()));
    }
    settings.push(("Size", format!("{width}x{height}")));
    if !recipe.weights_digest.is_empty() {
        let digest = recipe.weights_digest.chars().take(10).collect();
        settings.push(("Model hash", digest));
    }
    settings.push(("Model", quoted(&request.model)));
    settings.push(("Version", VERSION.to_owned()));
    for (i, (name, value)) in settings.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}: {value}");
    }
    // NUL would end a PNG text early.
    text.replace('\0', " ")
}

/// A scheduler's name among A1111's samplers (`modules/sd_samplers_*.py`); one that has none there keeps its own.
fn sampler(scheduler: &str) -> &str {
    match scheduler {
        "flow-match-euler" | "euler-discrete" => "Euler",
        "ddim" => "DDIM",
        other => other,
    }
}

/// A1111 writes values that hold its separators as JSON strings.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n']) {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    }
}

/// Reads a text; one without settings is all prompt.
pub fn read(text: &str) -> Reading {
    let text = text.trim();
    let (head, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let mut pairs = pairs(last);
    let head = if pairs.len() < FEWEST_PAIRS {
        pairs.clear();
        text
    } else {
        head
    };
    let (prompt, negative_prompt) = prompts(head);
    let mut settings = Settings {
        prompt,
        negative_prompt,
        ..Settings::default()
    };
    let mut generator = Generator::A1111;
    let mut unused = Vec::new();
    for (name, value) in pairs {
        let used = match name.as_str() {
            "Steps" => set(&mut settings.num_inference_steps, value.parse().ok()),
            "Seed" => set(&mut settings.seed, value.parse().ok()),
            "CFG scale" => {
                let scale = value.parse().ok().filter(|scale: &f32| scale.is_finite());
                set(&mut settings.guidance_scale, scale)
            }
            "Model" => set(&mut settings.model, (!value.is_empty()).then_some(value)),
            "Version" => {
                if value == VERSION {
                    generator = Generator::DemoHub;
                }
                true
            }
            _ => false,
        };
        if !used {
            unused.push(name);
        }
    }
    Reading {
        generator,
        settings,
        unused,
    }
}

fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let some = value.is_some();
    if some {
        *field = value;
    }
    some
}

/// Prompt and negative prompt, line by line.
fn prompts(head: &str) -> (Option<String>, Option<String>) {
    let mut parts = [Vec::new(), Vec::new()];
    let mut current = 0;
    for line in head.lines() {
        let mut line = line.trim();
        if let Some(rest) = line.strip_prefix(NEGATIVE) {
            current = 1;
            line = rest.trim();
        }
        parts[current].push(line);
    }
    let [prompt, negative] = parts.map(|lines| lines.join("\n").trim().to_owned());
    let some = |text: String| (!text.is_empty()).then_some(text);
    (some(prompt), some(negative))
}

/// `name: value` pairs, separated by commas; a value may be a JSON string.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(':') {
        let name = name(before);
        let after = after.trim_start();
        let (value, next) = json_string(after).unwrap_or_else(|| {
            let (value, next) = after.split_once(',').unwrap_or((after, ""));
            (value.trim().to_owned(), next)
        });
        if let Some(name) = name {
            out.push((name.to_owned(), value));
        }
        rest = next;
    }
    out
}

/// The last run of letters, digits, `_`, space, `-` and `/`, from its first letter or digit; two characters at least.
fn name(before: &str) -> Option<&str> {
    let of_name = |c: char| c.is_alphanumeric() || "_ -/".contains(c);
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| of_name(*c))
        .last()?
        .0;
    let name = before[start..].trim_start_matches([' ', '-', '/']);
    (name.chars().count() >= 2).then_some(name)
}

/// A JSON string that ends at a comma or at the end, and what follows the comma.
fn json_string(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let value = serde_json::from_str(&text[..end + 2]).ok()?;
    let next = inside[end + 1..].trim_start();
    match next.strip_prefix(',') {
        Some(next) => Some((value, next)),
        None => next.is_empty().then_some((value, next)),
    }
}
