//! The pages, one file each, and the pieces that several of them show.

mod compare;
mod copy;
mod gallery;
mod home;
mod image;
mod model;
mod not_found;
mod parts;
mod split;
mod verdict;

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) use gallery::watch as watch_window;
pub(crate) use gallery::{Gallery, Shelf};

pub(crate) use compare::Compare;
pub(crate) use home::Home;
pub(crate) use image::ImagePage;
pub(crate) use model::ModelPage;
pub(crate) use not_found::NotFound;
pub(crate) use parts::ProblemNote;
pub(crate) use verdict::VerdictNote;
