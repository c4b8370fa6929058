//! Which samplers made the saved picture.

use std::collections::BTreeSet;

use serde_json::Value;

use super::graph::{Graph, Node, link};

/// Most samplers of a graph.
const MAX_SAMPLERS: usize = 64;
/// Parts of input names that hand a picture, or the latents of one, to a sampler.
const PICTURES: [&str; 6] = ["latent", "samples", "image", "pixels", "stage_c", "pipe"];
/// Parts of input names that hand a picture to what is not a sampler on no account.
const NO_PICTURES: [&str; 10] = [
    "model",
    "clip",
    "vae",
    "positive",
    "negative",
    "conditioning",
    "control",
    "prompt",
    "text",
    "mask",
];

impl Graph {
    /// The samplers that made the saved picture from noise, or from a picture of elsewhere; and how many more there are.
    /// A later pass, which only works a picture over, is not among them.
    pub(super) fn makers(&self) -> Result<(Vec<&str>, usize), String> {
        let ids = self.ids();
        let outputs = self.outputs();
        let saved = self.on_the_way(&outputs);
        let leads = |id: &str| outputs.is_empty() || saved.contains(id) || outputs.contains(&id);
        let of_kind = |is: fn(&Node) -> bool| -> Vec<&str> {
            let found = ids.iter().filter(|id| self.node(id).is_some_and(is));
            found.copied().collect()
        };
        let (samplers, services) = (of_kind(is_sampler), of_kind(is_service));
        if samplers.len() > MAX_SAMPLERS || services.len() > MAX_SAMPLERS {
            return Err(format!("its graph has more than {MAX_SAMPLERS} samplers"));
        }
        let of_picture: Vec<&str> = [&samplers, &services]
            .into_iter()
            .map(|all| all.iter().copied().filter(|id| leads(id)).collect())
            .find(|found: &Vec<&str>| !found.is_empty())
            .ok_or(if samplers.is_empty() {
                "its graph has no sampler"
            } else {
                "none of its graph’s samplers leads to the saved picture"
            })?;
        let first: Vec<&str> = of_picture
            .iter()
            .copied()
            .filter(|id| {
                let before = self.on_the_way(&[id]);
                !of_picture
                    .iter()
                    .any(|other| other != id && before.contains(other))
            })
            .collect();
        let makers = if first.is_empty() { of_picture } else { first };
        let others = samplers.len().saturating_sub(makers.len());
        Ok((makers, others))
    }

    /// Nodes that save the picture; where there are none, those that show it.
    fn outputs(&self) -> Vec<&str> {
        let ids = self.ids();
        let of_kind = |word: &str| -> Vec<&str> {
            let takes = |node: &Node| {
                let named = node.class.to_ascii_lowercase().contains(word);
                let picture = node.inputs.iter().any(|(name, value)| {
                    name.to_ascii_lowercase().contains("image") && link(value).is_some()
                });
                let itself = node.inputs.get("image_output").and_then(Value::as_str);
                (named && picture)
                    || itself.is_some_and(|what| what.to_ascii_lowercase().contains(word))
            };
            let found = ids.iter().filter(|id| self.node(id).is_some_and(takes));
            found.copied().collect()
        };
        let saving = of_kind("save");
        if saving.is_empty() {
            of_kind("preview")
        } else {
            saving
        }
    }

    /// The nodes that pictures and latents come through on their way to these.
    fn on_the_way(&self, ends: &[&str]) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<(&str, bool)> = ends.iter().map(|id| (*id, true)).collect();
        while let Some((id, is_end)) = open.pop() {
            let Some(node) = self.node(id) else { continue };
            let strict = is_end || is_sampler(node);
            for (name, value) in &node.inputs {
                let name = name.to_ascii_lowercase();
                let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
                let picture = if strict {
                    has(&PICTURES)
                } else {
                    !has(&NO_PICTURES)
                };
                let next = link(value).filter(|_| picture);
                if let Some((next, _)) = next.and_then(|(next, _)| self.key(&next))
                    && seen.insert(next)
                {
                    open.push((next, false));
                }
            }
        }
        seen
    }
}

/// Whether a node makes noise into a picture.
fn is_sampler(node: &Node) -> bool {
    let class = node.class.to_ascii_lowercase();
    let has = |name: &str| node.inputs.contains_key(name);
    let linked = |name: &str| node.inputs.get(name).and_then(link).is_some();
    let of_sampler = [
        "seed",
        "noise_seed",
        "noise",
        "positive",
        "guider",
        "pipe",
        "basic_pipe",
        "text_embeds",
    ];
    if class.contains("sampler") && of_sampler.iter().any(|name| has(name)) {
        return true;
    }
    // Detailers and upscalers that sample.
    let seed = has("seed") || has("noise_seed");
    seed && has("steps") && linked("positive") && linked("model")
}

/// Whether a node asks a service for a picture by a prompt.
fn is_service(node: &Node) -> bool {
    let has = |name: &str| node.inputs.contains_key(name);
    has("seed") && has("prompt") && !has("clip") && !is_sampler(node)
}
