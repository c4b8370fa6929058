//! Which models a worker takes jobs of.

use std::sync::Arc;

use crate::catalog::{Catalog, Live};
use crate::work;

/// The models of a worker: always the same, or the packages that fit into its memory as they come and go.
#[derive(Clone, Debug)]
pub struct Models(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// These, until they were given out.
    Fixed(Option<Vec<String>>),
    Fitting {
        catalog: Live,
        budget: Option<u64>,
        seen: Option<Arc<Catalog>>,
    },
}

impl From<Vec<String>> for Models {
    fn from(models: Vec<String>) -> Self {
        Self(Kind::Fixed(Some(models)))
    }
}

impl Models {
    /// Those of the packages of `catalog` that need at most `budget` bytes.
    pub fn fitting(catalog: Live, budget: Option<u64>) -> Self {
        Self(Kind::Fitting {
            catalog,
            budget,
            seen: None,
        })
    }

    /// The models, where they may be others than at the last call; the first call gives them in any case.
    pub(super) fn changed(&mut self) -> Option<Vec<String>> {
        match &mut self.0 {
            Kind::Fixed(models) => models.take(),
            Kind::Fitting {
                catalog,
                budget,
                seen,
            } => {
                let now = catalog.changed(seen)?;
                let mut fitting = work::fitting(&now.summaries(), *budget);
                fitting.retain(|id| now.runs_on_servers(id).is_ok());
                Some(fitting)
            }
        }
    }
}
