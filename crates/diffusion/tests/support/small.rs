//! A package of small graphs: prompts of twelve tokens of four numbers each.

use diffusion::Package;
use diffusion::tokenizer::clip;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Tokens of a prompt.
pub const LENGTH: usize = 12;

/// What differs between such packages.
pub struct Small<'s> {
    pub id: &'s str,
    pub scheduler: &'s Value,
    /// Channels, height and width.
    pub latents: [usize; 3],
    /// Height and width.
    pub picture: [u32; 2],
    /// Steps where a request leaves them open.
    pub steps: u32,
    /// Text encoder, denoiser and decoder.
    pub graphs: [&'s [u8]; 3],
}

impl Small<'_> {
    pub fn package(&self) -> Package {
        let vocabulary = include_bytes!("../data/clip/vocab.json");
        let merges = include_str!("../data/clip/merges.txt");
        let tokenizer = clip::tokenizer_json(vocabulary, merges).unwrap();
        let names = ["text_encoder.onnx", "denoiser.onnx", "decoder.onnx"];
        let graphs = names.into_iter().zip(self.graphs.map(<[u8]>::to_vec));
        let files: Vec<(String, Vec<u8>)> = std::iter::once(("tokenizer.json", tokenizer))
            .chain(graphs)
            .map(|(name, bytes)| (name.to_owned(), bytes))
            .collect();
        let manifest = self.manifest(&files).to_string();
        Package::from_files(manifest.as_bytes(), files.into_iter().collect()).unwrap()
    }

    fn manifest(&self, files: &[(String, Vec<u8>)]) -> Value {
        let [c, h, w] = self.latents;
        let [height, width] = self.picture;
        let port = |name: &str, dtype: &str, shape: &[usize]| json!({"name": name, "dtype": dtype, "shape": shape});
        let latents = |name: &str| port(name, "float32", &[1, c, h, w]);
        let states = |name: &str| port(name, "float32", &[1, LENGTH, 4]);
        let entries: Vec<_> = files
            .iter()
            .map(|(name, bytes)| json!({"name": name, "bytes": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes))}))
            .collect();
        json!({
            "format": 1, "id": self.id, "name": "Small", "creator": "test", "version": "1", "summary": "None.",
            "license": "MIT", "example_prompts": [], "image": {"width": width, "height": height}, "latents": self.latents,
            "tokenizer": {"file": "tokenizer.json", "max_length": LENGTH, "pad_id": 537, "pad_token": clip::END},
            "scheduler": self.scheduler, "wiring": "stable-diffusion", "latent_scale": 0.18215,
            "components": {
                "text_encoder": {
                    "file": "text_encoder.onnx", "inputs": [port("input_ids", "int64", &[1, LENGTH])],
                    "outputs": [states("last_hidden_state")]
                },
                "denoiser": {
                    "file": "denoiser.onnx",
                    "inputs": [latents("sample"), port("timestep", "float32", &[1]), states("encoder_hidden_states")],
                    "outputs": [latents("out_sample")]
                },
                "decoder": {
                    "file": "decoder.onnx", "inputs": [latents("latent_sample")],
                    "outputs": [port("sample", "float32", &[1, 3, height as usize, width as usize])]
                }
            },
            "defaults": {"num_inference_steps": self.steps, "guidance_scale": 2.0},
            "limits": {"min_steps": 1, "max_steps": 50, "min_guidance": 0.0, "max_guidance": 9.0},
            "needs": {"max_buffer_size": 1, "max_storage_buffer_binding_size": 1, "memory_bytes": 1},
            "files": entries
        })
    }
}
