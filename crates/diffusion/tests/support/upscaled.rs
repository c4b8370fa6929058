//! The upscaler that comes with the hub, and what ONNX Runtime makes with it (data/upscale.py).

use diffusion::{Cancel, Engine, Picture, Upscaler, UpscalerPackage, begun};
use pollster::block_on;
use protocol::UpscaleFactor;

/// Its folder.
pub const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/esrgan-thick");

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

pub fn load(factor: UpscaleFactor, engine: &dyn Engine) -> Upscaler {
    let package = UpscalerPackage::from_dir(PACKAGE.as_ref()).unwrap();
    block_on(Upscaler::load(&package, factor, engine)).unwrap()
}

pub fn larger(upscaler: &Upscaler, picture: &Picture, core: Option<usize>) -> Picture {
    block_on(upscaler.run(picture, core, &mut |_| (), &Cancel::default())).unwrap()
}
