//! A package that can begin with pictures: the built-in model, and an encoder of one convolution.

use std::path::Path;

use diffusion::Manifest;
use serde_json::{Value, json};
use server::images::verify::sha256_hex;
use tempfile::TempDir;

use crate::hub::models_dir;

pub const MODEL: &str = "test/begins";
/// Pixels per latent, down and across, and channels of the latents.
const STRIDE: usize = 16;
const CHANNELS: usize = 16;

/// A models folder with that package and the built-in model.
pub fn models() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let glyph = models_dir().join("glyph");
    let (same, begins) = (dir.path().join("glyph"), dir.path().join("begins"));
    for folder in [&same, &begins] {
        std::fs::create_dir(folder).unwrap();
        for entry in std::fs::read_dir(&glyph).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
    }
    write(&begins);
    dir
}

fn write(dir: &Path) {
    let json = std::fs::read(dir.join("manifest.json")).unwrap();
    let glyph = Manifest::parse(&json).unwrap();
    let encoder = encoder();
    std::fs::write(dir.join("encoder.onnx"), &encoder).unwrap();
    let mut graphs = serde_json::to_value(&glyph.graphs).unwrap();
    let port = |name: &str, shape: Value| json!({"name": name, "dtype": "float32", "shape": shape});
    graphs["encoder"] = json!({
        "file": "encoder.onnx",
        "inputs": [port("picture", json!([1, 3, "height", "width"]))],
        "outputs": [port("latents", json!([1, CHANNELS, "h", "w"]))],
    });
    let mut files = serde_json::to_value(glyph.files().collect::<Vec<_>>()).unwrap();
    files.as_array_mut().unwrap().push(json!({
        "name": "encoder.onnx", "bytes": encoder.len(), "sha256": sha256_hex(&encoder),
    }));
    let manifest = json!({
        "format": 2,
        "id": MODEL,
        "name": "Begins",
        "creator": "test",
        "version": "1",
        "summary": "Begins with pictures.",
        "license": "Apache-2.0",
        "example_prompts": [],
        "graphs": graphs,
        "texts": glyph.texts,
        "conditioning": glyph.conditioning,
        "latents": glyph.latents,
        "denoiser": glyph.denoiser,
        "guidance": glyph.guidance,
        "scheduler": glyph.scheduler,
        "decoder": glyph.decoder,
        "encoder": {"graph": "encoder"},
        "sizes": glyph.sizes,
        "negative_prompt": glyph.negative_prompt,
        "defaults": glyph.defaults,
        "limits": glyph.limits,
        "needs": glyph.needs,
        "files": files,
    });
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
}

/// Latent c is the mean of the colour c % 3 over its square.
fn encoder() -> Vec<u8> {
    let mut weights = Vec::new();
    for channel in 0..CHANNELS {
        for colour in 0..3 {
            let share = if channel % 3 == colour { 1.0 } else { 0.0 };
            let value = share / (STRIDE * STRIDE) as f32;
            weights.extend(value.to_le_bytes().repeat(STRIDE * STRIDE));
        }
    }
    let dims = [CHANNELS, 3, STRIDE, STRIDE].map(|n| number(1, n as u64));
    let initializer = [
        dims.concat(),
        number(2, 1),
        text(8, b"w"),
        text(9, &weights),
    ];
    let ints = |values: [usize; 2]| values.map(|n| number(8, n as u64)).concat();
    let attribute = |name: &[u8], values| [text(1, name), ints(values), number(20, 7)].concat();
    let node = [
        text(1, b"picture"),
        text(1, b"w"),
        text(2, b"latents"),
        text(4, b"Conv"),
        text(5, &attribute(b"strides", [STRIDE; 2])),
        text(5, &attribute(b"kernel_shape", [STRIDE; 2])),
    ];
    let value = |name: &[u8], shape: [usize; 4]| {
        let dims = shape.map(|n| text(1, &number(1, n as u64))).concat();
        let tensor = [number(1, 1), text(2, &dims)].concat();
        [text(1, name), text(2, &text(1, &tensor))].concat()
    };
    let graph = [
        text(1, &node.concat()),
        text(2, b"encoder"),
        text(5, &initializer.concat()),
        text(11, &value(b"picture", [1, 3, 128, 128])),
        text(12, &value(b"latents", [1, CHANNELS, 8, 8])),
    ];
    [
        number(1, 8),
        text(7, &graph.concat()),
        text(8, &number(2, 13)),
    ]
    .concat()
}

/// A field of a protocol buffer that holds a number.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// One that holds bytes.
fn text(field: u64, bytes: &[u8]) -> Vec<u8> {
    let head = [varint(field << 3 | 2), varint(bytes.len() as u64)].concat();
    [&head, bytes].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
