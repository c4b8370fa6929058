//! `demo-hub worker`: makes pictures of jobs from NATS and puts them into S3.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::future::join_all;
use protocol::ModelSummary;
use tokio_util::sync::CancellationToken;

use crate::catalog::Live;
use crate::config::WorkerConfig;
use crate::images::{Images, StorageLimits};
use crate::jobs::worker::{RendererFactory, Worker, WorkerOptions};
use crate::jobs::{NatsQueue, Queue, Role};
use crate::render::{LocalOptions, LocalRenderer, hosted, lanes};
use crate::storage::Store;
use crate::telemetry::{self, exposition};

/// Longest validity of the URL that a worker uploads to.
const UPLOAD_EXPIRY: Duration = Duration::from_secs(300);

/// Works until `stop` is cancelled.
///
/// # Errors
/// A sentence when an option is missing, the queue cannot be reached or no model fits.
pub async fn run(config: WorkerConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let nats = config
        .queue
        .nats()
        .context("a worker needs the queue's address: --nats-url")?;
    let settings = crate::serve::other_store(&config.s3)?
        .context("a worker needs the picture store that the app uses: --s3-bucket")?;
    let endpoints = hosted::config::read_option(config.endpoints.as_deref())?;
    let catalog = config.models.open(&endpoints, &stop).await?;
    let endpoints = hosted::open(endpoints)?;
    let local = config.local();
    let fits = !fitting(&catalog.now().summaries(), local.budget).is_empty();
    anyhow::ensure!(
        fits || !endpoints.is_empty(),
        "no model fits this worker's memory"
    );
    let lanes = lanes::of(&catalog, &local, &endpoints);
    let images = Images::new(Store::new(&settings)?, catalog.clone(), UPLOAD_EXPIRY)
        .with_expiries(config.expiry.expiries())
        .with_storage_limits(StorageLimits::of_mebibytes(
            config.budget.stored_mebibytes,
            None,
        ));
    let queue = tokio::select! {
        queue = NatsQueue::connect(nats, Role::Worker) => queue?,
        () = stop.cancelled() => return Ok(()),
    };
    let id = match config.worker_name {
        Some(name) => name,
        None => format!("worker-{}", hex::encode(crate::random::bytes::<4>()?)),
    };
    let queue = Arc::new(queue);
    telemetry::metrics::recorder();
    if let Some(listen) = config.telemetry.metrics_listen {
        let queue = Arc::clone(&queue) as Arc<dyn Queue>;
        let address = exposition::serve(listen, queue, catalog.clone(), stop.clone()).await?;
        tracing::info!("metrics are at http://{address}/metrics");
    }
    let mut workers = Vec::new();
    for lane in lanes {
        let options = WorkerOptions {
            id: format!("{id}{}", lane.suffix),
            models: lane.models,
            stall: config.queue.stall(),
            grace: Duration::from_secs(config.drain_seconds),
            save_patience: config.queue.save_patience(),
            step_back: WorkerOptions::STEP_BACK,
        };
        let worker = Worker::new(
            options,
            Arc::clone(&queue) as Arc<dyn Queue>,
            images.clone(),
            lane.factory,
        )?;
        workers.push(worker.run(stop.clone()));
    }
    join_all(workers).await;
    Ok(())
}

/// Ids of the packages that need at most `budget` bytes of memory.
pub fn fitting(models: &[ModelSummary], budget: Option<u64>) -> Vec<String> {
    models
        .iter()
        .filter(|model| model.package_url.is_some())
        .filter(|model| {
            let fits = budget.is_none_or(|budget| model.needs.memory_bytes <= budget);
            if !fits {
                tracing::info!(model = model.id, "left to workers with more memory");
            }
            fits
        })
        .map(|model| model.id.clone())
        .collect()
}

/// What makes this machine's renderers.
pub fn renderer_factory(catalog: Live, options: LocalOptions) -> RendererFactory {
    Box::new(move || Box::new(LocalRenderer::new(catalog.clone(), options.clone())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn models_that_are_too_large_are_left_to_others() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let models = Catalog::open(&dir).unwrap().summaries();
        let needed = models[0].needs.memory_bytes;
        assert_eq!(fitting(&models, None).len(), models.len());
        assert!(fitting(&models, Some(needed)).contains(&models[0].id));
        assert!(!fitting(&models, Some(needed - 1)).contains(&models[0].id));
    }
}
