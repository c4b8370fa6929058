//! How far a picture is on its way to being saved.

use protocol::Problem;

/// Saving a picture that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    not(browser),
    expect(dead_code, reason = "pictures are saved from a browser only")
)]
pub(crate) enum Saving {
    /// Not asked for.
    #[default]
    Unsaved,
    /// Bytes are on their way to the store.
    Uploading {
        /// Bytes sent.
        sent: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The server checks what arrived.
    Committing,
    /// Kept in this browser until there is a network.
    Waiting,
    /// Stored for good under this link.
    Saved(String),
    /// Not stored; the picture is still here.
    Failed(Problem),
}

impl Saving {
    /// Whether saving may be asked for now.
    #[cfg(browser)]
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Unsaved | Self::Failed(_))
    }
}
