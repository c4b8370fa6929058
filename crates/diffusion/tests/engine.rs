//! Graphs that an engine cannot load, and inputs that do not fit.
#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use diffusion::{CpuEngine, Engine, ErrorKind, Manifest, Tensor};
use pollster::block_on;

const DECODER: &[u8] = include_bytes!("../../../models/glyph/decoder.onnx");

#[test]
fn truncated_or_foreign_bytes_are_no_graph() {
    let engine = CpuEngine::new();
    for bytes in [
        &b""[..],
        b"not an onnx file at all",
        &DECODER[..1000],
        &DECODER[..DECODER.len() / 2],
        &DECODER[..DECODER.len() - 1],
    ] {
        let error = block_on(engine.load("decoder", bytes)).err().unwrap();
        let component = "decoder".to_owned();
        assert_eq!(*error.kind(), ErrorKind::InvalidModel { component });
        assert!(error.to_string().contains("decoder"), "{error}");
    }
}

#[test]
fn wrong_inputs_are_engine_errors() {
    let model = block_on(CpuEngine::new().load("decoder", DECODER)).unwrap();
    let latents = || Tensor::f32(&[1, 16, 8, 8], vec![0.0; 1024]).unwrap();
    for inputs in [
        vec![],
        vec![("surprise", latents())],
        vec![("latents", Tensor::f32(&[1, 3], vec![0.0; 3]).unwrap())],
        vec![(
            "latents",
            Tensor::i64(&[1, 16, 8, 8], vec![0; 1024]).unwrap(),
        )],
    ] {
        let error = block_on(model.run(inputs)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Engine, "{error}");
    }
    let outputs = block_on(model.run(vec![("latents", latents())])).unwrap();
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0].0, "image");
    let manifest = include_bytes!("../../../models/glyph/manifest.json");
    let manifest = Manifest::parse(manifest).unwrap();
    let declared = &manifest.graphs["decoder"].outputs[0];
    let bindings = manifest.bindings(manifest.sizes.default, 1, 0);
    assert_eq!(outputs[0].1.shape(), bindings.shape(declared));
}

#[test]
fn tensors_hold_what_their_shape_says() {
    assert!(Tensor::f32(&[2, 3], vec![0.0; 6]).is_ok());
    assert!(Tensor::f32(&[], vec![0.0]).is_ok());
    for shape in [&[2, 2][..], &[usize::MAX, 2], &[]] {
        let error = Tensor::i64(shape, vec![0; 6]).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Engine);
    }
}
