//! Making a stored picture again, as the page shows it.

use leptos::prelude::*;
use protocol::ImageRecord;

use super::Studio;
use super::run::Run;
use crate::difference::Difference;

/// Handle on the second making of a stored picture.
#[derive(Clone, Copy)]
pub(crate) struct Rerun {
    /// Its run; form and saving are not used.
    pub(crate) studio: Studio,
    /// How far the new picture is from the stored one, or why that is not known.
    pub(crate) score: RwSignal<Option<Result<Difference, String>>>,
}

impl Rerun {
    pub(crate) fn new() -> Self {
        Self {
            studio: Studio::new(),
            score: RwSignal::new(None),
        }
    }

    /// The run.
    pub(crate) fn run(self) -> RwSignal<Run> {
        self.studio.run
    }

    /// Makes the picture again in this browser, with the settings of `record`.
    pub(crate) fn start(self, record: ImageRecord) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::rerun::start(self, record);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = record;
    }

    /// Stops it.
    pub(crate) fn cancel(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::rerun::cancel(self);
    }
}
