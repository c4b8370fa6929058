//! The pages, one file each, and the pieces that several of them show.

mod gallery;
mod home;
mod image;
mod model;
mod not_found;
mod parts;

pub(crate) use gallery::Gallery;
pub(crate) use home::Home;
pub(crate) use image::ImagePage;
pub(crate) use model::ModelPage;
pub(crate) use not_found::NotFound;
pub(crate) use parts::ProblemNote;
