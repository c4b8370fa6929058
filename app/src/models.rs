//! What is known of models: the catalogue, the card of each, their makers, and whether they run here.

pub mod bibtex;
pub mod measured;

mod creator;
mod json_ld;
mod list;
mod model;
mod provenance;
mod verdict;

pub(crate) use creator::CreatorPage;
pub(crate) use list::Models;
pub(crate) use model::ModelPage;
