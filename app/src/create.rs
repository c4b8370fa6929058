//! `/`: prompt in, picture out.

pub mod link;
pub mod reading;
pub mod start;

mod form;
mod from_picture;
mod loras;
mod options;
mod page;
mod result;
mod start_fields;
mod studio;
mod times;
mod verdict_line;

#[cfg(browser)]
mod browser;

pub(crate) use page::Create;
pub(crate) use studio::Studio;
