//! Seeds, steps, guidance and the model's name, through links.

use serde_json::Value;

use super::graph::{Graph, Node, link};
use super::prompts::{Found, Side};

/// Where a number is looked for.
pub(super) struct Want {
    /// Inputs of a sampler that have it or lead to it.
    pub(super) starts: &'static [&'static str],
    /// Inputs of other nodes that have it.
    keys: &'static [&'static str],
    /// Inputs of other nodes that lead to it, before [`keys`](Self::keys).
    through: &'static [&'static str],
}

pub(super) const SEED: Want = Want {
    starts: &["seed", "noise_seed", "noise"],
    keys: &["seed", "noise_seed", "seed_value"],
    through: &["noise"],
};
pub(super) const STEPS: Want = Want {
    starts: &["steps", "sigmas"],
    keys: &["steps", "steps_total"],
    through: &["sigmas"],
};
pub(super) const GUIDANCE: Want = Want {
    starts: &["cfg", "cfg_scale"],
    keys: &["cfg", "cfg_scale"],
    through: &[],
};

/// Inputs of nodes that hold a number and nothing else.
const NUMBERS: [&str; 8] = [
    "value", "int", "float", "number", "Number", "Value", "INT", "FLOAT",
];
/// Inputs that name a model's file.
pub(super) const MODELS: [&str; 7] = [
    "ckpt_name",
    "unet_name",
    "base_ckpt_name",
    "model_name",
    "gguf_name",
    "model_path",
    "checkpoint",
];

impl Graph {
    /// A number behind a value; else the class of the node where the way ends.
    pub(super) fn number<'a>(
        &'a self,
        value: &'a Value,
        want: &Want,
        hops: usize,
    ) -> Result<&'a Value, String> {
        let text_is_number = |text: &str| text.trim().parse::<f64>().is_ok();
        if value.is_number() || value.as_str().is_some_and(text_is_number) {
            return Ok(value);
        }
        let (node, _) = self.follow(value).ok_or("")?;
        let hops = hops.checked_sub(1).ok_or_else(|| node.class.clone())?;
        let linked = |name: &&str| node.inputs.get(*name).filter(|v| link(v).is_some());
        let held = |name: &&str| node.inputs.get(*name);
        let next = want
            .through
            .iter()
            .find_map(linked)
            .or_else(|| want.keys.iter().find_map(held))
            .or_else(|| NUMBERS.iter().find_map(held).filter(|_| !node.has_links()))
            .or_else(|| node.only_link().filter(|_| node.hands_on()))
            .or_else(|| want.keys.iter().find_map(|name| self.in_bundle(node, name)));
        self.number(next.ok_or_else(|| node.class.clone())?, want, hops)
    }

    /// The name of a model's file behind a value; else the class of the node where the way ends.
    pub(super) fn model(&self, value: &Value, hops: usize) -> Result<String, String> {
        match value {
            Value::String(name) if !name.trim().is_empty() => return Ok(name.clone()),
            // With a preview picture, as a menu of pysssss has it.
            Value::Object(choice) => {
                let name = choice.get("content").and_then(Value::as_str);
                return name.map(str::to_owned).ok_or_else(String::new);
            }
            _ => {}
        }
        let (node, _) = self.follow(value).ok_or("")?;
        let unknown = || node.class.clone();
        let hops = hops.checked_sub(1).ok_or_else(unknown)?;
        if node.class.to_ascii_lowercase().contains("merge") {
            return Err(unknown());
        }
        if let Some(model) = node
            .inputs
            .get("model")
            .filter(|v| v.is_string() || link(v).is_some())
        {
            return self.model(model, hops);
        }
        let named = MODELS.iter().find_map(|name| node.inputs.get(*name));
        match named {
            Some(name) if link(name).is_some() => match self.prompt(name, Side::Positive, hops) {
                Found::Texts(texts) if texts.len() == 1 => Ok(texts.concat()),
                _ => Err(unknown()),
            },
            Some(name) => self.model(name, hops),
            None => {
                let bundled = self.in_bundle(node, "model");
                let next = bundled.or_else(|| node.only_link().filter(|_| node.hands_on()));
                self.model(next.ok_or_else(unknown)?, hops)
            }
        }
    }
}

impl Node {
    pub(super) fn has_links(&self) -> bool {
        self.inputs.values().any(|value| link(value).is_some())
    }

    /// The link of a node that has one.
    pub(super) fn only_link(&self) -> Option<&Value> {
        let mut links = self.inputs.values().filter(|value| link(value).is_some());
        links.next().filter(|_| links.next().is_none())
    }

    /// Whether it gives out what it takes in.
    pub(super) fn hands_on(&self) -> bool {
        let class = self.class.to_ascii_lowercase();
        [
            "reroute",
            "showtext",
            "show text",
            "showany",
            "display",
            "preview",
        ]
        .iter()
        .any(|word| class.contains(word))
    }
}
