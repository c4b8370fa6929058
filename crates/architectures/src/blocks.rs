//! What networks of several classes are made of.
//!
//! Two forms of a value go through them: *planes*, `[batch, channels, height, width]`, and *rows*, `[batch · tokens, width]`, in which
//! every product is one matrix of PyTorch's `[out, in]` weights as they lie in the file.

mod activation;
mod attention;
mod convolution;
mod dense;
mod feed;
mod glumb;
mod language;
mod linear_attention;
mod norm;
mod patches;
mod planes;
mod resnet;
mod rotary;
mod steered;
mod table;
mod time;
mod transformer;

pub(crate) use activation::Activation;
pub(crate) use attention::Heads;
pub(crate) use convolution::Window;
pub(crate) use language::{Angles, Gated, Scores, WIDEST, parts};
pub(crate) use norm::Groups;
pub(crate) use patches::{Order, PATCH};
pub(crate) use resnet::Resnet;
pub(crate) use rotary::theta;
pub(crate) use time::Waves;
pub(crate) use transformer::{Text, Transformer};
