//! Making a stored picture again, as the page shows it.

use leptos::prelude::*;
use protocol::ImageRecord;

use super::difference::Difference;
use crate::runs::RunHandle;

/// Handle on the second making of a stored picture.
#[derive(Clone, Copy)]
pub(super) struct Rerun {
    /// Its run.
    pub(super) run: RunHandle,
    /// How far the new picture is from the stored one, or why that is not known.
    pub(super) score: RwSignal<Option<Result<Difference, String>>>,
}

impl Rerun {
    pub(super) fn new() -> Self {
        Self {
            run: RunHandle::new(),
            score: RwSignal::new(None),
        }
    }

    /// Makes the picture again in this browser, with the settings of `record`.
    pub(super) fn start(self, record: ImageRecord) {
        in_browser!(self, record => super::browser::start(self, record));
    }
}
