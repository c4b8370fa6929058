//! Prompts: from a sampler through conditionings to the texts that were encoded.

use serde_json::Value;

use super::graph::{Graph, MAX_HOPS, Node, link};

/// Longest prompt, in bytes; parts may be joined over and over.
const MAX_PROMPT_BYTES: usize = 64 << 10;

/// Which of the two prompts is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Positive,
    Negative,
}

/// What a way through the graph leads to.
pub(super) enum Found {
    /// Nothing that has an effect: an empty text, a conditioning of zeros.
    Nothing,
    /// Texts that act together.
    Texts(Vec<String>),
    /// A node whose effect is not known, by its class.
    Unknown(String),
}

impl Found {
    pub(super) fn text(text: &str) -> Self {
        if text.trim().is_empty() {
            Self::Nothing
        } else if text.len() > MAX_PROMPT_BYTES {
            Self::Unknown(String::new())
        } else {
            Self::Texts(vec![text.to_owned()])
        }
    }

    /// All of them together; unknown as soon as one is.
    pub(super) fn merge(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::Nothing => {}
                Self::Texts(texts) => {
                    for text in texts {
                        if !all.contains(&text) {
                            all.push(text);
                        }
                    }
                }
                unknown @ Self::Unknown(_) => return unknown,
            }
        }
        if all.iter().map(String::len).sum::<usize>() > MAX_PROMPT_BYTES {
            Self::Unknown(String::new())
        } else if all.is_empty() {
            Self::Nothing
        } else {
            Self::Texts(all)
        }
    }
}

impl Graph {
    /// A prompt of a sampler.
    pub(super) fn prompt_of(&self, sampler: &Node, side: Side) -> Found {
        let names = match side {
            Side::Positive => ["positive", "conditioning", "text_embeds", "prompt"],
            Side::Negative => [
                "negative",
                "neg_conditioning",
                "text_embeds",
                "negative_prompt",
            ],
        };
        match names.iter().find_map(|name| self.held(sampler, name)) {
            Some(value) => self.prompt(value, side, MAX_HOPS),
            None if side == Side::Negative => Found::Nothing,
            None => Found::Unknown(sampler.class.clone()),
        }
    }

    /// The texts behind a value: a text itself, or a link to a text or a conditioning.
    pub(super) fn prompt(&self, value: &Value, side: Side, hops: usize) -> Found {
        match value {
            Value::String(text) => return Found::text(text),
            Value::Number(number) => return Found::text(&number.to_string()),
            _ => {}
        }
        let Some((node, output)) = self.follow(value) else {
            return Found::Unknown(String::new());
        };
        let unknown = || Found::Unknown(node.class.clone());
        let Some(hops) = hops.checked_sub(1) else {
            return unknown();
        };
        let class = node.class.to_ascii_lowercase();
        if class.replace([' ', '_'], "").contains("zeroout") {
            return Found::Nothing;
        }
        if let Some(found) = self.conditionings(node, &class, side, hops) {
            return found;
        }
        // What a style adds to the two prompts is not in the file.
        if class.contains("style") {
            return unknown();
        }
        if node.inputs.contains_key("positive") || node.inputs.contains_key("negative") {
            return self.of_both(node, &class, side, output, hops);
        }
        let name = if side == Side::Positive {
            "positive"
        } else {
            "negative"
        };
        match self.in_bundle(node, name) {
            Some(value) => self.prompt(value, side, hops),
            None => self.string(node, &class, side, hops),
        }
    }

    /// What a node makes of one or more conditionings; `None` where it takes none.
    fn conditionings(&self, node: &Node, class: &str, side: Side, hops: usize) -> Option<Found> {
        let named = |name: &str| name.starts_with("conditioning");
        let mut parts: Vec<(&String, &Value)> = node
            .inputs
            .iter()
            .filter(|(name, value)| named(name) && link(value).is_some())
            .collect();
        if parts.is_empty() {
            return None;
        }
        let number = |name: &str| node.inputs.get(name).and_then(Value::as_f64);
        if class.contains("timesteprange")
            && let (Some(start), Some(end)) = (number("start"), number("end"))
            && start >= end
        {
            return Some(Found::Nothing);
        }
        // An average is between the two; at its ends only one is left.
        match number("conditioning_to_strength") {
            Some(weight) if weight >= 1.0 => parts.retain(|(name, _)| *name != "conditioning_from"),
            Some(weight) if weight <= 0.0 => parts.retain(|(name, _)| *name != "conditioning_to"),
            _ => {}
        }
        parts.sort_by_key(|(name, _)| *name != "conditioning_to");
        let found = parts
            .into_iter()
            .map(|(_, value)| self.prompt(value, side, hops));
        Some(Found::merge(found))
    }

    /// What a node with both prompts gives out. One that takes two conditionings gives them out in this order; loaders
    /// and samplers give out other things before, and each of the two where it is asked for.
    fn of_both(&self, node: &Node, class: &str, side: Side, output: u64, hops: usize) -> Found {
        let (positive, negative) = (node.inputs.get("positive"), node.inputs.get("negative"));
        let linked = |value: Option<&Value>| value.and_then(link).is_some();
        let bundle = [
            "load",
            "sampler",
            "pipe",
            "context",
            "efficient",
            "scheduler",
        ];
        let in_order =
            linked(positive) && linked(negative) && !bundle.iter().any(|word| class.contains(word));
        let wanted = match output {
            0 if in_order => Side::Positive,
            1 if in_order => Side::Negative,
            _ => side,
        };
        let (own, name) = match wanted {
            Side::Positive => (positive, "positive"),
            Side::Negative => (negative, "negative"),
        };
        // A node that holds one text gives it to either side.
        let lone = [positive, negative]
            .into_iter()
            .flatten()
            .find(|v| v.is_string());
        let one = positive.is_none() || negative.is_none();
        let value = own
            .or_else(|| self.in_bundle(node, name))
            .or(lone.filter(|_| one));
        match value {
            Some(value) => self.prompt(value, side, hops),
            None if side == Side::Negative => Found::Nothing,
            None => Found::Unknown(node.class.clone()),
        }
    }
}
