//! The pages of Demo Hub: rendered on the server, hydrated in the browser, models in a web worker.
//!
//! * `ssr`: the server renders [`App`] (module `ssr`).
//! * `hydrate`: the binary `client` hydrates it in the browser's main thread.
//! * `render-worker`: the binary of that name runs the models off the main thread, on WebGPU.
//! * `cpu-worker`: the binary of that name runs them on the processor.
//!
//! `build.rs` names the conditions: `pages`, `browser` and `worker`. Each room below is a feature with its page, its link and
//! what only a browser does for it; who may import whom is in docs/decisions/0057.

// The types of Leptos views nest deeply.
#![recursion_limit = "256"]

/// Does what only a browser can; elsewhere lets go of what that would have used.
#[cfg(pages)]
macro_rules! in_browser {
    ($($used:ident),* => $act:expr) => {{
        #[cfg(browser)]
        {
            $act;
        }
        #[cfg(not(browser))]
        {
            $(let _ = $used;)*
        }
    }};
}

#[cfg(pages)]
mod add;
#[cfg(pages)]
pub mod again;
#[cfg(browser)]
mod browser;
#[cfg(pages)]
mod capability;
#[cfg(browser)]
mod client;
#[cfg(pages)]
pub mod compare;
#[cfg(pages)]
pub mod create;
#[cfg(pages)]
mod data;
#[cfg(pages)]
pub mod format;
#[cfg(pages)]
mod gallery;
#[cfg(pages)]
mod image;
#[cfg(pages)]
pub mod models;
#[cfg(pages)]
mod parts;
#[cfg(pages)]
mod response;
#[cfg(pages)]
mod root;
#[cfg(pages)]
pub mod runs;
#[cfg(pages)]
mod saving;
#[cfg(feature = "ssr")]
pub mod ssr;
#[cfg(pages)]
mod storage;
pub mod worker;

#[cfg(browser)]
pub use client::hydrate;
#[cfg(pages)]
pub use root::App;
