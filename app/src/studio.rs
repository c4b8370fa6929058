//! The one page's work: form, run, picture, saving.

pub mod policy;
pub mod reading;
pub mod run;
pub mod start;
pub mod watchdog;

#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod handle;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod rerun;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod sides;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod view;

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
mod browser;

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) use browser::storage::act as act_on_store;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
pub(crate) use handle::Studio;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
pub(crate) use rerun::Rerun;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
pub(crate) use sides::{Asked, SideRun, Sides};
#[cfg(any(feature = "ssr", feature = "hydrate"))]
pub(crate) use view::{StudioView, TransferControls};

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) use browser::capability::{
    ask as ask_capability, ask_processor, recall as recall_capability,
};
#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) use browser::compare;
#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) use browser::{offline, outbox};

/// Waits until suspended parts of the page, whose data came with it, are hydrated: they are micro-tasks.
#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) async fn settled() {
    browser::time::sleep(0).await;
}
