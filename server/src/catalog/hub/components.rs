//! Sizes of a model's parts from its list of files.
//!
//! Repositories hold the same weights several times over: as safetensors and as pickles, in two precisions, for other
//! frameworks. What counts is what diffusers loads where nothing else is asked for.

use std::collections::BTreeMap;

use protocol::ComponentSize;

use super::HubFile;

/// Kinds of weight files in the order of preference.
const KINDS: [&[&str]; 3] = [
    &[".safetensors"],
    &[".bin"],
    &[".onnx", ".onnx_data", ".onnx.data"],
];

/// The parts by folder; none where a size is missing or there are no folders.
pub(super) fn of(files: &[HubFile]) -> Vec<ComponentSize> {
    let mut folders: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for file in files {
        if let (Some((folder, name)), Some(bytes)) = (file.path.split_once('/'), file.bytes)
            && !name.contains('/')
        {
            folders.entry(folder).or_default().push((name, bytes));
        }
    }
    folders
        .into_iter()
        .filter_map(|(folder, files)| {
            KINDS.iter().find_map(|kind| {
                let weights = files.iter().filter(|(name, _)| is_weights(name, kind));
                let bytes: u64 = weights.map(|(_, bytes)| bytes).sum();
                (bytes > 0).then(|| ComponentSize {
                    name: folder.to_owned(),
                    bytes: Some(bytes),
                    dtype: None,
                    smaller: None,
                })
            })
        })
        .collect()
}

/// `model.safetensors` or a shard of it, not a variant such as `model.fp16.safetensors`.
fn is_weights(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| {
        name.strip_suffix(ending)
            .is_some_and(|stem| !stem.contains('.') && !stem.starts_with("flax_"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_counted_once() {
        let files: Vec<HubFile> = [
            ("README.md", 10),
            ("v1-5-pruned.safetensors", 7_000),
            ("unet/config.json", 1),
            ("unet/diffusion_pytorch_model.safetensors", 3_000),
            ("unet/diffusion_pytorch_model.fp16.safetensors", 1_500),
            ("unet/diffusion_pytorch_model.bin", 3_001),
            ("text_encoder/model-00001-of-00002.safetensors", 400),
            ("text_encoder/model-00002-of-00002.safetensors", 92),
            ("vae/diffusion_pytorch_model.bin", 330),
            ("vae/flax_model.bin", 330),
            ("transformer/model.onnx", 2),
            ("transformer/model.onnx_data", 900),
            ("tokenizer/vocab.json", 1_000),
        ]
        .map(|(path, bytes)| HubFile {
            path: path.into(),
            bytes: Some(bytes),
            sha256: None,
        })
        .into();
        let sizes: Vec<(String, Option<u64>)> =
            of(&files).into_iter().map(|c| (c.name, c.bytes)).collect();
        let expected = [
            ("text_encoder", 492),
            ("transformer", 902),
            ("unet", 3_000),
            ("vae", 330),
        ];
        assert_eq!(
            sizes,
            expected.map(|(name, bytes)| (name.to_owned(), Some(bytes)))
        );
    }
}
