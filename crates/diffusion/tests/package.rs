//! Packages that are broken in one way each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashMap;
use std::path::Path;

use diffusion::manifest::FileEntry;
use diffusion::package::verify;
use diffusion::{ErrorKind, Manifest, Package};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const GLYPH: &str = include_str!("../../../models/glyph/manifest.json");

fn glyph() -> Value {
    serde_json::from_str(GLYPH).unwrap()
}

/// A package whose files hold a few bytes each, with a manifest that fits them.
fn small() -> (Value, HashMap<String, Vec<u8>>) {
    let mut manifest = glyph();
    let mut files = HashMap::new();
    for entry in manifest["files"].as_array_mut().unwrap() {
        let name = entry["name"].as_str().unwrap().to_owned();
        let bytes = format!("the bytes of {name}").into_bytes();
        entry["bytes"] = json!(bytes.len());
        entry["sha256"] = json!(hex::encode(Sha256::digest(&bytes)));
        files.insert(name, bytes);
    }
    (manifest, files)
}

fn write(dir: &Path, manifest: &Value, files: &HashMap<String, Vec<u8>>) {
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

/// The kind of failure, which has to be the same from memory and from a folder.
fn failure(manifest: &Value, files: &HashMap<String, Vec<u8>>) -> ErrorKind {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), manifest, files);
    let from_dir = Package::from_dir(dir.path()).unwrap_err();
    let from_files =
        Package::from_files(manifest.to_string().as_bytes(), files.clone()).unwrap_err();
    assert_eq!(from_dir.kind(), from_files.kind());
    assert!(!from_dir.to_string().is_empty());
    from_dir.kind().clone()
}

#[test]
fn whole_packages_are_taken() {
    let (manifest, files) = small();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &manifest, &files);
    assert!(Package::from_dir(dir.path()).is_ok());
    assert!(Package::from_files(manifest.to_string().as_bytes(), files).is_ok());
}

#[test]
fn a_cut_file_is_truncated() {
    let (manifest, mut files) = small();
    files.get_mut("denoiser.onnx").unwrap().pop();
    let file = "denoiser.onnx".to_owned();
    assert_eq!(
        failure(&manifest, &files),
        ErrorKind::TruncatedModel { file }
    );
}

#[test]
fn a_changed_or_longer_file_is_another_file() {
    let (manifest, files) = small();
    let file = "decoder.onnx".to_owned();
    let mut changed = files.clone();
    changed.get_mut("decoder.onnx").unwrap()[3] ^= 1;
    let mut longer = files;
    longer.get_mut("decoder.onnx").unwrap().push(0);
    for files in [changed, longer] {
        assert_eq!(
            failure(&manifest, &files),
            ErrorKind::HashMismatch { file: file.clone() }
        );
    }
}

#[test]
fn an_absent_file_is_missing() {
    let (manifest, mut files) = small();
    files.remove("tokenizer.json");
    let file = "tokenizer.json".to_owned();
    assert_eq!(failure(&manifest, &files), ErrorKind::MissingFile { file });
}

#[test]
fn manifests_that_do_not_fit_are_refused() {
    let changes: [fn(&mut Value); 12] = [
        |m| m["format"] = json!(3),
        |m| m["id"] = json!("other/glyph"),
        |m| m["id"] = json!("demo-hub/../glyph"),
        |m| m["surprise"] = json!(1),
        |m| m["scheduler"] = json!("ddim"),
        |m| m["files"][0]["name"] = json!("../tokenizer.json"),
        |m| m["files"][0]["sha256"] = json!("ABC"),
        |m| m["files"][1] = m["files"][0].clone(),
        |m| m["defaults"]["num_inference_steps"] = json!(51),
        |m| m["defaults"]["guidance_scale"] = json!(0.5),
        |m| m["latents"] = json!([16, 8, 9]),
        |m| m["components"]["denoiser"]["inputs"][0]["name"] = json!("sample"),
    ];
    for (i, change) in changes.iter().enumerate() {
        let (mut manifest, files) = small();
        change(&mut manifest);
        assert_eq!(
            failure(&manifest, &files),
            ErrorKind::InvalidPackage,
            "change {i}"
        );
    }
    for garbage in [&b""[..], b"{", b"[]", b"\xff", &GLYPH.as_bytes()[..500]] {
        let error = Manifest::parse(garbage).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidPackage);
    }
}

#[test]
fn the_summary_repeats_the_manifest() {
    let manifest = Manifest::parse(GLYPH.as_bytes()).unwrap();
    let summary = manifest.summary("/models/glyph/manifest.json");
    assert_eq!(summary.id, "demo-hub/glyph");
    assert_eq!(
        summary.package_url.as_deref(),
        Some("/models/glyph/manifest.json")
    );
    assert_eq!(
        summary.weights_digest,
        hex::encode(Sha256::digest(GLYPH.as_bytes()))
    );
    let bytes: u64 = manifest.files().map(|f| f.bytes).sum();
    assert_eq!(summary.download_bytes, bytes);
    let image = &glyph()["image"];
    assert_eq!(
        (image["width"].as_u64(), image["height"].as_u64()),
        (Some(summary.width.into()), Some(summary.height.into()))
    );
    assert_eq!(summary.paper.unwrap().arxiv, "2209.03003");
}

/// FIPS 180-2, appendix B.1: SHA-256 of "abc".
#[test]
fn digests_are_sha_256() {
    let mut entry = FileEntry {
        name: "abc".to_owned(),
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
    };
    assert!(verify(&entry, b"abc").is_ok());
    assert!(verify(&entry, b"abd").is_err());
    entry.bytes = 4;
    assert!(verify(&entry, b"abc").is_err());
}
