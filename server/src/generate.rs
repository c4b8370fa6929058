//! `demo-hub generate`: one picture without a server.

mod start;

use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use diffusion::Cancel;
use protocol::{GenerationRequest, PromptSyntax};

use crate::catalog::Catalog;
use crate::config::GenerateConfig;
use crate::render::{LocalRenderer, Rendered, Renderer};

/// Makes the picture, writes it to `config.out` and says on `report` what was done.
///
/// # Errors
/// A sentence on what is wrong with the request, the package or the output file.
pub fn run(config: GenerateConfig, report: &mut dyn Write) -> anyhow::Result<Rendered> {
    let catalog = Catalog::open(&config.models_dir)?;
    let model = match &config.model {
        Some(model) => model.clone(),
        None => catalog
            .first()
            .with_context(|| format!("no model package in {}", config.models_dir.display()))?
            .summary
            .id
            .clone(),
    };
    let asked = GenerationRequest {
        model,
        prompt: config.prompt.clone(),
        negative_prompt: config.negative_prompt.clone(),
        seed: config.seed,
        num_inference_steps: config.steps,
        guidance_scale: config.guidance,
        width: config.width,
        height: config.height,
        variation_seed: config.variation_seed,
        variation_strength: config.variation_strength,
        prompt_syntax: config.weighted_prompts.then_some(PromptSyntax::A1111),
        sampler: config.sampler.clone(),
        clip_skip: config.clip_skip,
        upscale: config.upscale,
    };
    let request = catalog
        .resolve(asked, crate::random::seed()?)
        .map_err(|problem| anyhow::anyhow!("{}. {}", problem.detail, problem.hint))?;
    catalog
        .runs_on_servers(&request.model)
        .map_err(|problem| anyhow::anyhow!("{}", problem.detail))?;
    let begun = start::read(&config, request.width, request.height)?;
    let started = Instant::now();
    let asked = GenerationRequest::from(request.clone());
    let mut renderer = LocalRenderer::new(catalog.into(), config.renderer.into());
    let cancel = Cancel::default();
    let rendered = match &begun {
        None => renderer.render(&asked, &mut |_| (), &cancel),
        Some(begun) => renderer.begin(&asked, begun, None, &mut |_| (), &cancel),
    }?;
    std::fs::write(&config.out, &rendered.png)
        .with_context(|| format!("writing {}", config.out.display()))?;
    let recipe = &rendered.recipe;
    writeln!(
        report,
        "{}: {} seed {} on {}, {}: {} ms, {} ms with loading",
        config.out.display(),
        recipe.request.model,
        request.seed,
        recipe.backend,
        recipe.adapter,
        recipe.duration_ms,
        started.elapsed().as_millis()
    )?;
    Ok(rendered)
}
