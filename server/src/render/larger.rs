//! The network that makes finished pictures larger, kept loaded.

use diffusion::{Engine, Error, ErrorKind, Upscaler, UpscalerPackage};
use futures::executor::block_on;
use protocol::{UpscaleFactor, UsedUpscaler};

use crate::catalog::Catalog;
use crate::catalog::upscalers::UpscalerEntry;

/// The last network that was used.
#[derive(Default)]
pub(super) struct Larger(Option<(UsedUpscaler, UpscaleFactor, Upscaler)>);

impl Larger {
    /// The network that makes pictures `factor` times as large.
    pub fn loaded(
        &mut self,
        entry: &UpscalerEntry,
        factor: UpscaleFactor,
        engine: &dyn Engine,
    ) -> diffusion::Result<&Upscaler> {
        let wanted = entry.manifest.used();
        let kept = self.0.take();
        let kept = kept.filter(|(used, of, _)| (used, *of) == (&wanted, factor));
        let kept = match kept {
            Some(kept) => kept,
            None => {
                let package = UpscalerPackage::from_dir(&entry.dir)?;
                let upscaler = block_on(Upscaler::load(&package, factor, engine))?;
                (wanted, factor, upscaler)
            }
        };
        Ok(&self.0.insert(kept).2)
    }
}

/// The package that makes pictures `factor` times as large.
pub(super) fn entry(catalog: &Catalog, factor: UpscaleFactor) -> diffusion::Result<&UpscalerEntry> {
    let found = catalog.upscaler(factor, None);
    found.map_err(|problem| Error::new(ErrorKind::InvalidRequest, problem.detail))
}
