//! LoRAs of a model, and how prompts choose them: `<lora:name:0.8>`, as AUTOMATIC1111's web UI has it.

use serde::{Deserialize, Serialize};

use crate::generation::RequestError;

/// Largest weight of a LoRA, and smallest below zero.
pub const MAX_LORA_WEIGHT: f32 = 10.0;
/// Longest name of a LoRA in characters.
pub const MAX_LORA_NAME_CHARS: usize = 100;

/// A LoRA that comes with a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelLora {
    /// The name that prompts call it by.
    pub name: String,
    /// Weight in pictures whose prompt does not name it; absent: it is in those alone whose prompt does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
    /// The hash by which AUTOMATIC1111's web UI knows its file, 12 hex digits.
    pub hash: String,
}

/// A LoRA of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsedLora {
    /// Its name.
    pub name: String,
    /// Its hash, see [`ModelLora::hash`].
    pub hash: String,
    /// What its part for the text encoders is multiplied by.
    pub text_weight: f32,
    /// What its part for the denoiser is multiplied by.
    pub weight: f32,
}

impl UsedLora {
    /// Whether it changes anything.
    pub fn acts(&self) -> bool {
        self.text_weight != 0.0 || self.weight != 0.0
    }

    /// How a prompt says it.
    pub fn tag(&self) -> String {
        let Self {
            name,
            text_weight,
            weight,
            ..
        } = self;
        if text_weight == weight {
            format!("<lora:{name}:{weight}>")
        } else {
            format!("<lora:{name}:{text_weight}:{weight}>")
        }
    }
}

/// Whether a prompt can call a LoRA so: one line without the signs of a tag and those by which lists of names are cut.
pub fn is_lora_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !matches!(c, '<' | '>' | ':' | ',' | '"' | '=');
    (1..=MAX_LORA_NAME_CHARS).contains(&name.chars().count())
        && name.trim() == name
        && name.chars().all(plain)
}

/// A prompt whose LoRAs are known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chosen {
    /// The prompt as it was written, and behind it the LoRAs that it does not name and that act nevertheless.
    pub prompt: String,
    /// The prompt without tags.
    pub text: String,
    pub loras: Vec<UsedLora>,
}

/// Reads the tags of a prompt.
///
/// # Errors
/// [`RequestError::UnknownLora`], [`RequestError::LoraTag`].
pub(crate) fn chosen(prompt: String, offered: &[ModelLora]) -> Result<Chosen, RequestError> {
    let mut named: Vec<UsedLora> = Vec::new();
    for tag in tags(&prompt) {
        let lora = read(tag, offered)?;
        if named.iter().any(|other| other.name == lora.name) {
            return Err(refused(tag, "this LoRA is named twice"));
        }
        named.push(lora);
    }
    let text = without_lora_tags(&prompt);
    let mut prompt = prompt;
    // In the order of the model's, so that the same LoRAs in another order are the same request.
    let mut loras = Vec::with_capacity(offered.len());
    for lora in offered {
        let written = named.iter().find(|used| used.name == lora.name);
        let used = match (written, lora.weight) {
            (Some(used), _) => used.clone(),
            (None, Some(weight)) => {
                let used = UsedLora {
                    name: lora.name.clone(),
                    hash: lora.hash.clone(),
                    text_weight: weight,
                    weight,
                };
                prompt.push(' ');
                prompt.push_str(&used.tag());
                used
            }
            (None, None) => continue,
        };
        loras.push(used);
    }
    Ok(Chosen {
        prompt,
        text,
        loras,
    })
}

/// The text of a prompt. A space before a tag goes with it where white space or nothing follows.
pub fn without_lora_tags(prompt: &str) -> String {
    let mut text = String::with_capacity(prompt.len());
    let mut rest = prompt;
    while let Some((before, _, after)) = first(rest) {
        let ends = after.chars().next().is_none_or(char::is_whitespace);
        text.push_str(before.strip_suffix(' ').filter(|_| ends).unwrap_or(before));
        rest = after;
    }
    text.push_str(rest);
    text
}

fn tags(prompt: &str) -> impl Iterator<Item = &str> {
    let mut rest = prompt;
    std::iter::from_fn(move || {
        let (_, tag, after) = first(rest)?;
        rest = after;
        Some(tag)
    })
}

/// What a prompt multiplies the denoiser's part of a LoRA by, as far as that is a number; nothing where it does not name it.
pub fn lora_weight(prompt: &str, name: &str) -> Option<f32> {
    let tag = tags(prompt).find(|tag| name_in(tag) == name)?;
    let offered = ModelLora {
        name: name.to_owned(),
        weight: None,
        hash: String::new(),
    };
    let used = read(tag, &[offered]).ok()?;
    Some(used.weight)
}

/// The prompt with another weight for a LoRA: its tag changed or put at the end, or taken out.
pub fn with_lora_weight(prompt: &str, name: &str, weight: Option<f32>) -> String {
    let new = weight.map(|weight| format!("<lora:{name}:{weight}>"));
    let (mut made, mut rest, mut put) = (String::new(), prompt, false);
    while let Some((before, tag, after)) = first(rest) {
        made.push_str(before);
        match &new {
            _ if name_in(tag) != name => made.push_str(tag),
            Some(new) if !put => {
                made.push_str(new);
                put = true;
            }
            _ => made.truncate(made.strip_suffix(' ').map_or(made.len(), str::len)),
        }
        rest = after;
    }
    made.push_str(rest);
    if let Some(new) = new.filter(|_| !put) {
        let space = !made.is_empty() && !made.ends_with(char::is_whitespace);
        made.push_str(if space { " " } else { "" });
        made.push_str(&new);
    }
    made
}

fn name_in(tag: &str) -> &str {
    let inner = tag.trim_start_matches('<').trim_end_matches('>');
    inner.split(':').nth(1).unwrap_or_default()
}

/// What stands before the first tag, the tag, and what stands behind it.
fn first(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("<lora:")?;
    let (before, tag) = text.split_at(start);
    let (tag, after) = tag.split_at(tag.find('>')? + 1);
    Some((before, tag, after))
}

/// Reads `<lora:name:text:denoiser>`, whose numbers may be left out or named as `te` and `unet`.
fn read(tag: &str, offered: &[ModelLora]) -> Result<UsedLora, RequestError> {
    let inner = tag.trim_start_matches('<').trim_end_matches('>');
    let mut parts = inner.split(':').skip(1);
    let name = parts.next().unwrap_or_default();
    let Some(known) = offered.iter().find(|lora| lora.name == name) else {
        let names: Vec<&str> = offered.iter().map(|lora| &*lora.name).collect();
        return Err(RequestError::UnknownLora {
            name: clip(name),
            offered: if names.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", names.join(", "))
            },
        });
    };
    let number = |text: &str| {
        let number = text.trim().parse::<f32>().ok().filter(|x| x.is_finite());
        let number = number.ok_or_else(|| refused(tag, "a weight is no number"))?;
        if number.abs() > MAX_LORA_WEIGHT {
            let problem = format!("weights are from -{MAX_LORA_WEIGHT} to {MAX_LORA_WEIGHT}");
            return Err(refused(tag, &problem));
        }
        Ok(number)
    };
    let (mut text, mut denoiser) = (None, None);
    for part in parts {
        let slot = match part.split_once('=') {
            Some((key, value)) => match key.trim() {
                "te" => (&mut text, value),
                "unet" => (&mut denoiser, value),
                _ => return Err(refused(tag, "of its settings, te and unet are known")),
            },
            None if text.is_none() => (&mut text, part),
            None => (&mut denoiser, part),
        };
        if slot.0.replace(number(slot.1)?).is_some() {
            return Err(refused(tag, "it has more weights than two"));
        }
    }
    let text_weight = text.unwrap_or(1.0);
    Ok(UsedLora {
        name: name.to_owned(),
        hash: known.hash.clone(),
        text_weight,
        weight: denoiser.unwrap_or(text_weight),
    })
}

fn refused(tag: &str, problem: &str) -> RequestError {
    RequestError::LoraTag {
        tag: clip(tag),
        problem: problem.to_owned(),
    }
}

fn clip(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn offered() -> Vec<ModelLora> {
        let lora = |name: &str, weight| ModelLora {
            name: name.to_owned(),
            weight,
            hash: "0a1b2c3d4e5f".to_owned(),
        };
        vec![
            lora("ink wash", None),
            lora("soft", Some(0.5)),
            lora("third", None),
        ]
    }

    fn taken(prompt: &str) -> (String, Vec<(String, f32, f32)>) {
        let found = chosen(prompt.to_owned(), &offered()).unwrap();
        let lora = |used: UsedLora| (used.name, used.text_weight, used.weight);
        (found.text, found.loras.into_iter().map(lora).collect())
    }

    /// `ExtraNetworkLora.activate` of the web UI: the first number is the text encoder's and, alone, that of both.
    #[test]
    fn tags_are_read_as_the_web_ui_reads_them() {
        let soft = |weight| ("soft".to_owned(), weight, weight);
        let ink = |text, unet| ("ink wash".to_owned(), text, unet);
        for (prompt, text, loras) in [
            ("a cat", "a cat", vec![soft(0.5)]),
            (
                "a <lora:ink wash:0.8> cat",
                "a cat",
                vec![ink(0.8, 0.8), soft(0.5)],
            ),
            (
                "a cat <lora:ink wash>",
                "a cat",
                vec![ink(1.0, 1.0), soft(0.5)],
            ),
            ("a cat<lora:soft:0>", "a cat", vec![soft(0.0)]),
            ("<lora:soft:-1>, a cat", ", a cat", vec![soft(-1.0)]),
            (
                "x <lora:ink wash:0.5:0.25>",
                "x",
                vec![ink(0.5, 0.25), soft(0.5)],
            ),
            (
                "x <lora:ink wash:unet=2>",
                "x",
                vec![ink(1.0, 2.0), soft(0.5)],
            ),
            (
                "x <lora:ink wash:unet=2:te=0>",
                "x",
                vec![ink(0.0, 2.0), soft(0.5)],
            ),
            ("a <lora:ink wash", "a <lora:ink wash", vec![soft(0.5)]),
            ("a <b> <loraX:c>", "a <b> <loraX:c>", vec![soft(0.5)]),
            (
                "<lora:soft:1> x <lora:ink wash:2>",
                " x",
                vec![ink(2.0, 2.0), soft(1.0)],
            ),
        ] {
            assert_eq!(taken(prompt), (text.to_owned(), loras), "{prompt}");
        }
    }

    /// What is kept of a request says all, and read again it is the same.
    #[test]
    fn a_prompt_that_was_read_is_read_again() {
        for prompt in [
            "a cat",
            "a cat  ",
            "<lora:soft:0.25>",
            "a\n<lora:ink wash:0.1:0.7>",
            "x <lora:soft:1e-3> y",
        ] {
            let once = chosen(prompt.to_owned(), &offered()).unwrap();
            let mut other = offered();
            other[1].weight = None;
            let again = chosen(once.prompt.clone(), &other).unwrap();
            assert_eq!(again, once, "{prompt}");
        }
    }

    #[test]
    fn what_is_no_lora_of_the_model_is_refused_with_those_that_are() {
        let error = |prompt: &str| chosen(prompt.to_owned(), &offered()).unwrap_err();
        let unknown = error("a cat <lora:Soft:1>");
        assert!(matches!(unknown, RequestError::UnknownLora { .. }));
        let said = unknown.to_string();
        assert!(
            said.contains("\"Soft\"") && said.contains("ink wash, soft, third"),
            "{said}"
        );
        for bad in [
            "<lora:soft:x>",
            "<lora:soft:inf>",
            "<lora:soft:nan>",
            "<lora:soft:11>",
            "<lora:soft:1:1:1>",
            "<lora:soft:1:te=1>",
            "<lora:soft:dyn=4>",
            "<lora:soft:1><lora:soft:1>",
            "<lora:soft:>",
        ] {
            assert!(matches!(error(bad), RequestError::LoraTag { .. }), "{bad}");
        }
        let none = chosen("<lora:soft:1>".to_owned(), &[])
            .unwrap_err()
            .to_string();
        assert!(none.contains("it has none"), "{none}");
    }

    #[test]
    fn a_weight_is_changed_where_it_stands() {
        for (before, weight, after) in [
            ("a cat", Some(0.8), "a cat <lora:ink:0.8>"),
            ("", Some(1.0), "<lora:ink:1>"),
            ("a <lora:ink:0.5> cat", Some(0.25), "a <lora:ink:0.25> cat"),
            ("a <lora:ink> cat", None, "a cat"),
            ("a <lora:ink:1><lora:other:1>", None, "a<lora:other:1>"),
            ("<lora:ink:1> x <lora:ink:2>", Some(3.0), "<lora:ink:3> x"),
            ("a cat", None, "a cat"),
        ] {
            let made = with_lora_weight(before, "ink", weight);
            assert_eq!(made, after, "{before}");
            assert_eq!(lora_weight(&made, "ink"), weight, "{before}");
        }
        assert_eq!(lora_weight("<lora:ink:0.5:2>", "ink"), Some(2.0));
        assert_eq!(lora_weight("<lora:ink:x>", "ink"), None);
    }

    #[test]
    fn names_can_stand_in_a_tag() {
        for name in ["soft", "ink wash", "add_detail-v1.2", "水彩"] {
            assert!(is_lora_name(name), "{name}");
        }
        let long = "x".repeat(MAX_LORA_NAME_CHARS + 1);
        for name in [
            "", " a", "a:b", "a>b", "a<b", "a,b", "a\"b", "a\nb", "a=b", &long,
        ] {
            assert!(!is_lora_name(name), "{name}");
        }
    }
}
