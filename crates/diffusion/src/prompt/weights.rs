//! Weights of tokens, applied to what the text encoder gave for them.

use crate::error::{Error, Result};

/// Multiplies the hidden states of a chunk, `[weights.len(), width]` row-major, by the weights of its tokens, and then all
/// of them by the one number that gives them back the mean that they had. Weights of 1 throughout change nothing.
///
/// # Errors
/// [`crate::ErrorKind::Engine`] when there are not as many rows as weights; [`crate::ErrorKind::InvalidRequest`] when the
/// weights leave no mean to scale by.
pub fn weigh(states: &mut [f32], weights: &[f32]) -> Result<()> {
    let fits = states.len().is_multiple_of(weights.len());
    if !fits || states.is_empty() != weights.is_empty() {
        return Err(Error::engine(format!(
            "{} hidden states do not belong to {} tokens",
            states.len(),
            weights.len()
        )));
    }
    if weights.iter().all(|&weight| weight == 1.0) {
        return Ok(());
    }
    let width = states.len() / weights.len();
    let before = sum(states);
    for (row, weight) in states.chunks_exact_mut(width).zip(weights) {
        row.iter_mut().for_each(|state| *state *= weight);
    }
    let factor = before / sum(states);
    let scale = |state: &mut f32| *state = (f64::from(*state) * factor) as f32;
    states.iter_mut().for_each(scale);
    if !states.iter().all(|state| state.is_finite()) {
        return Err(super::invalid(
            "the weights of the prompt cancel each other out, or are too large".to_owned(),
        ));
    }
    Ok(())
}

fn sum(states: &[f32]) -> f64 {
    states.iter().map(|&state| f64::from(state)).sum()
}
