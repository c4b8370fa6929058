//! The graphs of a package: on the engine for good, or only while they are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use protocol::Residency;

use crate::engine::{Engine, Model};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::manifest::Graph;
use crate::package::Package;
use crate::yielding::yield_now;

/// Most bytes of a graph's weights on a device that streams them: decoders and small encoders are there whole.
pub const STREAMED_WEIGHTS: u64 = 512 << 20;

pub(super) enum Parts {
    /// While a pipeline is put together.
    Unset,
    Kept(BTreeMap<String, Box<dyn Model>>),
    /// One at a time.
    Passing {
        engine: Box<dyn Engine>,
        files: Arc<dyn Files>,
        weights_budget: Option<u64>,
    },
}

/// A graph that goes with the value unless the pipeline keeps it.
pub(super) enum Held<'p> {
    Kept(&'p dyn Model),
    Passing(Box<dyn Model>),
}

impl<'p> Deref for Held<'p> {
    type Target = dyn Model + 'p;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Kept(model) => *model,
            Self::Passing(model) => &**model,
        }
    }
}

impl Parts {
    /// Loads all graphs; the bytes of a file are freed once no graph needs it any more.
    pub async fn kept(package: &mut Package, engine: &dyn Engine) -> Result<Self> {
        let manifest = package.manifest.clone();
        let graphs = manifest.in_order();
        let mut models = BTreeMap::new();
        for (done, (name, graph)) in (1..).zip(&graphs) {
            let model = engine.load_graph(name, graph, &package.files, None).await?;
            models.insert((*name).to_owned(), model);
            let rest = graphs.iter().skip(done);
            let left: BTreeSet<&str> = rest.flat_map(|(_, graph)| graph.files()).collect();
            for file in graph.files().filter(|file| !left.contains(file)) {
                package.forget(file);
            }
            yield_now().await;
        }
        Ok(Self::Kept(models))
    }

    pub fn residency(&self) -> Residency {
        match self {
            Self::Kept(_) => Residency::Kept,
            Self::Passing {
                weights_budget: Some(_),
                ..
            } => Residency::Streamed,
            Self::Unset | Self::Passing { .. } => Residency::OnDemand,
        }
    }

    /// The graph of that name.
    pub async fn graph(&self, name: &str, graph: &Graph) -> Result<Held<'_>> {
        match self {
            Self::Kept(models) => {
                let model = models.get(name).map(|model| Held::Kept(&**model));
                model.ok_or_else(|| Error::engine(format!("no graph {name} was loaded")))
            }
            Self::Passing {
                engine,
                files,
                weights_budget,
            } => {
                let model = engine
                    .load_graph(name, graph, files, *weights_budget)
                    .await?;
                yield_now().await;
                Ok(Held::Passing(model))
            }
            Self::Unset => Err(Error::engine("the pipeline has no graphs")),
        }
    }
}
