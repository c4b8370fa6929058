//! Weights of fewer bits: what becomes of which tensor, and how their file is laid out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use architectures::{Element, Kind, Part, Smaller, States, Texts, Weights, build_smaller};
use onnx_gpu::proto::{Contents, Graph, Initializer, Model, Storage};
use serde_json::Value;

fn config(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn made(part: &Part, config: &Value, element: Element, kind: Kind) -> (Smaller, Graph) {
    let made = build_smaller("net", part, config, &Weights::imagined(element), kind).unwrap();
    let graph = Model::parse(&made.graph).unwrap().graph;
    (made, graph)
}

fn is_in_a_file(weight: &Initializer) -> bool {
    matches!(&weight.contents, Contents::Stored(location) if location.file.is_some())
}

/// What reads a weight decides what becomes of it.
#[test]
fn weights_become_what_their_operators_take() {
    let text = Part::TextEncoder(Texts {
        states: States::Last,
        pooled: false,
        skips: 0,
    });
    let clip = config(include_str!("published/sd15-text_encoder.json"));
    let unet = config(include_str!("published/sd15-unet.json"));
    for (part, config) in [(&text, &clip), (&Part::Denoiser, &unet)] {
        for kind in Kind::ALL {
            let whole = architectures::build("net", part, config, &Weights::imagined(Element::F32));
            let whole = Model::parse(&whole.unwrap().graph).unwrap().graph;
            let (_, graph) = made(part, config, Element::F32, kind);
            let count =
                |graph: &Graph, op: &str| graph.nodes.iter().filter(|n| &*n.op == op).count();
            let [gemm, conv] = ["Gemm", "Conv"].map(|op| count(&whole, op));
            let whole_numbers = kind != Kind::F16;
            assert_eq!(count(&graph, "Conv"), conv);
            assert_eq!(count(&graph, "Gemm"), if whole_numbers { 0 } else { gemm });
            assert_eq!(
                count(&graph, "MatMulNBits"),
                if whole_numbers { gemm } else { 0 }
            );
            assert_eq!(
                count(&graph, "DequantizeLinear"),
                if whole_numbers { conv } else { 0 }
            );
            let stored: BTreeMap<&str, &Initializer> = graph
                .initializers
                .iter()
                .filter(|weight| is_in_a_file(weight))
                .map(|weight| (&*weight.name, weight))
                .collect();
            for weight in &whole.initializers {
                let long = weight.shape.iter().filter(|&&size| size > 1).count();
                if long == 1 && is_in_a_file(weight) {
                    let own = stored[&*weight.name];
                    assert_eq!((own.storage, &own.shape), (Storage::F32, &weight.shape));
                }
            }
            for (name, weight) in &stored {
                let allowed = match weight.storage {
                    Storage::F32 => weight.shape.iter().filter(|&&size| size > 1).count() < 2,
                    Storage::F16 => weight.shape.len() > 1,
                    Storage::U8 | Storage::I8 => whole_numbers,
                    _ => false,
                };
                assert!(allowed, "{kind}: {name} is {:?}", weight.storage);
            }
            if part == &text {
                let table = stored["embeddings.token_embedding.weight.f16"];
                assert_eq!(
                    (table.storage, &table.shape[..]),
                    (Storage::F16, &[49408, 768][..])
                );
            }
        }
    }
}

/// Tensors lie one behind the other without touching, and end with the file.
#[test]
fn tensors_have_places_of_their_own() {
    let unet = config(include_str!("published/sd15-unet.json"));
    for kind in Kind::ALL {
        let (made, graph) = made(&Part::Denoiser, &unet, Element::BF16, kind);
        let mut places: Vec<(u64, u64)> = graph
            .initializers
            .iter()
            .filter_map(|weight| match &weight.contents {
                Contents::Stored(location) if location.file.is_some() => {
                    assert_eq!(location.length, weight.bytes(), "{}", weight.name);
                    assert!(location.offset.is_multiple_of(16), "{}", weight.name);
                    Some((location.offset, location.offset + location.length))
                }
                _ => None,
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places[0].0, 0);
        assert!(
            places
                .windows(2)
                .all(|two| two[0].1 <= two[1].0 && two[1].0 < two[0].1 + 16)
        );
        assert_eq!(places.last().unwrap().1, made.file.bytes());
    }
}
