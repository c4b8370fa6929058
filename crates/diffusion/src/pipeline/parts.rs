//! The graphs of a package: on the engine for good, or only while they are needed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use protocol::Residency;

use crate::engine::{Engine, Model};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::lora::{Loras, Mix};
use crate::manifest::Graph;
use crate::package::Package;
use crate::yielding::yield_now;

/// Most bytes of a graph's weights on a device that streams them: decoders and small encoders are there whole.
pub const STREAMED_WEIGHTS: u64 = 512 << 20;

pub(super) enum Parts {
    /// While a pipeline is put together.
    Unset,
    Kept {
        models: RefCell<BTreeMap<String, Rc<Fitted>>>,
        /// Where graphs can be had again, for packages with LoRAs.
        again: Option<(Box<dyn Engine>, Arc<dyn Files>)>,
    },
    /// One at a time.
    Passing {
        engine: Box<dyn Engine>,
        files: Arc<dyn Files>,
        weights_budget: Option<u64>,
    },
}

/// A graph on the engine, and what was added to its weights.
pub(super) struct Fitted {
    model: Box<dyn Model>,
    mix: Mix,
}

/// A graph that goes with the value unless the pipeline keeps it.
pub(super) enum Held {
    Kept(Rc<Fitted>),
    Passing(Box<dyn Model>),
}

impl Deref for Held {
    type Target = dyn Model;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Kept(fitted) => &*fitted.model,
            Self::Passing(model) => &**model,
        }
    }
}

impl Parts {
    /// Loads all graphs, with the LoRAs of pictures whose prompt names none; without LoRAs, the bytes of a file are freed once no graph
    /// needs it any more.
    pub async fn kept(package: &mut Package, engine: &dyn Engine, loras: &Loras) -> Result<Self> {
        let manifest = package.manifest.clone();
        let graphs = manifest.in_order();
        let usual = manifest.usual_loras();
        let mut models = BTreeMap::new();
        for (done, (name, graph)) in (1..).zip(&graphs) {
            let mix = loras.mix(&manifest, name, &usual);
            let files = loras.merged(&package.files, name, &mix);
            let model = engine.load_graph(name, graph, &files, None).await?;
            drop(files);
            models.insert((*name).to_owned(), Rc::new(Fitted { model, mix }));
            if loras.is_empty() {
                let rest = graphs.iter().skip(done);
                let left: BTreeSet<&str> = rest.flat_map(|(_, graph)| graph.files()).collect();
                for file in graph.files().filter(|file| !left.contains(file)) {
                    package.forget(file);
                }
            }
            yield_now().await;
        }
        let again = || (engine.shared(), Arc::clone(&package.files));
        Ok(Self::Kept {
            models: RefCell::new(models),
            again: (!loras.is_empty()).then(again),
        })
    }

    pub fn residency(&self) -> Residency {
        match self {
            Self::Kept { .. } => Residency::Kept,
            Self::Passing {
                weights_budget: Some(_),
                ..
            } => Residency::Streamed,
            Self::Unset | Self::Passing { .. } => Residency::OnDemand,
        }
    }

    /// The graph of that name with what is added to its weights. One that has other sums is dropped before it is loaded again.
    pub async fn graph(
        &self,
        (name, graph): (&str, &Graph),
        loras: &Loras,
        mix: Mix,
    ) -> Result<Held> {
        match self {
            Self::Kept { models, again } => {
                if let Some(fitted) = models.borrow().get(name)
                    && fitted.mix == mix
                {
                    return Ok(Held::Kept(fitted.clone()));
                }
                let again = again.as_ref();
                let (engine, files) =
                    again.ok_or_else(|| Error::engine(format!("no graph {name} was loaded")))?;
                models.borrow_mut().remove(name);
                let files = loras.merged(files, name, &mix);
                let model = engine.load_graph(name, graph, &files, None).await?;
                let fitted = Rc::new(Fitted { model, mix });
                models.borrow_mut().insert(name.to_owned(), fitted.clone());
                yield_now().await;
                Ok(Held::Kept(fitted))
            }
            Self::Passing {
                engine,
                files,
                weights_budget,
            } => {
                let files = loras.merged(files, name, &mix);
                let model = engine
                    .load_graph(name, graph, &files, *weights_budget)
                    .await?;
                yield_now().await;
                Ok(Held::Passing(model))
            }
            Self::Unset => Err(Error::engine("the pipeline has no graphs")),
        }
    }
}
