//! Prompts of ComfyUI's graphs: what reaches the sampler as text, and what is not followed.

use crate::support::reading;
use png_recipe::{Field, Reading};
use serde_json::{Value, json};

/// A sampler whose prompts come from these nodes: `p` the positive one, `n` the negative.
fn graph(nodes: Value) -> Reading {
    let mut graph = json!({
        "31": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "cfg": 1.0, "model": ["38", 0],
            "positive": ["p", 0], "negative": ["n", 0], "latent_image": ["27", 0]}},
        "38": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1.safetensors"}},
        "27": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["31", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
        "n": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry"}},
        "p": {"class_type": "CLIPTextEncode", "inputs": {"text": "a desk"}},
    });
    for (id, node) in nodes.as_object().unwrap() {
        graph[id] = node.clone();
    }
    let found = reading("prompt", &graph.to_string());
    assert_eq!(found.settings.seed, Some(5));
    found
}

fn node(class: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

fn encode(inputs: Value) -> Value {
    node("CLIPTextEncode", inputs)
}

fn positive(nodes: Value) -> Option<String> {
    graph(nodes).settings.prompt
}

fn negative(nodes: Value) -> Option<String> {
    let found = graph(nodes);
    assert_eq!(found.settings.prompt.as_deref(), Some("a desk"));
    found.settings.negative_prompt
}

fn is_unread(found: &Reading, field: Field) -> bool {
    found.unread.iter().any(|u| u.field == field)
}

/// zanllp/infinite-image-browsing issue 961: ComfyUI's templates of models without a negative prompt.
#[test]
fn a_zeroed_conditioning_has_no_text() {
    let zero = |of: &str| node("ConditioningZeroOut", json!({"conditioning": [of, 0]}));
    assert_eq!(negative(json!({"n": zero("p")})), None);
    assert_eq!(
        negative(json!({"n": node("Zero Out (any)", json!({"conditioning": ["p", 0]}))})),
        None
    );
    let through = json!({"n": node("FluxGuidance", json!({"guidance": 3.5, "conditioning": ["z", 0]})), "z": zero("p")});
    assert_eq!(negative(through), None);
    let partly = json!({
        "n": node("ConditioningCombine", json!({"conditioning_1": ["z", 0], "conditioning_2": ["r", 0]})),
        "z": zero("t"),
        "r": node("ConditioningSetTimestepRange", json!({"conditioning": ["t", 0], "start": 0.0, "end": 0.1})),
        "t": encode(json!({"text": "blurry"})),
    });
    assert_eq!(negative(partly.clone()).as_deref(), Some("blurry"));
    let mut never = partly;
    never["r"]["inputs"]["end"] = json!(0.0);
    assert_eq!(negative(never), None);
    // The prompt on both sides: many graphs of models without guidance.
    assert_eq!(
        negative(json!({"n": encode(json!({"text": "a desk"}))})),
        None
    );
    let found = graph(json!({"p": zero("n")}));
    assert_eq!(found.settings.prompt, None);
    assert_eq!(found.settings.negative_prompt.as_deref(), Some("blurry"));
    assert!(
        found.missing().contains(&Field::Prompt),
        "zeros are no prompt"
    );
}

#[test]
fn conditionings_that_act_together_are_all_read() {
    let two = |class: &str, one: &str, other: &str| {
        json!({
            "p": node(class, json!({one: ["a", 0], other: ["b", 0], "conditioning_to_strength": 0.5})),
            "a": encode(json!({"text": "a desk"})),
            "b": encode(json!({"text": "maps"})),
        })
    };
    for (class, one, other) in [
        ("ConditioningCombine", "conditioning_1", "conditioning_2"),
        ("ConditioningConcat", "conditioning_to", "conditioning_from"),
        (
            "ConditioningAverage",
            "conditioning_to",
            "conditioning_from",
        ),
        (
            "ConditioningMultiCombine",
            "conditioning_1",
            "conditioning_2",
        ),
    ] {
        let found = positive(two(class, one, other));
        assert_eq!(found.as_deref(), Some("a desk, maps"), "{class}");
    }
    let mut average = two(
        "ConditioningAverage",
        "conditioning_to",
        "conditioning_from",
    );
    average["p"]["inputs"]["conditioning_to_strength"] = json!(1.0);
    assert_eq!(positive(average.clone()).as_deref(), Some("a desk"));
    average["p"]["inputs"]["conditioning_to_strength"] = json!(0.0);
    assert_eq!(positive(average).as_deref(), Some("maps"));
    let area = json!({"p": node("ConditioningSetArea", json!({"conditioning": ["a", 0], "x": 3})), "a": encode(json!({"text": "a desk"}))});
    assert_eq!(positive(area).as_deref(), Some("a desk"));
    let net = json!({
        "31": node("KSampler", json!({"seed": 5, "positive": ["c", 0], "negative": ["c", 1], "latent_image": ["27", 0]})),
        "c": node("ControlNetApplyAdvanced", json!({"positive": ["p", 0], "negative": ["n", 0], "strength": 1, "image": ["i", 0]})),
    });
    let found = graph(net);
    assert_eq!(found.settings.prompt.as_deref(), Some("a desk"));
    assert_eq!(found.settings.negative_prompt.as_deref(), Some("blurry"));
}

#[test]
fn encoders_of_several_texts() {
    for inputs in [
        json!({"text_g": "a desk", "text_l": "a desk", "width": 1024}),
        json!({"text_g": "a desk", "text_l": ""}),
        json!({"text_g": "", "text_l": "a desk"}),
        json!({"clip_l": "", "t5xxl": "a desk", "guidance": 3.5}),
        json!({"clip_l": "a desk", "clip_g": "a desk", "t5xxl": "", "empty_padding": "none"}),
        json!({"prompt": "a desk", "image": ["i", 0]}),
        json!({"text": "a desk", "parser": "A1111", "mean_normalization": true, "text_g": "a desk"}),
    ] {
        let found = graph(json!({"p": node("CLIPTextEncodeX", inputs.clone())}));
        assert_eq!(found.settings.prompt.as_deref(), Some("a desk"), "{inputs}");
        assert!(
            !found.unused.iter().any(|name| name.contains("_l")),
            "{found:?}"
        );
    }
    let found = graph(
        json!({"p": node("CLIPTextEncodeFlux", json!({"clip_l": "wood", "t5xxl": "a desk"}))}),
    );
    assert_eq!(found.settings.prompt.as_deref(), Some("a desk"));
    assert!(
        found.unused.contains(&"clip_l".to_owned()),
        "the other text is said: {found:?}"
    );
}

#[test]
fn texts_of_other_nodes() {
    let constant = |class: &str, key: &str| json!({"p": encode(json!({"text": ["t", 0]})), "t": node(class, json!({key: "a desk"}))});
    for (class, key) in [
        ("PrimitiveString", "value"),
        ("PrimitiveStringMultiline", "value"),
        ("Text Multiline", "text"),
        ("String Literal", "string"),
        ("StringConstantMultiline", "string"),
        ("CR Prompt Text", "prompt"),
        ("Text box", "Text"),
        ("easy positive", "positive"),
        ("ttN text", "text"),
    ] {
        assert_eq!(
            positive(constant(class, key)).as_deref(),
            Some("a desk"),
            "{class}"
        );
    }
    let parts = json!({"a": node("PrimitiveString", json!({"value": "a "})), "b": node("PrimitiveString", json!({"value": "desk"}))});
    for (class, inputs) in [
        (
            "Text Concatenate",
            json!({"text_a": ["a", 0], "text_b": ["b", 0], "text_c": "", "delimiter": " ", "clean_whitespace": "true"}),
        ),
        (
            "StringConcatenate",
            json!({"string_a": ["a", 0], "string_b": ["b", 0], "delimiter": ""}),
        ),
        (
            "JoinStrings",
            json!({"string1": ["a", 0], "string2": "desk", "delimiter": ""}),
        ),
        (
            "CR Text Concatenate",
            json!({"text1": "a", "text2": ["b", 0], "separator": " "}),
        ),
        (
            "StringFunction|pysssss",
            json!({"action": "append", "tidy_tags": "no", "text_a": ["a", 0], "text_b": "desk", "text_c": ""}),
        ),
        ("Reroute (rgthree)", json!({"": ["whole", 0]})),
        (
            "ShowText|pysssss",
            json!({"text": ["whole", 0], "text_0": "of an earlier run"}),
        ),
        (
            "Any Switch (rgthree)",
            json!({"any_02": ["whole", 0], "any_03": ["a", 0]}),
        ),
        (
            "ImpactSwitch",
            json!({"select": 2, "input1": ["a", 0], "input2": ["whole", 0]}),
        ),
        (
            "easy ifElse",
            json!({"boolean": false, "on_true": ["a", 0], "on_false": ["whole", 0]}),
        ),
        (
            "ImpactWildcardProcessor",
            json!({"wildcard_text": "a {desk|table}", "populated_text": "a desk", "mode": "populate", "seed": 9}),
        ),
    ] {
        let mut nodes = parts.clone();
        nodes["whole"] = node("PrimitiveString", json!({"value": "a desk"}));
        nodes["p"] = encode(json!({"text": ["t", 0]}));
        nodes["t"] = node(class, inputs);
        assert_eq!(positive(nodes).as_deref(), Some("a desk"), "{class}");
    }
}

/// A wrong prompt is worse than none: what a node makes of its text is not in the file.
#[test]
fn what_cannot_be_followed_is_said() {
    for (class, inputs) in [
        (
            "SDXLPromptStyler",
            json!({"text_positive": "a desk", "text_negative": "x", "style": "noir"}),
        ),
        (
            "easy stylesSelector",
            json!({"positive": "a desk", "styles": "noir"}),
        ),
        (
            "DPRandomGenerator",
            json!({"text": "a {desk|table}", "seed": 3}),
        ),
        (
            "Text Find and Replace",
            json!({"text": "a desk", "find": "desk", "replace": "table"}),
        ),
        (
            "OllamaGenerate",
            json!({"prompt": "describe a desk", "model": "x"}),
        ),
        (
            "Florence2Run",
            json!({"text_input": "caption this", "image": ["27", 0]}),
        ),
        ("Load Text File", json!({"file_path": "prompts.txt"})),
        ("SomeNodeOfNobody", json!({"a": "a desk", "b": "another"})),
        (
            "StringFunction|pysssss",
            json!({"action": "replace", "text_a": "a desk", "text_b": "desk", "text_c": "table"}),
        ),
        (
            "ImpactSwitch",
            json!({"select": ["31", 0], "input1": ["n", 0], "input2": ["n", 0]}),
        ),
        (
            "Text Concatenate",
            json!({"text_a": "a", "text_b": ["gone", 0], "delimiter": " "}),
        ),
    ] {
        let found =
            graph(json!({"p": encode(json!({"text": ["t", 0]})), "t": node(class, inputs)}));
        assert_eq!(found.settings.prompt, None, "{class}");
        assert_eq!(found.settings.negative_prompt.as_deref(), Some("blurry"));
        assert!(
            is_unread(&found, Field::Prompt) && !found.missing().contains(&Field::Prompt),
            "{class}"
        );
    }
    let found = graph(
        json!({"p": encode(json!({"text": ["t", 0]})), "t": node("SDXLPromptStyler", json!({"text_positive": "x", "style": "y"}))}),
    );
    assert_eq!(
        found.unread[0].to_string(),
        "the prompt, which the node SDXLPromptStyler makes"
    );
}

/// Nodes that branch at every step, and texts that double: within one budget, and no guess where it ends.
#[test]
fn graphs_that_grow_without_bound_are_not_followed() {
    let mut doubled = serde_json::Map::new();
    let mut combined = serde_json::Map::new();
    for i in 0..60 {
        let next = if i == 59 {
            json!("a desk")
        } else {
            json!([format!("t{}", i + 1), 0])
        };
        doubled.insert(
            format!("t{i}"),
            node(
                "JoinStrings",
                json!({"string1": next, "string2": next, "delimiter": ", "}),
            ),
        );
        let next = json!([format!("c{}", i + 1), 0]);
        combined.insert(
            format!("c{i}"),
            node(
                "ConditioningCombine",
                json!({"conditioning_1": next, "conditioning_2": next}),
            ),
        );
    }
    doubled.insert("p".into(), encode(json!({"text": ["t0", 0]})));
    combined.insert(
        "p".into(),
        node("ConditioningCombine", json!({"conditioning_1": ["c0", 0]})),
    );
    combined.insert("c60".into(), encode(json!({"text": "a desk"})));
    for nodes in [doubled, combined] {
        let found = graph(Value::Object(nodes));
        assert_eq!(found.settings.prompt, None);
        assert!(is_unread(&found, Field::Prompt));
    }
}
