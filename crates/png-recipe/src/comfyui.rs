//! ComfyUI: the graph of the run under `prompt`, nodes by id.
//!
//! Source: `SaveImage` in `nodes.py` of comfyanonymous/ComfyUI. An input is a value, or `[id, output]` of another node.
//! Values are followed through links: a sampler's `positive` to the node with the text, its `model` to the node that
//! loads a file.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::chunks::Texts;
use crate::json::{finite, number, object, text};
use crate::{Generator, ReadError, Reading, Settings};

/// Longest way through links to a value.
const MAX_HOPS: usize = 32;

/// What is looked for behind a link: the inputs that may hold it, and those that lead on.
struct Want {
    keys: &'static [&'static str],
    through: &'static [&'static str],
}

const SEED: Want = Want {
    keys: &["seed", "noise_seed", "value", "int", "number"],
    through: &["noise"],
};
const STEPS: Want = Want {
    keys: &["steps", "value", "int", "number"],
    through: &["sigmas"],
};
const GUIDANCE: Want = Want {
    keys: &["cfg", "value", "float", "number"],
    through: &[],
};
const TEXT: Want = Want {
    keys: &["text", "text_g", "t5xxl", "string", "prompt", "value"],
    through: &["conditioning", "conditioning_1", "conditioning_to"],
};
const MODEL: Want = Want {
    keys: &["ckpt_name", "unet_name", "model_name"],
    through: &["model"],
};

type Inputs = Map<String, Value>;

pub(crate) fn read(texts: &Texts) -> Option<Result<Reading, ReadError>> {
    let graph = object(texts.get("prompt")?).and_then(|nodes| Graph { nodes }.reading());
    Some(graph.map_err(|detail| ReadError::Unreadable {
        generator: Generator::ComfyUi,
        detail,
    }))
}

struct Graph {
    nodes: Inputs,
}

impl Graph {
    fn reading(&self) -> Result<Reading, String> {
        let samplers = self.samplers();
        let builds_on_another = |sampler: &&&Inputs| {
            let before = sampler.get("latent_image").and_then(link);
            before.is_some_and(|(id, _)| self.class(id).contains("Sampler"))
        };
        let sampler = samplers
            .iter()
            .find(|sampler| !builds_on_another(sampler))
            .or(samplers.first())
            .ok_or("its graph has no sampler")?;
        // `SamplerCustomAdvanced` leaves prompts and guidance to its guider.
        let guider = sampler
            .get("guider")
            .and_then(|guider| self.inputs(link(guider)?.0));
        let start = |names: &[&str]| {
            let own = names.iter().find_map(|name| sampler.get(*name));
            own.or_else(|| names.iter().find_map(|name| guider?.get(*name)))
        };
        let find =
            |names: &[&str], want: &Want| self.value(start(names)?, want, &mut BTreeSet::new());
        let settings = Settings {
            model: find(&["model"], &MODEL).and_then(text),
            prompt: find(&["positive", "conditioning"], &TEXT).and_then(text),
            negative_prompt: find(&["negative"], &TEXT).and_then(text),
            seed: find(&["seed", "noise_seed", "noise"], &SEED).and_then(number),
            num_inference_steps: find(&["steps", "sigmas"], &STEPS).and_then(number),
            guidance_scale: find(&["cfg"], &GUIDANCE).and_then(finite),
        };
        Ok(Reading {
            generator: Generator::ComfyUi,
            settings,
            unused: self.unused(sampler, samplers.len()),
        })
    }

    /// Inputs of the nodes that make noise into a picture, those made first by people first: 9 before 10.
    fn samplers(&self) -> Vec<&Inputs> {
        let samples = |inputs: &Inputs| {
            let of_sampler = ["seed", "noise_seed", "noise", "positive"];
            of_sampler.iter().any(|name| inputs.contains_key(*name))
        };
        let mut found: Vec<(&String, &Inputs)> = self
            .nodes
            .keys()
            .filter(|id| self.class(id).contains("Sampler"))
            .filter_map(|id| Some((id, self.inputs(id)?)))
            .filter(|(_, inputs)| samples(inputs))
            .collect();
        found.sort_by_key(|(id, _)| (id.parse::<u64>().unwrap_or(u64::MAX), *id));
        found.into_iter().map(|(_, inputs)| inputs).collect()
    }

    fn unused(&self, sampler: &Inputs, samplers: usize) -> Vec<String> {
        let own = ["sampler_name", "scheduler", "denoise"];
        let more = (samplers > 1).then(|| format!("{} more samplers", samplers - 1));
        let elsewhere: BTreeSet<&str> = self
            .nodes
            .keys()
            .map(|id| self.class(id))
            .filter(|class| {
                ["Lora", "ControlNet", "Upscale"]
                    .iter()
                    .any(|kind| class.contains(kind))
            })
            .collect();
        own.into_iter()
            .filter(|name| sampler.contains_key(*name))
            .map(str::to_owned)
            .chain(more)
            .chain(elsewhere.into_iter().map(str::to_owned))
            .collect()
    }

    /// The value itself, or the nearest one behind its link.
    fn value<'a>(
        &'a self,
        value: &'a Value,
        want: &Want,
        seen: &mut BTreeSet<&'a str>,
    ) -> Option<&'a Value> {
        let Some((id, output)) = link(value) else {
            return (value.is_string() || value.is_number()).then_some(value);
        };
        if seen.len() >= MAX_HOPS || !seen.insert(id) {
            return None;
        }
        let inputs = self.inputs(id)?;
        // A node with both takes in two conditionings and puts them out in this order.
        let side = if output == 1 { "negative" } else { "positive" };
        let held = want.keys.iter().filter_map(|key| inputs.get(*key));
        let beyond = [side].into_iter().chain(want.through.iter().copied());
        let linked = beyond
            .filter_map(|name| inputs.get(name))
            .filter(|value| link(value).is_some());
        held.chain(linked)
            .find_map(|next| self.value(next, want, seen))
    }

    fn inputs(&self, id: &str) -> Option<&Inputs> {
        self.nodes.get(id)?.get("inputs")?.as_object()
    }

    fn class(&self, id: &str) -> &str {
        let class = self.nodes.get(id).and_then(|node| node.get("class_type"));
        class.and_then(Value::as_str).unwrap_or_default()
    }
}

/// Node and output of `[id, output]`.
fn link(value: &Value) -> Option<(&str, u64)> {
    match value.as_array()?.as_slice() {
        [Value::String(id), output] => Some((id, output.as_u64()?)),
        _ => None,
    }
}
