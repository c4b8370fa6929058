//! Checkpoints in one file, by the names and shapes of the published ones (published/checkpoints.py).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::Read;

use architectures::original::{Checkpoint, Component, Family, Prediction};
use architectures::{Header, Part, States, Texts, build};
use serde_json::Value;

/// Decoder and the convolution before it; of the last layer that SDXL's first encoder does not run: see published.rs.
const DECODER: u64 = 83_653_863 - 34_163_592 - (8 * 8 + 8);
const CLIP_L_LAYER: u64 = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768;

fn texts(states: States, pooled: bool) -> Part {
    Part::TextEncoder(Texts {
        states,
        pooled,
        skips: 0,
    })
}

/// The header of a checkpoint whose tensors, of 16 bits, have these names and shapes.
fn header(packed: &[u8], change: impl Fn(&mut serde_json::Map<String, Value>)) -> Header {
    let mut json = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut json)
        .unwrap();
    let mut shapes: serde_json::Map<String, Value> = serde_json::from_str(&json).unwrap();
    change(&mut shapes);
    let mut end = 0;
    let entries = shapes.into_iter().map(|(name, shape)| {
        if name == "__metadata__" {
            return (name, shape);
        }
        let sizes = shape.as_array().unwrap().iter();
        let begin = end;
        end += 2 * sizes.map(|size| size.as_u64().unwrap()).product::<u64>();
        (
            name,
            serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}),
        )
    });
    let json = Value::Object(entries.collect()).to_string();
    let start = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    Header::parse("model.safetensors", &start).unwrap()
}

const SD15: &[u8] = include_bytes!("published/checkpoint-sd15.json.gz");
const SD21: &[u8] = include_bytes!("published/checkpoint-sd21.json.gz");
const SDXL: &[u8] = include_bytes!("published/checkpoint-sdxl.json.gz");

/// Names and shapes of the published files give configurations of which the published numbers of parameters are built.
#[test]
fn published_checkpoints_are_the_published_networks() {
    let last = || texts(States::Last, false);
    for (packed, family, parts) in [
        (
            SD15,
            Family::First,
            vec![
                (Component::TextEncoder, last(), 123_060_480),
                (Component::Unet, Part::Denoiser, 859_520_964),
                (Component::Vae, Part::Decoder, DECODER),
            ],
        ),
        (
            SD21,
            Family::Second,
            vec![
                (Component::TextEncoder, last(), 340_387_840),
                (Component::Unet, Part::Denoiser, 865_910_724),
            ],
        ),
        (
            SDXL,
            Family::Xl,
            vec![
                (
                    Component::TextEncoder,
                    texts(States::BeforeLast, false),
                    123_060_480 - CLIP_L_LAYER - 2 * 768,
                ),
                (
                    Component::TextEncoder2,
                    texts(States::BeforeLast, true),
                    694_659_840,
                ),
                (Component::Unet, Part::Denoiser, 2_567_463_684),
                (Component::Vae, Part::Decoder, DECODER),
            ],
        ),
    ] {
        let header = header(packed, |_| {});
        let checkpoint = Checkpoint::read("model.safetensors", &header).unwrap();
        assert_eq!(checkpoint.facts().family, family);
        for (component, part, parameters) in parts {
            let config = checkpoint.config(component).unwrap();
            let built = build("net", &part, &config, &checkpoint.weights(component));
            let built = built.unwrap_or_else(|e| panic!("{family:?} {component:?}: {e}"));
            assert_eq!(built.parameters, parameters, "{family:?} {component:?}");
        }
    }
}

/// Files that are something else, or were cut down, are refused with what they are.
#[test]
fn other_checkpoints_are_refused_by_name() {
    let refused = |packed: &[u8], change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let header = header(packed, change);
        let error = Checkpoint::read("model.safetensors", &header).unwrap_err();
        error.to_string()
    };
    let with = |name: &str| {
        let name = name.to_owned();
        refused(SD15, &move |shapes| {
            shapes.insert(name.clone(), serde_json::json!([4, 4]));
        })
    };
    for (name, what) in [
        (
            "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight",
            "LoRA",
        ),
        (
            "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight",
            "Stable Diffusion 3",
        ),
        ("double_blocks.0.img_attn.qkv.weight", "FLUX"),
        ("conditioner.embedders.0.model.ln_final.weight", "refiner"),
        ("control_model.input_blocks.0.0.weight", "ControlNet"),
        ("edm_vpred.sigma_max", "EDM"),
        ("model.diffusion_model.label_emb.0.0.weight", "unCLIP"),
        (
            "model.diffusion_model.input_blocks.12.0.in_layers.0.weight",
            "input_blocks.12",
        ),
        (
            "first_stage_model.decoder.up.4.block.0.norm1.weight",
            "up.4",
        ),
        (
            "cond_stage_model.model.ln_final.weight",
            "cond_stage_model.model",
        ),
        ("stray", "stray"),
    ] {
        let error = with(name);
        assert!(error.contains(what), "{name}: {error}");
    }
    let channels = |count: usize| {
        refused(SD15, &move |shapes| {
            shapes["model.diffusion_model.input_blocks.0.0.weight"][1] = count.into();
        })
    };
    for (count, what) in [
        (5, "depth"),
        (7, "upscaler"),
        (8, "InstructPix2Pix"),
        (16, "16 channels"),
    ] {
        assert!(channels(count).contains(what), "{}", channels(count));
    }
    let without = |start: &'static str| {
        refused(SDXL, &move |shapes| {
            shapes.retain(|name, _| !name.starts_with(start))
        })
    };
    assert!(without("first_stage_model.").contains("has no vae"));
    assert!(without("conditioner.").contains("no text encoder"));
    assert!(without("conditioner.embedders.1.").contains("has no text_encoder_2"));
    assert!(without("model.").contains("no checkpoint of Stable Diffusion"));
    let odd = refused(SD21, &|shapes| {
        let name = "cond_stage_model.model.transformer.resblocks.3.attn.in_proj_bias";
        shapes[name][0] = 3071.into();
    });
    assert!(odd.contains("in_proj_bias"), "{odd}");
}

/// What training leaves behind changes nothing, markers say what they say, and other widths are not guessed at.
#[test]
fn checkpoints_say_what_they_are() {
    let read = |packed: &[u8], change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        Checkpoint::read("model.safetensors", &header(packed, change)).unwrap()
    };
    let plain = read(SDXL, &|_| {});
    assert_eq!(
        (plain.facts().prediction, plain.facts().inpainting),
        (None, false)
    );
    let marked = read(SDXL, &|shapes| {
        for name in [
            "v_pred",
            "ztsnr",
            "denoiser.sigmas",
            "model_ema.decay",
            "conditioner.embedders.1.model.logit_scale",
        ] {
            shapes.insert(name.to_owned(), serde_json::json!([]));
        }
        shapes["model.diffusion_model.input_blocks.0.0.weight"][1] = 9.into();
        shapes.insert(
            "__metadata__".to_owned(),
            serde_json::json!({"modelspec.resolution": "768x768"}),
        );
    });
    let facts = marked.facts();
    assert_eq!(facts.prediction, Some(Prediction::Velocity));
    assert!(facts.zero_snr && facts.inpainting && facts.resolution == Some([768; 2]));
    assert_eq!(marked.config(Component::Unet).unwrap()["in_channels"], 9);
    for component in Component::ALL {
        let same = marked
            .weights(component)
            .names()
            .eq(plain.weights(component).names());
        assert!(same, "{component:?}");
    }
    // Some files of Stable Diffusion 2 were saved without the layer that nobody reads.
    let cut = read(SD21, &|shapes| {
        shapes.retain(|name, _| !name.contains("resblocks.23."))
    });
    assert_eq!(
        cut.config(Component::TextEncoder).unwrap()["num_hidden_layers"],
        23
    );
    let wide = read(SD15, &|shapes| {
        let words = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight";
        shapes[words][1] = 512.into();
    });
    let error = wide.config(Component::TextEncoder).unwrap_err().to_string();
    assert!(error.contains("512") && error.contains("--like"), "{error}");
}
