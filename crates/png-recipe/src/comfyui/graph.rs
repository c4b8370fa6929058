//! The graph, and what its samplers say.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::numbers;
use super::prompts::{Found, Side};
use crate::json::{finite, number};
use crate::{Field, Generator, Reading, Settings, Unread};

/// Longest way through links to a value.
pub(super) const MAX_HOPS: usize = 64;
/// Most nodes that are looked at for the values of one file: a graph may branch at every node.
const MAX_LOOKS: u32 = 4_000;
/// Inputs that hand many values on at once.
const BUNDLES: [&str; 6] = [
    "guider",
    "pipe",
    "basic_pipe",
    "base_ctx",
    "sdxl_pipe",
    "context",
];

pub(super) type Inputs = Map<String, Value>;

pub(super) struct Node {
    pub(super) class: String,
    pub(super) inputs: Inputs,
}

pub(super) struct Graph {
    nodes: BTreeMap<String, Node>,
    looks: Cell<u32>,
    /// Inputs with a second text for the same prompt.
    second: RefCell<BTreeSet<&'static str>>,
}

impl Graph {
    pub(super) fn new(nodes: Map<String, Value>) -> Self {
        let node = |(id, node): (String, Value)| {
            let Value::Object(mut node) = node else {
                return None;
            };
            let class = node.get("class_type")?.as_str()?.to_owned();
            let inputs = match node.remove("inputs") {
                Some(Value::Object(inputs)) => inputs,
                _ => Map::new(),
            };
            Some((id, Node { class, inputs }))
        };
        Self {
            nodes: nodes.into_iter().filter_map(node).collect(),
            looks: Cell::new(MAX_LOOKS),
            second: RefCell::default(),
        }
    }

    pub(super) fn reading(&self) -> Result<Reading, String> {
        let (makers, others) = self.makers()?;
        let mut all = makers
            .iter()
            .filter_map(|id| self.node(id))
            .map(|maker| self.said(maker));
        let mut said = all.next().ok_or("its graph has no sampler")?;
        for other in all {
            said.keep_common(&other);
        }
        let Said { settings, unread } = said;
        let first = makers.first().and_then(|id| self.node(id));
        let own = ["sampler_name", "scheduler", "denoise"];
        let mut unused: Vec<String> = own
            .into_iter()
            .filter(|name| first.is_some_and(|node| node.inputs.contains_key(*name)))
            .map(str::to_owned)
            .collect();
        if others > 0 {
            unused.push(format!("{others} more samplers"));
        }
        unused.extend(self.second.take().into_iter().map(str::to_owned));
        unused.extend(self.additions().into_iter().map(str::to_owned));
        Ok(Reading {
            unread,
            ..Reading::new(Generator::ComfyUi, settings, unused)
        })
    }

    /// Classes of nodes that change a picture in ways that a request cannot ask for.
    fn additions(&self) -> BTreeSet<&str> {
        let kinds = [
            "Lora",
            "LoRA",
            "ControlNet",
            "Upscale",
            "IPAdapter",
            "FluxGuidance",
            "Detailer",
        ];
        let classes = self.nodes.values().map(|node| node.class.as_str());
        classes
            .filter(|class| kinds.iter().any(|kind| class.contains(kind)))
            .collect()
    }

    /// The settings of one sampler.
    fn said(&self, maker: &Node) -> Said {
        let mut unread = Vec::new();
        let mut note = |field: Field, why: String| unread.push(Unread { field, why });
        let positive = self.prompt_of(maker, Side::Positive);
        let negative = self.prompt_of(maker, Side::Negative);
        let negative = match (&positive, negative) {
            // Models without guidance need something there; many graphs give them the prompt.
            (Found::Texts(prompt), Found::Texts(negative)) if *prompt == negative => Found::Nothing,
            (_, negative) => negative,
        };
        let mut prompt = |found: Found, field: Field| match found {
            Found::Nothing => None,
            Found::Texts(texts) => Some(texts.join(", ")),
            Found::Unknown(class) => {
                note(field, made_by(&class));
                None
            }
        };
        let prompt_text = prompt(positive, Field::Prompt);
        let negative_prompt = prompt(negative, Field::NegativePrompt);
        let mut value = |want: &numbers::Want, field: Field| {
            let start = want.starts.iter().find_map(|name| self.held(maker, name))?;
            match self.number(start, want, MAX_HOPS) {
                Ok(value) => Some(value),
                Err(class) => {
                    note(field, made_by(&class));
                    None
                }
            }
        };
        let seed = value(&numbers::SEED, Field::Seed).and_then(number);
        let steps = value(&numbers::STEPS, Field::Steps).and_then(number);
        let guidance = value(&numbers::GUIDANCE, Field::Guidance).and_then(finite);
        // A pipe hands on a loader's file without a model of its own.
        let model = self.held(maker, "model").or_else(|| {
            let mut files = numbers::MODELS.iter();
            files.find_map(|name| self.held(maker, name))
        });
        let model = match model.map(|model| self.model(model, MAX_HOPS)) {
            Some(Ok(name)) => Some(name),
            Some(Err(class)) => {
                note(Field::Model, made_by(&class));
                None
            }
            None => None,
        };
        Said {
            settings: Settings {
                model,
                prompt: prompt_text,
                negative_prompt,
                seed,
                num_inference_steps: steps,
                guidance_scale: guidance,
                ..Settings::default()
            },
            unread,
        }
    }

    pub(super) fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// An id as long as the graph lives, and its node.
    pub(super) fn key(&self, id: &str) -> Option<(&str, &Node)> {
        let (id, node) = self.nodes.get_key_value(id)?;
        Some((id, node))
    }

    /// Ids as people made them: 9 before 10.
    pub(super) fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
        ids.sort_by_key(|id| (id.parse::<u64>().unwrap_or(u64::MAX), *id));
        ids
    }

    /// An input of a node, or of the bundle that it takes its inputs from.
    pub(super) fn held<'a>(&'a self, node: &'a Node, name: &str) -> Option<&'a Value> {
        let mut node = node;
        for _ in 0..MAX_HOPS {
            if let Some(value) = node.inputs.get(name).filter(|value| !value.is_null()) {
                return Some(value);
            }
            let bundle = BUNDLES
                .iter()
                .find_map(|name| link(node.inputs.get(*name)?));
            node = self.node(&bundle?.0)?;
        }
        None
    }

    /// Notes that an encoder takes another text beside the one that is read.
    pub(super) fn note_second(&self, input: &'static str) {
        self.second.borrow_mut().insert(input);
    }

    /// A value behind a bundle that a node hands on.
    pub(super) fn in_bundle<'a>(&'a self, node: &'a Node, name: &str) -> Option<&'a Value> {
        let bundled = BUNDLES
            .iter()
            .any(|bundle| node.inputs.get(*bundle).and_then(link).is_some());
        self.held(node, name).filter(|_| bundled)
    }

    /// The node that a link leads to and which of its outputs is meant, as long as there is budget for looking.
    pub(super) fn follow(&self, value: &Value) -> Option<(&Node, u64)> {
        let (id, output) = link(value)?;
        let left = self.looks.get().checked_sub(1)?;
        self.looks.set(left);
        Some((self.node(&id)?, output))
    }
}

struct Said {
    settings: Settings,
    unread: Vec<Unread>,
}

impl Said {
    /// Leaves only what another sampler says, too: a file does not say which of its graph's pictures it is.
    fn keep_common(&mut self, other: &Self) {
        fn common<T: PartialEq>(
            mine: &mut Option<T>,
            other: &Option<T>,
            field: Field,
            unread: &mut Vec<Unread>,
        ) {
            if mine != other {
                *mine = None;
                let why = "which differs between the pictures of its graph".to_owned();
                unread.push(Unread { field, why });
            }
        }
        let Self {
            settings: mine,
            unread,
        } = self;
        let their = &other.settings;
        common(&mut mine.model, &their.model, Field::Model, unread);
        common(&mut mine.prompt, &their.prompt, Field::Prompt, unread);
        common(
            &mut mine.negative_prompt,
            &their.negative_prompt,
            Field::NegativePrompt,
            unread,
        );
        common(&mut mine.seed, &their.seed, Field::Seed, unread);
        common(
            &mut mine.num_inference_steps,
            &their.num_inference_steps,
            Field::Steps,
            unread,
        );
        common(
            &mut mine.guidance_scale,
            &their.guidance_scale,
            Field::Guidance,
            unread,
        );
        unread.extend(other.unread.iter().cloned());
        let mut seen = Vec::new();
        unread.retain(|u| {
            let new = !seen.contains(&u.field);
            seen.push(u.field);
            new
        });
    }
}

/// Why a value is not read. Names of nodes come from files of strangers.
fn made_by(class: &str) -> String {
    if class.is_empty() {
        return "which its graph does not lead to".to_owned();
    }
    let mut chars = class.chars();
    let name: String = chars.by_ref().take(40).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("which the node {name}{more} makes")
}

/// Node and output of `[id, output]`; ids are numbers in what some programs write.
pub(super) fn link(value: &Value) -> Option<(String, u64)> {
    let (id, output) = match value.as_array()?.as_slice() {
        [Value::String(id), output] => (id.clone(), output),
        [Value::Number(id), output] => (id.to_string(), output),
        _ => return None,
    };
    Some((id, output.as_u64()?))
}
