//! LoRAs of a package (Hu et al., arXiv:2106.09685): pairs of narrow matrices whose products are added to weights of its graphs.
//!
//! They are added while an engine reads the weights, tensor by tensor, so that a step costs what it costs without them, on every engine.
//! A weight of the package's type comes out: the sum is made in 32 bits and rounded once.

mod bindings;
mod merged;

use std::sync::Arc;

pub use self::bindings::{Bindings, Element, FORMAT, Factor, Update};
use self::merged::{Added, Merged};
use protocol::UsedLora;

use crate::error::Result;
use crate::files::{Files, whole};
use crate::manifest::Manifest;

/// The LoRAs of a package, in the manifest's order.
#[derive(Debug, Default)]
pub(crate) struct Loras(Vec<Lora>);

#[derive(Debug)]
struct Lora {
    name: String,
    /// The package's file of the matrices.
    file: Arc<str>,
    updates: Vec<Arc<Update>>,
}

/// What is added to the weights of a graph: LoRAs by their places in [`Loras`], and what each is multiplied by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mix(Vec<(usize, f32)>);

impl Loras {
    /// Reads what the package's LoRAs add to.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`] where that is not in the package's files; those of [`Files::read`].
    pub async fn read(manifest: &Manifest, files: &dyn Files) -> Result<Self> {
        let mut loras = Vec::with_capacity(manifest.loras.len());
        for entry in &manifest.loras {
            let json = whole(files, &entry.bindings).await?;
            let updates = Bindings::parse(&json, &entry.bindings)?.updates;
            bindings::check(&updates, manifest, files, entry)?;
            loras.push(Lora {
                name: entry.name.clone(),
                file: entry.file.as_str().into(),
                updates: updates.into_iter().map(Arc::new).collect(),
            });
        }
        bindings::check_together(
            loras
                .iter()
                .flat_map(|lora| lora.updates.iter().map(|update| &**update)),
        )?;
        Ok(Self(loras))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a request's LoRAs add to a graph.
    pub fn mix(&self, manifest: &Manifest, graph: &str, used: &[UsedLora]) -> Mix {
        let reads_text = manifest.conditioning.iter().any(|run| run.graph == graph);
        let weight = |lora: &Lora| {
            let used = used.iter().find(|used| used.name == lora.name)?;
            Some(if reads_text {
                used.text_weight
            } else {
                used.weight
            })
        };
        let added = self.0.iter().enumerate().filter_map(|(index, lora)| {
            let weight = weight(lora).filter(|weight| *weight != 0.0)?;
            let touched = lora.updates.iter().any(|update| update.graph == graph);
            touched.then_some((index, weight))
        });
        Mix(added.collect())
    }

    /// The files with what is added to a graph.
    #[cfg_attr(
        target_arch = "wasm32",
        allow(
            clippy::arc_with_non_send_sync,
            reason = "a browser's files stay on their thread; elsewhere they are shared"
        )
    )]
    pub fn merged(&self, files: &Arc<dyn Files>, graph: &str, mix: &Mix) -> Arc<dyn Files> {
        if *mix == Mix::default() {
            return Arc::clone(files);
        }
        let added = mix.0.iter().filter_map(|&(index, weight)| {
            let lora = self.0.get(index)?;
            Some((lora, weight))
        });
        let added = added.flat_map(|(lora, weight)| {
            let own = lora.updates.iter().filter(|update| update.graph == graph);
            own.map(move |update| Added {
                file: Arc::clone(&lora.file),
                update: Arc::clone(update),
                weight,
            })
        });
        Arc::new(Merged::new(Arc::clone(files), added))
    }
}

impl Manifest {
    /// The LoRAs of pictures whose prompt names none.
    pub(crate) fn usual_loras(&self) -> Vec<UsedLora> {
        let usual = self.loras.iter().filter_map(|entry| {
            let weight = entry.weight?;
            Some(UsedLora {
                name: entry.name.clone(),
                hash: entry.hash.clone(),
                text_weight: weight,
                weight,
            })
        });
        usual.collect()
    }
}
