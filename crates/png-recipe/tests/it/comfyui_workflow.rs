//! The graph as ComfyUI's editor keeps it, for files that have nothing else.

use crate::support::{png, reading, settings, text};
use png_recipe::{Generator, ReadError, Settings, read};
use serde_json::{Value, json};

fn node(id: u64, class: &str, inputs: Value, outputs: &[&str], widgets: Value) -> Value {
    let outputs: Vec<Value> = outputs
        .iter()
        .map(|kind| json!({"name": kind, "type": kind}))
        .collect();
    json!({"id": id, "type": class, "mode": 0, "inputs": inputs, "outputs": outputs, "widgets_values": widgets})
}

fn input(name: &str, kind: &str, link: u64) -> Value {
    json!({"name": name, "type": kind, "link": link})
}

/// The default graph, as `defaultGraph.js` of the editor has it, with other texts.
fn editor() -> Value {
    json!({
        "last_node_id": 9,
        "nodes": [
            node(4, "CheckpointLoaderSimple", json!([]), &["MODEL", "CLIP", "VAE"], json!(["dreamy.safetensors"])),
            node(6, "CLIPTextEncode", json!([input("clip", "CLIP", 3)]), &["CONDITIONING"], json!(["a tram"])),
            node(7, "CLIPTextEncode", json!([input("clip", "CLIP", 5)]), &["CONDITIONING"], json!(["people"])),
            node(5, "EmptyLatentImage", json!([]), &["LATENT"], json!([512, 512, 1])),
            node(3, "KSampler", json!([input("model", "MODEL", 1), input("positive", "CONDITIONING", 4),
                input("negative", "CONDITIONING", 6), input("latent_image", "LATENT", 2)]), &["LATENT"],
                json!([7, "randomize", 22, 6, "euler", "normal", 1])),
            node(8, "VAEDecode", json!([input("samples", "LATENT", 7), input("vae", "VAE", 8)]), &["IMAGE"], json!([])),
            node(9, "SaveImage", json!([input("images", "IMAGE", 9)]), &[], json!(["ComfyUI"])),
        ],
        "links": [[1, 4, 0, 3, 0, "MODEL"], [2, 5, 0, 3, 3, "LATENT"], [3, 4, 1, 6, 0, "CLIP"], [4, 6, 0, 3, 1, "CONDITIONING"],
            [5, 4, 1, 7, 0, "CLIP"], [6, 7, 0, 3, 2, "CONDITIONING"], [7, 3, 0, 8, 0, "LATENT"], [8, 4, 2, 8, 1, "VAE"],
            [9, 8, 0, 9, 0, "IMAGE"]],
        "version": 0.4,
    })
}

fn of(graph: &Value) -> Settings {
    let found = reading("workflow", &graph.to_string());
    assert_eq!(found.generator, Generator::ComfyUi);
    found.settings
}

fn expected() -> Settings {
    settings("dreamy.safetensors", "a tram", "people", 7, 22, 6.0)
}

/// Adds a node between an input and where it came from.
fn insert(graph: &mut Value, node: Value, from: Value, to: Value) {
    graph["nodes"].as_array_mut().unwrap().push(node);
    for link in [from, to] {
        let links = graph["links"].as_array_mut().unwrap();
        links.retain(|l| (&l[3], &l[4]) != (&link[3], &link[4]));
        links.push(link);
    }
}

#[test]
fn the_default_graph() {
    assert_eq!(of(&editor()), expected());
    // In the first versions a tick stood behind the seed.
    let mut old = editor();
    old["nodes"][4]["widgets_values"] = json!([7, true, 22, 6, "euler", "normal", 1]);
    assert_eq!(of(&old), expected());
    // The graph of the run counts where there is one.
    let run = br#"{"3": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["6", 0]}}, "6": {"class_type": "X", "inputs": {"text": "ran"}}}"#;
    let both = png(&[
        text("workflow", editor().to_string().as_bytes()),
        text("prompt", run),
    ]);
    assert_eq!(read(&both).unwrap().settings.seed, Some(1));
}

#[test]
fn reroutes_primitives_and_named_links() {
    let mut graph = editor();
    let reroute = node(
        20,
        "Reroute",
        json!([input("", "*", 20)]),
        &["CONDITIONING"],
        json!([]),
    );
    insert(
        &mut graph,
        reroute,
        json!([20, 6, 0, 20, 0, "*"]),
        json!([21, 20, 0, 3, 1, "CONDITIONING"]),
    );
    let sampler = &mut graph["nodes"][4]["inputs"];
    sampler
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "seed", "type": "INT", "link": 22, "widget": {"name": "seed"}}));
    graph["nodes"][4]["widgets_values"][0] = json!(99);
    let primitive = node(
        21,
        "PrimitiveNode",
        json!([]),
        &["INT"],
        json!([7, "fixed"]),
    );
    graph["nodes"].as_array_mut().unwrap().push(primitive);
    graph["links"]
        .as_array_mut()
        .unwrap()
        .push(json!([22, 21, 0, 3, 4, "INT"]));
    let set = node(
        22,
        "SetNode",
        json!([input("MODEL", "MODEL", 23)]),
        &["*"],
        json!(["the model"]),
    );
    insert(
        &mut graph,
        set,
        json!([23, 4, 0, 22, 0, "MODEL"]),
        json!([24, 23, 0, 3, 0, "MODEL"]),
    );
    let get = node(23, "GetNode", json!([]), &["MODEL"], json!(["the model"]));
    graph["nodes"].as_array_mut().unwrap().push(get);
    assert_eq!(of(&graph), expected());
}

/// A bypassed node gives out what it takes in; a muted one gives nothing, and what it would have said is not the prompt.
#[test]
fn bypassed_and_muted_nodes() {
    let between = |mode: u64| {
        let mut graph = editor();
        let mut node = node(
            20,
            "ConditioningZeroOut",
            json!([input("conditioning", "CONDITIONING", 20)]),
            &["CONDITIONING"],
            json!([]),
        );
        node["mode"] = json!(mode);
        insert(
            &mut graph,
            node,
            json!([20, 7, 0, 20, 0, "CONDITIONING"]),
            json!([21, 20, 0, 3, 2, "CONDITIONING"]),
        );
        graph
    };
    let none = Settings {
        negative_prompt: None,
        ..expected()
    };
    assert_eq!(of(&between(0)), none);
    assert_eq!(of(&between(4)), expected());
    assert_eq!(of(&between(2)), none);
    // A muted sampler did not run.
    let mut graph = editor();
    let mut other = graph["nodes"][4].clone();
    other["id"] = json!(2);
    other["mode"] = json!(2);
    other["widgets_values"][0] = json!(1);
    graph["nodes"].as_array_mut().unwrap().push(other);
    assert_eq!(of(&graph), expected());
}

/// The sampler in a subgraph in a subgraph; links there are objects, inputs and outputs the nodes -10 and -20.
#[test]
fn samplers_in_subgraphs() {
    let mut graph = editor();
    let mut sampler = graph["nodes"].as_array_mut().unwrap().remove(4);
    sampler["id"] = json!(1);
    let link = |id: u64, from: i64, output: u64, to: i64, input: u64| json!({"id": id, "origin_id": from, "origin_slot": output, "target_id": to, "target_slot": input, "type": "*"});
    let inputs: Vec<Value> = (0..4).map(|i| link(i, -10, i, 1, i)).collect();
    let inside = [inputs, vec![link(9, 1, 0, -20, 0)]].concat();
    let outer_inputs = sampler["inputs"].clone();
    let stand_in =
        |id: u64, class: &str| node(id, class, outer_inputs.clone(), &["LATENT"], json!([]));
    graph["nodes"]
        .as_array_mut()
        .unwrap()
        .push(stand_in(3, "aaaa-1"));
    graph["definitions"] = json!({"subgraphs": [
        {"id": "aaaa-1", "nodes": [stand_in(1, "aaaa-2")], "links": inside},
        {"id": "aaaa-2", "nodes": [sampler], "links": inside},
    ]});
    assert_eq!(of(&graph), expected());
    // One that contains itself ends.
    graph["definitions"]["subgraphs"][1]["nodes"] =
        json!([stand_in(1, "aaaa-2"), stand_in(2, "aaaa-2")]);
    assert!(read(&png(&[text("workflow", graph.to_string().as_bytes())])).is_err());
}

/// The editor keeps `{a|b}` as it was typed; which one ran is not in the file.
#[test]
fn choices_are_not_read_as_prompts() {
    let mut graph = editor();
    graph["nodes"][1]["widgets_values"] = json!(["a {tram|bus}"]);
    let found = reading("workflow", &graph.to_string());
    assert_eq!(found.settings.prompt, None);
    assert_eq!(found.unread.len(), 1);
    // An unknown node's values have no names.
    graph["nodes"][1]["type"] = json!("SomeEncoder");
    graph["nodes"][1]["widgets_values"] = json!(["a tram", "more"]);
    assert_eq!(of(&graph).prompt, None);
    let error = read(&png(&[text("workflow", b"{\"nodes\": []}")])).unwrap_err();
    assert!(matches!(error, ReadError::Unreadable { .. }), "{error}");
}
