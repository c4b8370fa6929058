//! How what is computed once came about.

use std::sync::Arc;

use crate::graph::ValueId;

/// How the contents of a prepared buffer came about; equal recipes give equal contents in every plan of a graph.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Recipe(pub Vec<Write>);

/// Shader, parameters and inputs of a launch.
pub(crate) type Write = (String, Vec<u32>, Vec<Ingredient>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ingredient {
    Weight(ValueId),
    /// A constant of the graph, by [`super::data_key`].
    Constant((usize, usize)),
    Prepared(Arc<Recipe>),
}
