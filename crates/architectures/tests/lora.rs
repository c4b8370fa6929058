//! Which weights the pairs of a LoRA are added to, by the names that programs give them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io;

use architectures::lora::{Addition, Component, Target, additions};
use architectures::{Error, Header, ReadAt, Weights};

/// A file of float32 tensors, each of which counts from 1.
fn file(tensors: &[(&str, &[usize])], note: Option<&str>) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    if let Some(note) = note {
        let note = serde_json::json!({"lora_adapter_metadata": note});
        header.insert("__metadata__".to_owned(), note);
    }
    for (name, shape) in tensors {
        let start = data.len();
        for i in 0..shape.iter().product::<usize>() {
            data.extend(((i + 1) as f32).to_le_bytes());
        }
        let offsets = [start, data.len()];
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &data].concat()
}

fn header(file: &[u8]) -> Header {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    Header::parse("x", &file[..8 + length]).unwrap()
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_at(&mut self, _: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        let part = self.0.get(start..start + into.len());
        into.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

const DENOISER: [(&str, &[usize]); 6] = [
    ("down_blocks.0.resnets.0.conv1.weight", &[2, 3, 3, 3]),
    ("down_blocks.0.attentions.0.proj_in.weight", &[4, 3, 1, 1]),
    ("transformer_blocks.0.attn.to_q.weight", &[4, 3]),
    ("transformer_blocks.0.attn.to_k.weight", &[4, 3]),
    ("transformer_blocks.0.attn.to_v.weight", &[5, 3]),
    ("transformer_blocks.0.attn.to_out.0.weight", &[3, 4]),
];
const TEXT: [(&str, &[usize]); 1] = [(
    "text_model.encoder.layers.0.self_attn.q_proj.weight",
    &[3, 3],
)];

fn bound(tensors: &[(&str, &[usize])], note: Option<&str>) -> Result<Vec<Addition>, Error> {
    let (denoiser, text) = (file(&DENOISER, None), file(&TEXT, None));
    let [denoiser, text] = [denoiser, text].map(|bytes| Weights::one("w", &header(&bytes)));
    let lora = file(tensors, note);
    let targets = [
        Target {
            component: Component::Denoiser,
            weights: &denoiser,
        },
        Target {
            component: Component::TextEncoder(0),
            weights: &text,
        },
    ];
    additions("l", &header(&lora), &mut Bytes(lora), &targets)
}

/// Every program's name of one module is the same weight.
#[test]
fn names_of_all_programs_lead_to_the_weights() {
    let q = "transformer_blocks.0.attn.to_q.weight";
    let out = "transformer_blocks.0.attn.to_out.0.weight";
    let conv = "down_blocks.0.resnets.0.conv1.weight";
    let word = "text_model.encoder.layers.0.self_attn.q_proj.weight";
    for (module, down, up, tensor) in [
        ("unet.transformer_blocks.0.attn.to_q", "lora_A", "lora_B", q),
        (
            "transformer.transformer_blocks.0.attn.to_q",
            "lora.down",
            "lora.up",
            q,
        ),
        (
            "diffusion_model.transformer_blocks.0.attn.to_q",
            "lora_A",
            "lora_B",
            q,
        ),
        ("transformer_blocks.0.attn.to_q", "lora_down", "lora_up", q),
        (
            "lora_unet_transformer_blocks_0_attn_to_q",
            "lora_down",
            "lora_up",
            q,
        ),
        (
            "lora_transformer_transformer_blocks_0_attn_to_q",
            "lora_A.default",
            "lora_B.default",
            q,
        ),
        (
            "lora_unet_transformer_blocks_0_attn_to_out_0",
            "lora_down",
            "lora_up",
            out,
        ),
        (
            "lora_unet_double_blocks_0_img_attn_proj",
            "lora_down",
            "lora_up",
            out,
        ),
        (
            "diffusion_model.joint_blocks.0.x_block.attn.proj",
            "lora_A",
            "lora_B",
            out,
        ),
        (
            "lora_unet_input_blocks_1_0_in_layers_2",
            "lora_down",
            "lora_up",
            conv,
        ),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
            "lora_linear_layer.down",
            "lora_linear_layer.up",
            word,
        ),
        (
            "text_encoder.encoder.layers.0.self_attn.q_proj",
            "lora_A",
            "lora_B",
            word,
        ),
        (
            "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
            "lora_down",
            "lora_up",
            word,
        ),
        (
            "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
            "lora_down",
            "lora_up",
            word,
        ),
    ] {
        let all = DENOISER.iter().chain(&TEXT);
        let (_, shape) = all.into_iter().find(|(name, _)| *name == tensor).unwrap();
        let mut down_shape = shape.to_vec();
        down_shape[0] = 2;
        let mut up_shape = vec![1; shape.len()];
        up_shape[..2].copy_from_slice(&[shape[0], 2]);
        let names = [
            format!("{module}.{down}.weight"),
            format!("{module}.{up}.weight"),
        ];
        let found = bound(&[(&names[0], &down_shape), (&names[1], &up_shape)], None).unwrap();
        assert_eq!(found.len(), 1, "{module}");
        assert_eq!(
            (&*found[0].tensor, found[0].rank, found[0].scale),
            (tensor, 2, 1.0),
            "{module}"
        );
    }
    // The attention processors of diffusers' first years.
    let names = [
        "transformer_blocks.0.attn.processor.to_out_lora.down.weight",
        "transformer_blocks.0.attn.processor.to_out_lora.up.weight",
    ];
    let found = bound(&[(names[0], &[1, 4]), (names[1], &[3, 1])], None).unwrap();
    assert_eq!(found[0].tensor, out);
}

/// Rows of a fused matrix belong to its parts in their order, and they share the first factor.
#[test]
fn a_fused_matrix_is_cut_by_its_rows() {
    let name = |end: &str| format!("lora_unet_double_blocks_0_img_attn_qkv.{end}");
    let (down, up, alpha) = (
        name("lora_down.weight"),
        name("lora_up.weight"),
        name("alpha"),
    );
    let tensors: [(&str, &[usize]); 3] = [(&down, &[2, 3]), (&up, &[13, 2]), (&alpha, &[])];
    let found = bound(&tensors, None).unwrap();
    let row = 2 * 4;
    let start = found.iter().map(|part| part.up.offset).min().unwrap();
    for (tensor, first, rows) in [("to_q", 0, 4), ("to_k", 4, 4), ("to_v", 8, 5)] {
        let part = found
            .iter()
            .find(|part| part.tensor.contains(tensor))
            .unwrap();
        assert_eq!(
            (part.up.offset - start, part.up.length),
            (first * row, rows * row)
        );
        assert_eq!(part.size(), [rows as usize, 3]);
        // Its alpha is 1, the first number of its tensor.
        assert_eq!(part.scale, 0.5);
        assert!(found.iter().all(|other| other.down == part.down));
    }
    let short: [(&str, &[usize]); 2] = [(&down, &[2, 3]), (&up, &[12, 2])];
    let error = bound(&short, None).unwrap_err().to_string();
    assert!(error.contains("12 rows") && error.contains("13"), "{error}");
}

/// alpha by the rank, or by its root, as PEFT's configuration says.
#[test]
fn alpha_is_where_diffusers_notes_it() {
    let names = [
        "unet.transformer_blocks.0.attn.to_q.lora_A.weight",
        "unet.transformer_blocks.0.attn.to_q.lora_B.weight",
    ];
    let scale = |note: &str| {
        let found = bound(&[(names[0], &[4, 3]), (names[1], &[4, 4])], Some(note));
        found
            .map(|found| found[0].scale)
            .map_err(|error| error.to_string())
    };
    assert_eq!(scale(r#"{"unet.lora_alpha": 2, "unet.r": 4}"#), Ok(0.5));
    assert_eq!(
        scale(r#"{"unet.lora_alpha": 2, "unet.use_rslora": true}"#),
        Ok(1.0)
    );
    assert_eq!(
        scale(r#"{"unet.lora_alpha": 2, "unet.alpha_pattern": {"attn.to_q": 8}}"#),
        Ok(2.0)
    );
    assert_eq!(
        scale(r#"{"unet.lora_alpha": 2, "unet.alpha_pattern": {"tn.to_q": 8}}"#),
        Ok(0.5)
    );
    assert_eq!(scale(r#"{"text_encoder.lora_alpha": 2}"#), Ok(1.0));
    for bad in [
        "[]",
        "{",
        r#"{"unet.lora_alpha": "x"}"#,
        r#"{"unet.use_dora": true}"#,
    ] {
        assert!(scale(bad).is_err(), "{bad}");
    }
}

#[test]
fn two_names_of_one_weight_are_refused() {
    let names = [
        "unet.transformer_blocks.0.attn.to_q.lora_A.weight",
        "unet.transformer_blocks.0.attn.to_q.lora_B.weight",
        "lora_unet_transformer_blocks_0_attn_to_q.lora_down.weight",
        "lora_unet_transformer_blocks_0_attn_to_q.lora_up.weight",
    ];
    let tensors: Vec<(&str, &[usize])> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (*name, if i % 2 == 0 { &[1, 3][..] } else { &[4, 1][..] }))
        .collect();
    let error = bound(&tensors, None).unwrap_err().to_string();
    assert!(error.contains("added to twice"), "{error}");
}
