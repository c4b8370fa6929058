//! Decoding in tiles on the CPU: against diffusers (data/tiles.py), and when it is done.
#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/tiles.rs"]
mod package;

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use diffusion::{
    Cancel, Checkpoint, CpuEngine, Engine, ErrorKind, GenerationRequest, Memory, Model, Pipeline,
    Result, RunOptions, TOLERANCE, Tensor,
};
use package::{decode, fixed, goldens, latents, package};
use pollster::block_on;

#[test]
fn tiles_make_the_picture_of_diffusers() {
    let pipeline = block_on(Pipeline::load(package(), &CpuEngine::new())).unwrap();
    let goldens = goldens();
    let whole = &goldens[0].1;
    for (side, golden) in &goldens {
        let picture = decode(&pipeline, latents(), *side).unwrap();
        let difference = picture.max_difference(golden).unwrap();
        println!("{side:?}: largest difference {difference} of 255");
        assert!(difference <= TOLERANCE, "{side:?}: {difference}");
        if side.is_some() {
            assert!(golden.max_difference(whole).unwrap() > 20 * TOLERANCE);
        }
    }
    let one = decode(&pipeline, latents(), Some(28)).unwrap();
    assert!(one.max_difference(whole).unwrap() <= TOLERANCE);
}

#[test]
fn the_negative_prompt_counts_where_there_is_guidance() {
    let pipeline = block_on(Pipeline::load(package(), &CpuEngine::new())).unwrap();
    let make = |negative: &str, guidance| {
        let request = GenerationRequest {
            negative_prompt: Some(negative.into()),
            guidance_scale: Some(guidance),
            ..package::request()
        };
        block_on(pipeline.generate(&request, &mut |_| {}, &Cancel::default())).unwrap()
    };
    assert_eq!(make("the dog", 5.0), make("the dog", 5.0));
    assert_ne!(make("the dog", 5.0), make("", 5.0));
    assert_eq!(make("the dog", 1.0), make("", 1.0));
}

#[test]
fn tiles_that_cannot_be_are_refused() {
    let pipeline = block_on(Pipeline::load(package(), &CpuEngine::new())).unwrap();
    let error = decode(&pipeline, latents(), Some(6)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{error}");
    let (package, latents) = fixed();
    let pipeline = block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
    let error = decode(&pipeline, latents, Some(4)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidRequest, "{error}");
    assert!(error.to_string().contains("one size"), "{error}");
}

/// A CPU with the memory of a device: latents up to a size fit.
#[derive(Clone, Default)]
struct Device {
    fits: usize,
    /// Height and width of what the decoder was given.
    decoded: Rc<Cell<Vec<[usize; 2]>>>,
    /// Given at the second run of the decoder.
    cancel: Cancel,
    cancels: bool,
}

struct Graph {
    inner: Box<dyn Model>,
    device: Device,
}

#[async_trait(?Send)]
impl Engine for Device {
    fn backend(&self) -> String {
        "test".into()
    }

    fn adapter(&self) -> String {
        "test".into()
    }

    fn shared(&self) -> Box<dyn Engine> {
        Box::new(self.clone())
    }

    async fn load(&self, component: &str, onnx: &[u8]) -> Result<Box<dyn Model>> {
        Ok(Box::new(Graph {
            inner: CpuEngine::new().load(component, onnx).await?,
            device: self.clone(),
        }))
    }
}

#[async_trait(?Send)]
impl Model for Graph {
    fn takes(&self, name: &str, shape: &[usize]) -> bool {
        self.inner.takes(name, shape)
    }

    fn memory(&self, inputs: &[(&str, &[usize])]) -> Result<Option<Memory>> {
        let latents = inputs[0].1[2..].iter().product::<usize>();
        Ok(Some(Memory {
            fits: latents <= self.device.fits,
            bytes: latents as u64,
        }))
    }

    async fn run(&self, inputs: Vec<(&str, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        if inputs[0].0 == "latent_sample" {
            let mut decoded = self.device.decoded.take();
            let shape = inputs[0].1.shape();
            decoded.push([shape[2], shape[3]]);
            if self.device.cancels && decoded.len() == 2 {
                self.device.cancel.cancel();
            }
            self.device.decoded.set(decoded);
        }
        self.inner.run(inputs).await
    }
}

/// What the decoder is given on a device where `fits` latents fit.
fn decoded(fits: usize, on_demand: bool) -> Vec<[usize; 2]> {
    let device = Device {
        fits,
        ..Device::default()
    };
    let pipeline = if on_demand {
        block_on(Pipeline::on_demand(package(), Box::new(device.clone())))
    } else {
        block_on(Pipeline::load(package(), &device))
    };
    decode(&pipeline.unwrap(), latents(), None).unwrap();
    device.decoded.take()
}

#[test]
fn the_largest_tiles_that_fit_take_the_place_of_what_does_not() {
    let whole = [[20, 28]];
    assert_eq!(decoded(20 * 28, false), whole);
    let halves = [[16, 16], [16, 16], [16, 4], [8, 16], [8, 16], [8, 4]];
    assert_eq!(decoded(20 * 28 - 1, false), halves);
    assert_eq!(decoded(16 * 16 - 1, false).len(), 20);
    // What no tile helps fails as it would without any.
    assert_eq!(decoded(8 * 8 - 1, false), whole);
    // One graph at a time: memory is short.
    assert_eq!(decoded(20 * 28, true), halves);
}

#[test]
fn cancel_takes_effect_within_a_tile() {
    let device = Device {
        fits: 64,
        cancels: true,
        ..Device::default()
    };
    let pipeline = block_on(Pipeline::load(package(), &device)).unwrap();
    let options = RunOptions {
        resume: Some(Checkpoint {
            step: package::STEPS,
            latents: latents(),
            registers: Vec::new(),
        }),
        ..RunOptions::default()
    };
    let request = package::request();
    let mut on_step = |_| {};
    let request = pipeline.resolve(&request).unwrap();
    let run = pipeline.run(&request, options, &mut on_step, &device.cancel);
    assert!(block_on(run).unwrap_err().is_cancelled());
    assert_eq!(device.decoded.take().len(), 2);
}
