//! Pictures made larger on the processor: against ONNX Runtime (data/upscale.py), in parts and at once.
#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashMap;

#[path = "support/upscaled.rs"]
mod upscaled;

use diffusion::{Cancel, CpuEngine, ErrorKind, Picture, TOLERANCE, Upscaler, UpscalerPackage};
use pollster::block_on;
use protocol::UpscaleFactor;
use serde_json::Value;
use sha2::{Digest, Sha256};
use upscaled::{PACKAGE, larger, load, picture};

/// Pixels a side of parts of the picture of 72 x 40, of which there are three then.
const CORE: usize = 16;

#[test]
fn pictures_are_those_of_onnx_runtime_at_once_and_in_parts() {
    let small = picture("large");
    for factor in UpscaleFactor::ALL {
        let upscaler = load(factor, &CpuEngine::new());
        let golden = picture(&format!("large_x{factor}"));
        let whole = larger(&upscaler, &small, None);
        let parts = larger(&upscaler, &small, Some(CORE));
        let off = whole.max_difference(&golden).unwrap();
        let seams = parts.max_difference(&whole).unwrap();
        println!("x{factor}: {off} of 255 from ONNX Runtime, {seams} between parts and whole");
        assert!(off <= TOLERANCE, "{off}");
        assert!(seams <= 1, "{seams}");
    }
}

/// Parts that see too little around them have seams, and the comparison shows them; so does a network that is another one.
#[test]
fn narrower_overlaps_and_other_weights_are_seen() {
    let (small, engine) = (picture("large"), CpuEngine::new());
    let factor = UpscaleFactor::Two;
    let golden = picture("large_x2");
    let narrow = package(|manifest, _| {
        for one in manifest["enlargements"].as_array_mut().unwrap() {
            one["overlap"] = 0.into();
        }
    });
    let narrow = block_on(Upscaler::load(&narrow.unwrap(), factor, &engine)).unwrap();
    let seams = larger(&narrow, &small, Some(CORE));
    let difference = seams.max_difference(&golden).unwrap();
    println!("without overlap: {difference} of 255");
    assert!(difference > 4 * TOLERANCE, "{difference}");

    let other = package(|manifest, files| {
        let weights = files.get_mut("x2.data").unwrap();
        weights[..2000].fill(1);
        let listed = manifest["files"].as_array_mut().unwrap().iter_mut();
        for file in listed.filter(|file| file["name"] == "x2.data") {
            file["sha256"] = hex::encode(Sha256::digest(&*weights)).into();
        }
    });
    let other = block_on(Upscaler::load(&other.unwrap(), factor, &engine)).unwrap();
    let other = larger(&other, &small, None).max_difference(&golden);
    assert!(other.unwrap() > 4 * TOLERANCE, "{other:?}");

    let damaged = package(|manifest, _| manifest["files"][0]["sha256"] = "0".repeat(64).into());
    assert!(matches!(
        damaged.unwrap_err().kind(),
        ErrorKind::HashMismatch { .. }
    ));
}

#[test]
fn parts_are_counted_and_a_cancelled_picture_ends_within_one() {
    let (small, cancel) = (picture("large"), Cancel::default());
    let upscaler = load(UpscaleFactor::Two, &CpuEngine::new());
    let mut seen = Vec::new();
    let mut report = |progress: protocol::Progress| {
        seen.push((progress.step, progress.total_steps));
        if progress.step == 2 {
            cancel.cancel();
        }
    };
    let stopped = block_on(upscaler.run(&small, Some(CORE), &mut report, &cancel));
    assert_eq!(*stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(seen, [(1, 3), (2, 3)]);
}

#[test]
fn sizes_are_from_one_pixel_to_4096() {
    let upscaler = load(UpscaleFactor::Four, &CpuEngine::new());
    let plain = |width: u32, height: u32| Picture {
        width,
        height,
        rgb: vec![128; width as usize * height as usize * 3],
    };
    let one = larger(&upscaler, &plain(1, 2), None);
    assert_eq!((one.width, one.height), (4, 8));
    let broken = Picture {
        rgb: vec![0; 5],
        ..plain(1, 2)
    };
    for refused in [
        plain(1025, 1),
        plain(1, 1025),
        plain(0, 1),
        plain(1, 0),
        broken,
    ] {
        let error = block_on(upscaler.run(&refused, None, &mut |_| (), &Cancel::default()));
        assert_eq!(*error.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
    let error = block_on(upscaler.run(&plain(1, 1), Some(0), &mut |_| (), &Cancel::default()));
    assert_eq!(*error.unwrap_err().kind(), ErrorKind::InvalidRequest);
}

/// The package with another manifest, or other files.
fn package(
    change: impl Fn(&mut Value, &mut HashMap<String, Vec<u8>>),
) -> diffusion::Result<UpscalerPackage> {
    let read = |name: &str| std::fs::read(format!("{PACKAGE}/{name}")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    let names = manifest["files"].as_array().unwrap().iter();
    let names = names.map(|file| file["name"].as_str().unwrap().to_owned());
    let mut files: HashMap<_, _> = names.map(|name| (name.clone(), read(&name))).collect();
    change(&mut manifest, &mut files);
    UpscalerPackage::from_files(manifest.to_string().as_bytes(), files)
}
