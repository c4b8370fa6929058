//! The pages, one file each.

mod not_found;

pub(crate) use not_found::NotFound;
