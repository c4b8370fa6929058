//! Makes one picture on the CPU: `generate PACKAGE_DIR PROMPT SEED OUT.png [STEPS [GUIDANCE]]`.

use std::path::Path;
use std::time::Instant;

use diffusion::{Cancel, CpuEngine, GenerationRequest, Package, Pipeline, RunsOn, png};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, prompt, seed, out, rest @ ..] = &args[..] else {
        return Err("usage: generate PACKAGE_DIR PROMPT SEED OUT.png [STEPS [GUIDANCE]]".into());
    };
    let started = Instant::now();
    let package = Package::from_dir(Path::new(dir))?;
    let request = GenerationRequest {
        model: package.manifest.id.clone(),
        prompt: prompt.clone(),
        seed: Some(seed.parse()?),
        num_inference_steps: rest.first().map(|s| s.parse()).transpose()?,
        guidance_scale: rest.get(1).map(|s| s.parse()).transpose()?,
        ..GenerationRequest::default()
    };
    pollster::block_on(async {
        let pipeline = Pipeline::load(package, &CpuEngine::new()).await?;
        println!("{} loaded in {:?}", pipeline.backend(), started.elapsed());
        let started = Instant::now();
        let mut on_step = |p: diffusion::Progress| {
            println!(
                "step {}/{} at {:?}",
                p.step,
                p.total_steps,
                started.elapsed()
            );
        };
        let picture = pipeline
            .generate(&request, &mut on_step, &Cancel::default())
            .await?;
        let took = started.elapsed();
        let recipe = pipeline.recipe(
            &pipeline.resolve(&request)?,
            RunsOn::Server,
            took.as_millis() as u64,
        );
        std::fs::write(out, png::encode(&picture, &recipe)?)?;
        println!("{out} in {took:?}");
        Ok(())
    })
}
