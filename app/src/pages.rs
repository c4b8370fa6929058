//! The pages, one file each, and the pieces that several of them show.

mod add;
mod compare;
mod copy;
mod creator;
mod fetched;
mod gallery;
mod home;
mod image;
mod json_ld;
mod model;
mod models;
mod not_found;
mod parts;
mod provenance;
mod split;
mod storage;
mod verdict;

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) use gallery::watch as watch_window;
pub(crate) use gallery::{Gallery, Shelf};

pub(crate) use add::AddModel;
pub(crate) use compare::Compare;
pub(crate) use creator::CreatorPage;
pub(crate) use home::Home;
pub(crate) use image::ImagePage;
pub(crate) use model::ModelPage;
pub(crate) use models::Models;
pub(crate) use not_found::NotFound;
pub(crate) use parts::ProblemNote;
pub(crate) use storage::StoragePage;
#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
pub(crate) use storage::{Check, Known, StoreAct, Stored};
pub(crate) use verdict::VerdictLine;
