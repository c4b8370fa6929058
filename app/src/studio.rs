//! The one page's work: form, run, picture, saving.

pub mod run;
