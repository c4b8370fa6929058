//! Stopping a generation from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that clones share; [`crate::Pipeline::generate`] looks at it before and after each denoiser step, and before each
/// tile of a picture that is decoded in tiles.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the generation to stop; it ends with [`crate::ErrorKind::Cancelled`] within one step or tile.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::cancel`] was called on any clone.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> crate::Result<()> {
        if self.is_cancelled() {
            return Err(crate::Error::cancelled());
        }
        Ok(())
    }
}
