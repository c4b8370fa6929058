//! A picture of a new package: what cannot be generated is no model.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use diffusion::{
    Cancel, CpuEngine, Engine, GpuEngine, Package, Picture, Pipeline, RunOptions, TOLERANCE, png,
};
use futures::executor::block_on;
use onnx_gpu::AdapterChoice;
use protocol::{GenerationRequest, RunsOn};

/// Seed of the picture.
const SEED: u64 = 1;
/// Prompt where no sample is asked for.
const PROMPT: &str = "a red apple";
/// Steps where no sample is asked for; distilled models take fewer.
const STEPS: u32 = 2;
/// Picture values, of 255, between the darkest and the lightest of a picture that is not flat.
const LEAST_RANGE: u8 = 8;

/// The engines that there are, the GPU first.
pub(in crate::models) fn engines(report: &mut dyn Write) -> anyhow::Result<Vec<Box<dyn Engine>>> {
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    match block_on(GpuEngine::request(AdapterChoice::HighPerformance)) {
        Ok(engine) => engines.push(Box::new(engine)),
        Err(error) => writeln!(report, "not tried on a GPU: {error}")?,
    }
    engines.push(Box::new(CpuEngine::new()));
    Ok(engines)
}

/// A package that makes pictures.
pub(super) struct Tried<'e> {
    /// The first engine that runs it.
    pub engine: &'e dyn Engine,
    /// The picture of the sample prompt, a PNG.
    pub sample: Option<Vec<u8>>,
}

/// Makes a picture of the package in `dir` on every engine, and compares them.
///
/// # Errors
/// When no engine can run the graphs, or what they make is no picture, or two.
pub(super) fn run<'e>(
    dir: &Path,
    engines: &'e [Box<dyn Engine>],
    sample: Option<&str>,
    report: &mut dyn Write,
) -> anyhow::Result<Tried<'e>> {
    // A decoder that sees a part of the picture normalises by that part: engines are compared by the same tiles.
    let mut tile = None;
    let tried = engines.iter().map(|engine| {
        let package = Package::from_dir(dir).map_err(anyhow::Error::from);
        let made = package.and_then(|package| make(package, &**engine, sample, tile));
        tile = made.as_ref().map_or(tile, |made| made.tile);
        (engine.backend(), made.map(|made| (&**engine, made)))
    });
    let (made, refused) = sorted(tried.collect())?;
    let Some((engine, first)) = made.first() else {
        bail!("the package makes no picture: {}", refused.join("; "));
    };
    for refusal in &refused {
        writeln!(report, "it does not run on {refusal}")?;
    }
    for (_, made) in &made {
        let (darkest, lightest) = range(&made.picture);
        ensure!(
            lightest - darkest >= LEAST_RANGE,
            "on {} the picture is flat: all its values are between {darkest} and {lightest} of 255",
            made.backend
        );
        let difference = first.picture.max_difference(&made.picture);
        let difference = difference.context("the engines make pictures of two sizes")?;
        let allowed = TOLERANCE.max(made.tolerance);
        ensure!(
            difference <= allowed,
            "{} and {} make two pictures: they differ by {difference} of 255, {allowed} is allowed",
            first.backend,
            made.backend
        );
    }
    let names: Vec<&str> = made.iter().map(|(_, made)| &*made.backend).collect();
    writeln!(report, "tried with a picture on {}", names.join(" and "))?;
    Ok(Tried {
        engine: *engine,
        sample: sample.map(|_| first.png.clone()),
    })
}

pub(super) struct Made {
    pub picture: Picture,
    png: Vec<u8>,
    backend: String,
    /// Of 255, for what the engines may differ by.
    tolerance: u8,
    /// Side of the tiles, in latents, that it was decoded in.
    tile: Option<usize>,
}

/// What was made, and by which engines nothing. An engine need not know every operator, but one that runs the graphs and
/// gets no numbers shows a fault of the graphs.
///
/// # Errors
/// When an engine's numbers are not finite.
fn sorted<T>(tried: Vec<(String, anyhow::Result<T>)>) -> anyhow::Result<(Vec<T>, Vec<String>)> {
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for (backend, outcome) in tried {
        match outcome {
            Ok(one) => made.push(one),
            Err(error) if error.chain().any(is_not_finite) => {
                return Err(error.context(format!("{backend} makes no picture")));
            }
            Err(error) => refused.push(format!("{backend}: {error:#}")),
        }
    }
    Ok((made, refused))
}

fn is_not_finite(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<diffusion::Error>();
    error.is_some_and(|error| *error.kind() == diffusion::ErrorKind::NotFinite)
}

/// What engines may differ by where ports round to 16 bits: one of them keeps more.
const TOLERANCE_OF_HALVES: u8 = 16;

/// Makes a picture of a package, decoded in tiles of this side or, where it is open, as the engine's device asks for.
pub(super) fn make(
    package: Package,
    engine: &dyn Engine,
    sample: Option<&str>,
    tile: Option<usize>,
) -> anyhow::Result<Made> {
    let manifest = &package.manifest;
    let halves = manifest.graphs.values().any(|graph| {
        let mut ports = graph.inputs.iter().chain(&graph.outputs);
        ports.any(|port| port.dtype == diffusion::manifest::PortType::Float16)
    });
    let steps = manifest.defaults.num_inference_steps.min(STEPS);
    let request = GenerationRequest {
        model: manifest.id.clone(),
        prompt: sample.unwrap_or(PROMPT).to_owned(),
        seed: Some(SEED),
        num_inference_steps: sample.is_none().then_some(steps),
        ..GenerationRequest::default()
    };
    let pipeline =
        block_on(Pipeline::load(package, engine)).context("the package cannot be loaded")?;
    let started = Instant::now();
    let request = pipeline.resolve(&request)?;
    let made = async {
        let tile = match tile {
            Some(side) => Some(side),
            None => {
                pipeline
                    .decode_tile(pipeline.manifest().sizes.default)
                    .await?
            }
        };
        let options = RunOptions {
            decode_tile: tile,
            ..RunOptions::default()
        };
        let cancel = Cancel::default();
        let picture = pipeline
            .run(&request, options, &mut |_| (), &cancel)
            .await?;
        Ok::<_, diffusion::Error>((picture, tile))
    };
    let (picture, tile) = block_on(made).context("the package makes no picture")?;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let recipe = pipeline.recipe(&request, RunsOn::Server, milliseconds);
    Ok(Made {
        png: png::encode(&picture, &recipe)?,
        picture,
        backend: pipeline.backend().to_owned(),
        tolerance: if halves { TOLERANCE_OF_HALVES } else { 0 },
        tile,
    })
}

fn range(picture: &Picture) -> (u8, u8) {
    let values = || picture.rgb.iter().copied();
    (values().min().unwrap_or(0), values().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use diffusion::{Error, ErrorKind};

    use super::*;

    fn failed(kind: ErrorKind) -> anyhow::Result<u8> {
        Err(Error::new(kind, "x")).context("the package makes no picture")
    }

    #[test]
    fn an_engine_may_lack_operators_but_not_numbers() {
        let lacking = |kind| vec![("a".to_owned(), Ok(1)), ("b".to_owned(), failed(kind))];
        let component = "denoiser".to_owned();
        let (made, refused) = sorted(lacking(ErrorKind::InvalidModel { component })).unwrap();
        assert_eq!((made, refused.len()), (vec![1], 1));
        let error = sorted(lacking(ErrorKind::NotFinite)).unwrap_err();
        assert!(error.to_string().starts_with("b "), "{error:#}");
        let mut reversed = lacking(ErrorKind::NotFinite);
        reversed.reverse();
        assert!(sorted(reversed).is_err());
    }
}
