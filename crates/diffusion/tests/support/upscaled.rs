//! The upscaler that comes with the hub, and what ONNX Runtime makes with it (data/upscale.py).

use std::collections::HashMap;

use diffusion::{Cancel, Engine, Picture, Upscaler, UpscalerPackage, begun};
use pollster::block_on;
use protocol::UpscaleFactor;
use serde_json::Value;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/esrgan-thick");

/// A picture of the folder.
pub fn picture(name: &str) -> Picture {
    let path = format!(
        "{}/tests/data/upscale/{name}.png",
        env!("CARGO_MANIFEST_DIR")
    );
    let opened = begun::open(&std::fs::read(path).unwrap())
        .unwrap()
        .into_rgb8();
    Picture {
        width: opened.width(),
        height: opened.height(),
        rgb: opened.into_raw(),
    }
}

/// The package with another manifest, or other files.
pub fn package(
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

pub fn load(factor: UpscaleFactor, engine: &dyn Engine) -> Upscaler {
    let package = UpscalerPackage::from_dir(PACKAGE.as_ref()).unwrap();
    block_on(Upscaler::load(&package, factor, engine)).unwrap()
}

pub fn larger(upscaler: &Upscaler, picture: &Picture, core: Option<usize>) -> Picture {
    block_on(upscaler.run(picture, core, &mut |_| (), &Cancel::default())).unwrap()
}
