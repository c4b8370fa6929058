//! The figures of `models/known.toml` are those of the published configurations.

use std::collections::BTreeMap;
use std::fmt::Write;

use architectures::{Element, Kind, Part, Weights, build_smaller};
use onnx_gpu::Cost;
use serde::Deserialize;
use serde_json::Value;

use super::components::{Component, components};
use super::spared::STREAMED_WEIGHTS;
use super::{planned, planned_within};

const KNOWN: &str = include_str!("../../../../models/known.toml");

#[derive(Deserialize)]
struct Known {
    model: Vec<Model>,
}

/// What is read here of a model; the server reads the rest.
#[derive(Deserialize)]
struct Model {
    id: String,
    size: [u64; 2],
    guidance: f32,
    #[serde(default)]
    parts: Vec<String>,
    #[serde(default)]
    weights: Vec<Figures>,
    work: Option<Work>,
}

/// Of weights of some bits: bytes of their files, of the GPU's memory and of its largest buffer.
#[derive(Debug, PartialEq, Deserialize)]
struct Figures {
    kind: String,
    bytes: u64,
    memory: u64,
    buffer: u64,
    /// With one part on the GPU at a time: memory, and what is brought there once a picture and at each step.
    one: [u64; 3],
    /// The same with a share of that part's weights.
    streamed: [u64; 3],
}

/// Operations and dispatches, once and per step.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Work {
    once: [u64; 2],
    per_step: [u64; 2],
}

struct Counted {
    bytes: u64,
    whole: Cost,
    /// With a share of its weights on the device.
    share: Cost,
}

fn count(component: &Component, rows: usize, kind: Kind) -> Counted {
    let mut component = component.clone();
    component.run[0] = rows;
    let config: Value = serde_json::from_str(component.config).unwrap();
    let weights = Weights::imagined(Element::F16);
    let built = build_smaller("net", &component.part, &config, &weights, kind).unwrap();
    Counted {
        bytes: built.file.bytes() + built.graph.len() as u64,
        whole: planned(&component, &built.graph),
        share: planned_within(&component, &built.graph, Some(STREAMED_WEIGHTS)),
    }
}

/// As `models add` counts the needs of a package: all graphs loaded, one after the other. Activations between graphs, some megabytes, are
/// not counted. A decoder is planned on a tile of 256 × 256 pixels and its operations are taken as often as the picture has such tiles.
fn figures(
    model: &Model,
    known: &mut BTreeMap<(String, usize, &str), Counted>,
) -> (Vec<Figures>, Work) {
    let all = components();
    // With guidance the denoiser is asked about two rows, and so are the encoders; a transformer is asked twice.
    let asked = if model.guidance > 1.0 { 2 } else { 1 };
    let tiles = (model.size[0] * model.size[1]).div_ceil(256 * 256);
    let (mut found, mut work) = (Vec::new(), Work::default());
    for (kind, name) in [
        (Kind::F16, "f16"),
        (Kind::Int8, "int8"),
        (Kind::Int4, "int4"),
    ] {
        let mut sum = Figures {
            kind: name.to_owned(),
            bytes: 0,
            memory: 0,
            buffer: 0,
            one: [0; 3],
            streamed: [0; 3],
        };
        let mut loaded = 0;
        for part in &model.parts {
            let component = all
                .iter()
                .find(|c| format!("{} {}", c.model, c.name).split(',').next() == Some(part))
                .unwrap_or_else(|| panic!("{}: {part:?} is no component", model.id));
            let both = component.part == Part::Denoiser && component.run[0] == 2;
            let rows = if both { asked } else { component.run[0] };
            let counted = known
                .entry((part.clone(), rows, name))
                .or_insert_with(|| count(component, rows, kind));
            let whole = counted.whole;
            sum.bytes += counted.bytes;
            sum.buffer = sum.buffer.max(whole.largest_buffer);
            sum.memory = sum.memory.max(loaded + whole.load_bytes);
            loaded += whole.total_bytes;
            let (is_denoiser, times) = match component.part {
                Part::Denoiser if both => (true, 1),
                Part::Denoiser => (true, asked as u64),
                Part::Decoder => (false, tiles),
                _ => (false, asked as u64),
            };
            for (needs, cost) in [(&mut sum.one, whole), (&mut sum.streamed, counted.share)] {
                needs[0] = needs[0].max(cost.load_bytes);
                needs[1] += cost.constant_bytes;
                needs[if is_denoiser { 2 } else { 1 }] += times * cost.streamed_bytes;
            }
            if kind == Kind::F16 {
                let into = if is_denoiser {
                    &mut work.per_step
                } else {
                    &mut work.once
                };
                into[0] += times * whole.flops;
                into[1] += times * whole.dispatches as u64;
            }
        }
        sum.memory = sum.memory.max(loaded);
        found.push(sum);
    }
    (found, work)
}

#[test]
fn the_figures_of_known_models_are_counted() {
    let known: Known = toml::from_str(KNOWN).unwrap();
    let (mut counted, mut wrong) = (BTreeMap::new(), String::new());
    for model in known.model.iter().filter(|model| !model.parts.is_empty()) {
        let (weights, work) = figures(model, &mut counted);
        if weights == model.weights && model.work.as_ref() == Some(&work) {
            continue;
        }
        writeln!(wrong, "\n# {}\nweights = [", model.id).unwrap();
        for of in &weights {
            let (kind, bytes, memory, buffer) = (&of.kind, of.bytes, of.memory, of.buffer);
            let (one, streamed) = (of.one, of.streamed);
            writeln!(
                wrong,
                "  {{ kind = {kind:?}, bytes = {bytes}, memory = {memory}, buffer = {buffer}, one = {one:?}, streamed = {streamed:?} }},"
            )
            .unwrap();
        }
        let Work { once, per_step } = work;
        writeln!(
            wrong,
            "]\nwork = {{ once = {once:?}, per_step = {per_step:?} }}"
        )
        .unwrap();
    }
    assert!(wrong.is_empty(), "models/known.toml should say{wrong}");
    for model in known.model.iter().filter(|model| model.parts.is_empty()) {
        assert!(
            model.weights.is_empty() && model.work.is_none(),
            "{} was not counted",
            model.id
        );
    }
}
