//! The form of AUTOMATIC1111's web UI: prompt, a line `Negative prompt:`, and a line of `name: value` pairs.
//!
//! Source: `parse_generation_parameters` in `modules/infotext_utils.py` of AUTOMATIC1111/stable-diffusion-webui. That
//! takes the last line for settings wherever it has three pairs of any name; here the names count, and lines that
//! extensions append are passed over.

mod names;
mod pairs;
mod write;

pub use write::write;

use crate::source::{Source, looks_like_json};
use crate::texts::{COMMENT, IMAGE_DESCRIPTION, USER_COMMENT};
use crate::{Generator, PARAMETERS_KEYWORD, ReadError, Reading, Settings};
use pairs::Pair;

const NEGATIVE: &str = "Negative prompt:";
/// Value of `Version` in what [`write`] makes.
const VERSION: &str = "Demo Hub";
/// Names of lines that sd-dynamic-prompts put behind the settings until its version 2.16.
const TEMPLATES: [&str; 2] = ["Template", "Negative Template"];

/// Reads a text; one without settings is all prompt.
pub fn read(text: &str) -> Reading {
    Infotext::parse(text).reading()
}

/// A text under `parameters` is of this form whatever it holds, unless it is JSON. Comments are where anybody writes
/// anything: one counts only with settings or a negative prompt.
pub(crate) fn read_source(source: &Source) -> Option<Result<Reading, ReadError>> {
    let text = |keyword: &str| {
        source
            .texts
            .get(keyword)
            .filter(|text| !looks_like_json(text))
    };
    if let Some(text) = text(PARAMETERS_KEYWORD) {
        return Some(Ok(read(text)));
    }
    [USER_COMMENT, IMAGE_DESCRIPTION, COMMENT]
        .into_iter()
        .filter_map(text)
        .map(Infotext::parse)
        .find(|info| info.has_settings() || info.negative_prompt.is_some())
        .map(|info| Ok(info.reading()))
}

/// A text in its parts.
pub(crate) struct Infotext {
    pub(crate) prompt: Option<String>,
    pub(crate) negative_prompt: Option<String>,
    pairs: Vec<Pair>,
    /// Names of what follows the settings.
    behind: Vec<String>,
}

impl Infotext {
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{FEFF}');
        let (head, tail) = text.split_at(settings(text).unwrap_or(text.len()));
        let (pairs, rest) = pairs::line(tail);
        let mut info = Self {
            prompt: None,
            negative_prompt: None,
            pairs,
            behind: Vec::new(),
        };
        info.prompts(head);
        info.go_on(rest);
        info
    }

    /// Whether it has a line of settings.
    pub(crate) fn has_settings(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// The value of a name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|pair| pair.name == name)?;
        Some(&pair.value)
    }

    /// Takes the value of a name out.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.pairs.iter().position(|pair| pair.name == name)?;
        Some(self.pairs.remove(index).value)
    }

    /// Prompt and negative prompt, line by line. Templates between them and the settings are neither.
    fn prompts(&mut self, head: &str) {
        let mut parts = [Vec::new(), Vec::new()];
        let mut current = 0;
        let mut in_template = false;
        for line in head.lines() {
            let mut line = line.trim();
            if let Some(rest) = line.strip_prefix(NEGATIVE) {
                current = 1;
                in_template = false;
                line = rest.trim();
            } else if let Some(name) = template(line).filter(|_| self.has_settings()) {
                in_template = true;
                self.behind.push(name.to_owned());
            }
            if !in_template {
                parts[current].push(line);
            }
        }
        [self.prompt, self.negative_prompt] = parts.map(|lines| {
            let text = lines.join("\n").trim().to_owned();
            (!text.is_empty()).then_some(text)
        });
    }

    /// Lines behind the settings: templates, and what an extension's value with a line break leaves over.
    fn go_on(&mut self, mut rest: &str) {
        let mut in_template = false;
        while !rest.is_empty() {
            let (line, next) = rest.split_once('\n').unwrap_or((rest, ""));
            if let Some(name) = template(line) {
                in_template = true;
                self.behind.push(name.to_owned());
            } else if !in_template && !line.trim().is_empty() {
                let (pairs, after) = pairs::line(rest);
                if names::count(&pairs).0 >= 2 {
                    // A value with a line break in it cut the settings in two.
                    self.pairs.extend(pairs);
                    rest = after;
                    continue;
                }
                let name = pairs.first().map_or("more lines", |pair| &pair.name);
                self.behind.push(name.to_owned());
            }
            rest = next;
        }
    }

    pub(crate) fn reading(self) -> Reading {
        let mut settings = Settings {
            prompt: self.prompt,
            negative_prompt: self.negative_prompt,
            ..Settings::default()
        };
        let mut generator = Generator::A1111;
        let mut unused = Vec::new();
        for Pair { name, value } in self.pairs {
            // Where a name stands twice, the first is the program's own.
            let used = match name.to_ascii_lowercase().as_str() {
                "steps" => set(&mut settings.num_inference_steps, value.parse().ok()),
                "seed" => set(&mut settings.seed, value.parse().ok()),
                "cfg scale" | "guidance scale" => {
                    let scale = value.parse().ok().filter(|scale: &f32| scale.is_finite());
                    set(&mut settings.guidance_scale, scale)
                }
                "model" => set(&mut settings.model, (!value.is_empty()).then_some(value)),
                "version" | "app" => {
                    generator = of_version(&value).unwrap_or(generator);
                    true
                }
                _ => false,
            };
            if !used {
                unused.push(name);
            }
        }
        unused.extend(self.behind);
        Reading::new(generator, settings, unused)
    }
}

fn of_version(version: &str) -> Option<Generator> {
    let forge = |version: &str| {
        let digit = |c: char| c.is_ascii_digit();
        version
            .strip_prefix('f')
            .is_some_and(|v| v.starts_with(digit))
            && version.contains('v')
    };
    match version {
        VERSION => Some(Generator::DemoHub),
        "SD.Next" => Some(Generator::SdNext),
        v if v.starts_with("Fooocus") => Some(Generator::Fooocus),
        v if v.starts_with("ComfyUI") => Some(Generator::ComfyUi),
        v if forge(v) || v.eq_ignore_ascii_case("forge") => Some(Generator::Forge),
        _ => None,
    }
}

fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let takes = field.is_none() && value.is_some();
    if takes {
        *field = value;
    }
    takes
}

/// Where the line of settings begins: the last one with enough known names, or the one before a template.
fn settings(text: &str) -> Option<usize> {
    let mut found = None;
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if is_settings(line) {
            found = Some(at);
            if lines.peek().is_some_and(|next| template(next).is_some()) {
                break;
            }
        }
        at += line.len();
    }
    found
}

fn is_settings(line: &str) -> bool {
    let (pairs, _) = pairs::line(line);
    let Some(first) = pairs.first() else {
        return false;
    };
    // All that there is of a picture that was only enlarged.
    let enlarged = line.trim_start().starts_with("Postprocess ");
    let (known, fitting) = names::count(&pairs);
    enlarged || (fitting >= 2 && (known >= 3 || first.name == "Steps"))
}

/// The name of a template's first line.
fn template(line: &str) -> Option<&'static str> {
    TEMPLATES.into_iter().find(|name| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(':'))
    })
}
