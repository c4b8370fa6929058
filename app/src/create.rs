//! `/`: prompt in, picture out.

pub mod alternatives;
pub mod link;
pub mod reading;
pub mod start;

mod batch;
mod expanded;
mod film;
mod form;
mod from_picture;
mod grid;
mod keys;
mod list;
mod loras;
mod options;
mod page;
mod queue;
mod result;
mod start_fields;
mod studio;
mod times;
mod verdict_line;

#[cfg(browser)]
mod browser;

pub(crate) use page::Create;
pub(crate) use studio::Studio;
