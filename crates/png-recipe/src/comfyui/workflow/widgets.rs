//! Values that are typed into a node. The editor keeps them as a list without names.

use serde_json::{Map, Value};

use super::{array, kind};

/// Names of the widgets of nodes that come with ComfyUI, in the order of `INPUT_TYPES` in `nodes.py` and `comfy_extras/`.
const WIDGETS: [(&str, &[&str]); 22] = [
    (
        "KSampler",
        &[
            "seed",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "denoise",
        ],
    ),
    (
        "KSamplerAdvanced",
        &[
            "add_noise",
            "noise_seed",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "start_at_step",
            "end_at_step",
            "return_with_leftover_noise",
        ],
    ),
    ("SamplerCustom", &["add_noise", "noise_seed", "cfg"]),
    ("RandomNoise", &["noise_seed"]),
    ("BasicScheduler", &["scheduler", "steps", "denoise"]),
    ("SDTurboScheduler", &["steps", "denoise"]),
    ("CFGGuider", &["cfg"]),
    ("FluxGuidance", &["guidance"]),
    ("CLIPTextEncode", &["text"]),
    ("CLIPTextEncodeFlux", &["clip_l", "t5xxl", "guidance"]),
    (
        "CLIPTextEncodeSDXL",
        &[
            "width",
            "height",
            "crop_w",
            "crop_h",
            "target_width",
            "target_height",
            "text_g",
            "text_l",
        ],
    ),
    (
        "CLIPTextEncodeSD3",
        &["clip_l", "clip_g", "t5xxl", "empty_padding"],
    ),
    ("ConditioningSetTimestepRange", &["start", "end"]),
    ("ConditioningAverage", &["conditioning_to_strength"]),
    ("CheckpointLoaderSimple", &["ckpt_name"]),
    ("CheckpointLoader", &["config_name", "ckpt_name"]),
    ("UNETLoader", &["unet_name", "weight_dtype"]),
    ("PrimitiveString", &["value"]),
    ("PrimitiveStringMultiline", &["value"]),
    ("PrimitiveInt", &["value"]),
    ("PrimitiveFloat", &["value"]),
    ("StringConcatenate", &["string_a", "string_b", "delimiter"]),
];

/// What a seed is to become after the run; the editor keeps it behind the seed, without an input.
const AFTERWARDS: [&str; 4] = ["fixed", "increment", "decrement", "randomize"];

/// A node's typed values by name, as far as they are certain.
pub(super) fn values(node: &Map<String, Value>) -> Map<String, Value> {
    let values = match node.get("widgets_values") {
        Some(Value::Object(named)) => return named.clone(),
        Some(Value::Array(values)) => values.as_slice(),
        _ => return Map::new(),
    };
    let known = WIDGETS.iter().find(|(class, _)| *class == kind(node));
    let listed = || {
        let name = |input: &'_ Value| {
            input
                .get("widget")?
                .get("name")?
                .as_str()
                .map(str::to_owned)
        };
        array(node.get("inputs")).filter_map(name).collect()
    };
    let names: Vec<String> = known.map_or_else(listed, |(_, names)| {
        names.iter().map(|n| (*n).to_owned()).collect()
    });
    let mut rest = values.iter().peekable();
    let mut named = Map::new();
    for name in names {
        let Some(value) = rest.next() else {
            break;
        };
        let is_seed = name.ends_with("seed");
        named.insert(name, settled(value));
        if is_seed {
            // The first versions had a tick instead of a word.
            rest.next_if(|v| v.is_boolean() || v.as_str().is_some_and(|v| AFTERWARDS.contains(&v)));
        }
    }
    // The list of an unknown node may leave widgets out; then it is not certain which value is whose.
    if known.is_none() && rest.next().is_some() {
        return Map::new();
    }
    named
}

/// The editor draws one of `{a|b}` when it starts a run, and keeps what was typed.
fn settled(value: &Value) -> Value {
    let drawn = value.as_str().is_some_and(|text| {
        text.split_once('{')
            .is_some_and(|(_, after)| after.contains('|') && after.contains('}'))
    });
    if drawn { Value::Null } else { value.clone() }
}
