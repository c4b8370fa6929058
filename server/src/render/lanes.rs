//! Which workers a process needs for its renderers.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::LocalOptions;
use super::hosted::{self, Endpoint};
use crate::catalog::Live;
use crate::jobs::worker::{Models, RendererFactory};
use crate::work;

/// One worker's share: this machine's engine, or one of the requests that an endpoint takes at a time.
pub struct Lane {
    /// What makes the worker's name unique in the process; empty for the engine.
    pub suffix: String,
    /// Models that the renderer makes pictures of.
    pub models: Models,
    /// Makes the renderer in the worker's thread.
    pub factory: RendererFactory,
}

/// A lane for the packages of `catalog` that fit into the budget, and for each endpoint as many as it takes requests at a
/// time. To be called in a Tokio runtime, which the requests then run on.
pub fn of(catalog: &Live, local: &LocalOptions, endpoints: &[Arc<Endpoint>]) -> Vec<Lane> {
    let mut lanes = vec![Lane {
        suffix: String::new(),
        models: Models::fitting(catalog.clone(), local.budget),
        factory: work::renderer_factory(catalog.clone(), local.clone()),
    }];
    for endpoint in endpoints {
        let config = endpoint.config();
        let models = config.models.iter().map(|model| model.id.clone());
        let models: Vec<String> = models.collect();
        for number in 1..=config.max_in_flight {
            let (endpoint, runtime) = (Arc::clone(endpoint), Handle::current());
            lanes.push(Lane {
                suffix: format!("-{}-{number}", config.name),
                models: models.clone().into(),
                factory: Box::new(move || hosted::renderer(Arc::clone(&endpoint), runtime.clone())),
            });
        }
    }
    lanes
}
