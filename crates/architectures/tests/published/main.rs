//! Graphs of the configurations that well-known models are published with, planned without their weights.
//!
//! `cargo test -p architectures --test published -- --nocapture` prints the table of docs/performance.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod components;
mod known;
mod spared;

use std::borrow::Cow;
use std::time::Instant;

use architectures::{Element, Kind, Part, Weights, build, build_smaller};
use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::weights::{Reading, WeightSource};
use onnx_gpu::{Cost, LEAST_TABLE, dry_cost_within};
use serde_json::Value;

use components::{Component, SSD_1B, components};

/// What every WebGPU device binds at a time.
const BINDING: u64 = 128 << 20;

/// Weights that are all zero: small ones are read while a plan is made.
struct Zeros;

impl WeightSource for Zeros {
    fn size<'a>(&'a self, _file: &'a str) -> Reading<'a, u64> {
        Box::pin(std::future::ready(Ok(u64::MAX)))
    }

    fn read<'a>(
        &'a self,
        _file: &'a str,
        _offset: u64,
        length: usize,
    ) -> Reading<'a, Cow<'a, [u8]>> {
        Box::pin(std::future::ready(Ok(Cow::Owned(vec![0; length]))))
    }
}

fn planned(component: &Component, graph: &[u8]) -> Cost {
    planned_within(component, graph, None)
}

fn planned_within(component: &Component, graph: &[u8], weights: Option<u64>) -> Cost {
    let [rows, side, tokens] = component.run;
    let open = |input: &str, place: usize| match (input, place) {
        (_, 0) => rows,
        // Two encoders of CLIP side by side, and behind their tokens those of T5.
        ("encoder_hidden_states", 2) => 768 + 1280,
        ("encoder_hidden_states_t5", _) => 256,
        ("encoder_hidden_states" | "encoder_attention_mask", _) => tokens,
        _ => side,
    };
    dry_cost_within(graph, &Zeros, AdapterClass::Hardware, weights, &open).unwrap()
}

#[test]
fn published_networks_have_their_parameters_and_fit_every_device() {
    println!(
        "| model | component | parameters | built in | graph | dispatches | memory at f16 | largest buffer |"
    );
    for component in components() {
        let config: Value = serde_json::from_str(component.config).unwrap();
        let started = Instant::now();
        let built = build(
            "net",
            &component.part,
            &config,
            &Weights::imagined(Element::F16),
        )
        .unwrap();
        let took = started.elapsed();
        let cost = planned(&component, &built.graph);
        let shown = format!("{} {}", component.model, component.name);
        println!(
            "| {} | {} | {} | {:.0} ms | {:.0} kB | {} | {:.0} MB, {:.0} MB while it loads | {:.0} MB |",
            component.model,
            component.name,
            built.parameters,
            took.as_secs_f64() * 1e3,
            built.graph.len() as f64 / 1e3,
            cost.dispatches,
            cost.total_bytes as f64 / 1e6,
            cost.load_bytes as f64 / 1e6,
            cost.largest_buffer as f64 / 1e6
        );
        if component.parameters == SSD_1B {
            let off = built.parameters.abs_diff(SSD_1B);
            assert!(off < SSD_1B / 20, "{shown}: {}", built.parameters);
        } else {
            assert_eq!(built.parameters, component.parameters, "{shown}");
        }
        assert!(
            cost.largest_buffer <= BINDING,
            "{shown}: {}",
            cost.largest_buffer
        );
        // Beside the weights are activations, which are the smaller part but in decoders; a second copy of the weights would not be.
        let weights = 2 * built.parameters;
        // A table of words is not on the device: its rows are read from the file.
        let member = |name: &str| config[name].as_u64().unwrap_or_default();
        let table = 2 * member("vocab_size") * member("hidden_size").max(member("d_model"));
        assert!(cost.load_bytes >= weights - table, "{shown}");
        if table > LEAST_TABLE {
            assert!(cost.load_bytes < weights, "{shown}");
        }
        if component.part != Part::Decoder {
            assert!(
                cost.load_bytes < weights + weights / 2,
                "{shown}: {} bytes for weights of {weights}",
                cost.load_bytes
            );
        }
    }
}

/// Fewer bits of a file are fewer bytes on the device: weights are not held there a second time in another form.
#[test]
fn smaller_weights_take_less_memory_and_fit_every_device() {
    println!("| model | component | memory at f16 | int8 | int4 | files at f16 | int8 | int4 |");
    for component in components() {
        let config: Value = serde_json::from_str(component.config).unwrap();
        let shown = format!("{} {}", component.model, component.name);
        let costs = Kind::ALL.map(|kind| {
            let weights = Weights::imagined(Element::F16);
            let built = build_smaller("net", &component.part, &config, &weights, kind).unwrap();
            let cost = planned(&component, &built.graph);
            assert!(cost.largest_buffer <= BINDING, "{shown} as {kind}");
            // What a run works with, the larger part in a decoder alone, is the same for all.
            (cost.load_bytes, built.file.bytes(), cost.dispatches)
        });
        let [f16, int8, int4] = costs;
        let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            component.model,
            component.name,
            mb(f16.0),
            mb(int8.0),
            mb(int4.0),
            mb(f16.1),
            mb(int8.1),
            mb(int4.1)
        );
        assert!(int4.1 <= int8.1 && int8.1 < f16.1, "{shown}: {costs:?}");
        // A product reads rows of planes as they lie there where its matrix has no blocks, and a copy of them where it has.
        assert!(
            int8.2 == int4.2 && int8.2 < f16.2 + f16.2 / 10,
            "{shown}: {costs:?}"
        );
        if !matches!(component.part, Part::Decoder | Part::Encoder) {
            assert!(int4.0 < int8.0 && int8.0 < f16.0, "{shown}: {costs:?}");
        }
    }
}
