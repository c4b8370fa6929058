//! What networks of several classes are made of.
//!
//! Two forms of a value go through them: *planes*, `[batch, channels, height, width]`, and *rows*, `[batch · tokens, width]`, in which
//! every product is one matrix of PyTorch's `[out, in]` weights as they lie in the file.

mod activation;
mod attention;
mod dense;
mod norm;

pub(crate) use activation::Activation;
pub(crate) use attention::Heads;
