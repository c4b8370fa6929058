//! Which sampler of ComfyUI's graphs counts, and where its numbers come from.

use crate::support::{png, reading, settings, text};
use png_recipe::{Field, ReadError, Settings, read};
use serde_json::{Value, json};

fn node(class: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

fn of(nodes: &Value) -> png_recipe::Reading {
    reading("prompt", &nodes.to_string())
}

/// Two passes of one picture, and a sampler that leads nowhere.
fn passes() -> Value {
    json!({
        "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "dreamy.safetensors"})),
        "2": node("CLIPTextEncode", json!({"text": "a tram", "clip": ["1", 1]})),
        "3": node("CLIPTextEncode", json!({"text": "people", "clip": ["1", 1]})),
        "4": node("EmptyLatentImage", json!({"width": 512})),
        "20": node("KSampler", json!({"seed": 7, "steps": 22, "cfg": 6.0, "model": ["1", 0], "positive": ["2", 0],
            "negative": ["3", 0], "latent_image": ["4", 0]})),
        "5": node("LatentUpscale", json!({"samples": ["20", 0]})),
        "6": node("KSampler", json!({"seed": 8, "steps": 9, "cfg": 3.0, "model": ["1", 0], "positive": ["x", 0],
            "negative": ["3", 0], "latent_image": ["5", 0]})),
        "x": node("CLIPTextEncode", json!({"text": "details"})),
        "7": node("VAEDecode", json!({"samples": ["6", 0], "vae": ["1", 2]})),
        "8": node("SaveImage", json!({"images": ["7", 0], "filename_prefix": "x"})),
        "0": node("KSampler", json!({"seed": 1, "steps": 1, "cfg": 1.0, "model": ["1", 0], "positive": ["y", 0],
            "negative": ["3", 0], "latent_image": ["4", 0]})),
        "y": node("CLIPTextEncode", json!({"text": "another picture"})),
        "p": node("PreviewImage", json!({"images": ["q", 0]})),
        "q": node("VAEDecode", json!({"samples": ["0", 0]})),
    })
}

fn first_pass() -> Settings {
    settings("dreamy.safetensors", "a tram", "people", 7, 22, 6.0)
}

#[test]
fn the_sampler_that_made_the_saved_picture_counts() {
    let found = of(&passes());
    assert_eq!(found.settings, first_pass());
    assert!(
        found.unused.contains(&"2 more samplers".to_owned()),
        "{found:?}"
    );
    // A detailer is a pass, too, and pictures go through other nodes on their way.
    let mut more = passes();
    more["d"] = node(
        "FaceDetailer",
        json!({"image": ["7", 0], "model": ["1", 0], "positive": ["y", 0], "negative": ["3", 0],
        "seed": 3, "steps": 4, "cfg": 2.0}),
    );
    more["s"] = node("ImageScale", json!({"image": ["d", 0]}));
    more["8"]["inputs"]["images"] = json!(["s", 0]);
    assert_eq!(of(&more).settings, first_pass());
    // Without a node that saves, what is shown counts.
    more.as_object_mut().unwrap().remove("8");
    assert_eq!(
        of(&more).settings.prompt.as_deref(),
        Some("another picture")
    );
}

#[test]
fn a_picture_that_no_sampler_leads_to_is_said() {
    let mut nodes = passes();
    nodes["8"]["inputs"]["images"] = json!(["l", 0]);
    nodes["l"] = node("LoadImage", json!({"image": "x.png"}));
    let error = read(&png(&[text("prompt", nodes.to_string().as_bytes())])).unwrap_err();
    let ReadError::Unreadable { detail, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        detail,
        "none of its graph’s samplers leads to the saved picture"
    );
}

/// A file does not say which of the pictures of its run it is.
#[test]
fn several_saved_pictures_leave_only_what_they_share() {
    let mut nodes = passes();
    nodes["p"]["class_type"] = json!("SaveImage");
    let found = of(&nodes);
    let expected = Settings {
        model: Some("dreamy.safetensors".into()),
        negative_prompt: Some("people".into()),
        ..Settings::default()
    };
    assert_eq!(found.settings, expected);
    let unread: Vec<Field> = found.unread.iter().map(|u| u.field).collect();
    assert_eq!(
        unread,
        [Field::Prompt, Field::Seed, Field::Steps, Field::Guidance]
    );
    assert_eq!(
        found.unread[0].why,
        "which differs between the pictures of its graph"
    );
}

/// jags111/efficiency-nodes-comfyui and yolain/ComfyUI-Easy-Use: loaders with both prompts, samplers with a pipe.
#[test]
fn loaders_that_hold_both_prompts() {
    let efficient = json!({
        "1": node("Efficient Loader", json!({"ckpt_name": "dreamy.safetensors", "lora_name": "None", "positive": "a tram",
            "negative": ["n", 0], "token_normalization": "none", "batch_size": 1})),
        "n": node("PrimitiveString", json!({"value": "people"})),
        "2": node("KSampler (Efficient)", json!({"seed": ["5", 0], "steps": 22, "cfg": 6.0, "model": ["1", 0], "positive": ["1", 1],
            "negative": ["1", 2], "latent_image": ["1", 3]})),
        "4": node("KSampler (Efficient)", json!({"seed": 9, "steps": 5, "cfg": 1.0, "model": ["2", 0], "positive": ["2", 1],
            "negative": ["2", 2], "latent_image": ["2", 3]})),
        "5": node("Seed (rgthree)", json!({"seed": 7})),
        "3": node("SaveImage", json!({"images": ["4", 5]})),
    });
    assert_eq!(of(&efficient).settings, first_pass());
    let easy = json!({
        "1": node("easy fullLoader", json!({"ckpt_name": "dreamy.safetensors", "positive": "a tram", "negative": "people"})),
        "2": node("easy preSampling", json!({"steps": 22, "cfg": 6.0, "seed": 7, "denoise": 1, "pipe": ["1", 0]})),
        "3": node("easy kSampler", json!({"image_output": "Save", "pipe": ["2", 0]})),
    });
    assert_eq!(of(&easy).settings, first_pass());
    let basic = json!({
        "1": node("CheckpointLoaderSimple", json!({"ckpt_name": {"content": "dreamy.safetensors", "image": "x"}})),
        "2": node("CLIPTextEncode", json!({"text": "a tram"})),
        "3": node("CLIPTextEncode", json!({"text": "people"})),
        "4": node("ToBasicPipe", json!({"model": ["1", 0], "clip": ["1", 1], "positive": ["2", 0], "negative": ["3", 0]})),
        "5": node("FromBasicPipe", json!({"basic_pipe": ["4", 0]})),
        "6": node("KSampler", json!({"seed": 7, "steps": 22, "cfg": 6, "model": ["5", 0], "positive": ["5", 3], "negative": ["5", 4]})),
    });
    assert_eq!(of(&basic).settings, first_pass());
}

/// Custom sampling of ComfyUI: noise, guider, sigmas and sampler are nodes of their own.
#[test]
fn custom_sampling() {
    let mut nodes = json!({
        "10": node("SamplerCustomAdvanced", json!({"noise": ["11", 0], "guider": ["12", 0], "sampler": ["13", 0], "sigmas": ["19", 0],
            "latent_image": ["15", 0]})),
        "11": node("RandomNoise", json!({"noise_seed": ["5", 0]})),
        "5": node("PrimitiveInt", json!({"value": 7})),
        "12": node("CFGGuider", json!({"cfg": 6, "model": ["16", 0], "positive": ["17", 0], "negative": ["18", 0]})),
        "13": node("KSamplerSelect", json!({"sampler_name": "euler"})),
        "14": node("BasicScheduler", json!({"scheduler": "simple", "steps": 22, "denoise": 1.0, "model": ["16", 0]})),
        "19": node("SplitSigmas", json!({"sigmas": ["14", 0], "step": 3})),
        "15": node("EmptyLatentImage", json!({"width": 768})),
        "16": node("LoraLoaderModelOnly", json!({"lora_name": "l", "model": ["20", 0]})),
        "20": node("UNETLoader", json!({"unet_name": "dreamy.safetensors"})),
        "17": node("CLIPTextEncode", json!({"text": "a tram"})),
        "18": node("CLIPTextEncode", json!({"text": "people"})),
        "21": node("VAEDecodeTiled", json!({"samples": ["10", 0]})),
        "22": node("Image Save", json!({"images": ["21", 0]})),
    });
    assert_eq!(of(&nodes).settings, first_pass());
    // Without guidance there is neither a scale nor a negative prompt.
    nodes["12"] = node(
        "BasicGuider",
        json!({"model": ["16", 0], "conditioning": ["17", 0]}),
    );
    let found = of(&nodes);
    assert_eq!(found.settings.prompt.as_deref(), Some("a tram"));
    assert_eq!(
        (
            found.settings.negative_prompt,
            found.settings.guidance_scale
        ),
        (None, None)
    );
    // Guiders of more prompts than two are not read at all.
    nodes["12"] = node(
        "DualCFGGuider",
        json!({"model": ["16", 0], "cond1": ["17", 0], "cond2": ["18", 0], "negative": ["18", 0]}),
    );
    let found = of(&nodes);
    assert_eq!(found.settings.prompt, None);
    assert_eq!(found.unread[0].field, Field::Prompt);
}

#[test]
fn numbers_and_models_that_are_made_are_not_guessed() {
    let mut nodes = passes();
    nodes["20"]["inputs"]["seed"] = json!(["m", 0]);
    nodes["20"]["inputs"]["model"] = json!(["w", 0]);
    nodes["m"] = node(
        "MathExpression|pysssss",
        json!({"expression": "a + 1", "a": ["k", 0]}),
    );
    nodes["k"] = node("PrimitiveInt", json!({"value": 6}));
    nodes["w"] = node(
        "ModelMergeSimple",
        json!({"model1": ["1", 0], "model2": ["1", 0], "ratio": 0.5}),
    );
    let found = of(&nodes);
    let expected = Settings {
        model: None,
        seed: None,
        ..first_pass()
    };
    assert_eq!(found.settings, expected);
    let unread: Vec<String> = found.unread.iter().map(ToString::to_string).collect();
    assert_eq!(
        unread,
        [
            "the seed, which the node MathExpression|pysssss makes",
            "the model, which the node ModelMergeSimple makes",
        ]
    );
}

/// A service of others, asked by a node.
#[test]
fn services_are_asked_by_a_prompt() {
    let nodes = json!({
        "1": node("FluxProUltraImageNode", json!({"prompt": ["2", 0], "seed": 7, "raw": false})),
        "2": node("PrimitiveStringMultiline", json!({"value": "a tram"})),
        "3": node("SaveImage", json!({"images": ["1", 0]})),
    });
    let found = of(&nodes);
    assert_eq!(
        (found.settings.prompt.as_deref(), found.settings.seed),
        (Some("a tram"), Some(7))
    );
}
