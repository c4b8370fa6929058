//! Which workers a process needs for its renderers.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::LocalOptions;
use super::hosted::{self, Endpoint};
use crate::catalog::Catalog;
use crate::jobs::worker::RendererFactory;
use crate::work;

/// One worker's share: this machine's engine, or one of the requests that an endpoint takes at a time.
pub struct Lane {
    /// What makes the worker's name unique in the process; empty for the engine.
    pub suffix: String,
    /// Models that the renderer makes pictures of.
    pub models: Vec<String>,
    /// Makes the renderer in the worker's thread.
    pub factory: RendererFactory,
}

/// A lane for the packages of `catalog` that fit into the budget, where there are any, and for each endpoint as many
/// as it takes requests at a time. To be called in a Tokio runtime, which the requests then run on.
pub fn of(catalog: &Arc<Catalog>, local: &LocalOptions, endpoints: &[Arc<Endpoint>]) -> Vec<Lane> {
    let mut lanes = Vec::new();
    let models = work::fitting(&catalog.summaries(), local.budget);
    if !models.is_empty() {
        lanes.push(Lane {
            suffix: String::new(),
            models,
            factory: work::renderer_factory(Arc::clone(catalog), local.clone()),
        });
    }
    for endpoint in endpoints {
        let config = endpoint.config();
        for number in 1..=config.max_in_flight {
            let (endpoint, runtime) = (Arc::clone(endpoint), Handle::current());
            lanes.push(Lane {
                suffix: format!("-{}-{number}", config.name),
                models: config.models.iter().map(|model| model.id.clone()).collect(),
                factory: Box::new(move || hosted::renderer(Arc::clone(&endpoint), runtime.clone())),
            });
        }
    }
    lanes
}
