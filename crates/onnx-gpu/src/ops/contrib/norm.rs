//! Normalisations with a skip connection, and the group norm over channels-last images.

use super::super::elementwise::binary;
use super::super::movement::{channels_first, channels_last};
use super::super::norm::{grouped, normalised_rows};
use crate::context::Cx;
use crate::error::{Result, unsupported};
use crate::kernels::Activation;
use crate::kernels::elementwise::BinaryOp;
use crate::program::Value;

pub(super) fn skip_layer(cx: &mut Cx<'_>) -> Result<()> {
    // Inputs: input, skip, gamma, beta, bias.
    let affine = [cx.optional(2), cx.optional(3)];
    let bias = cx.optional(4);
    skip(cx, affine, bias, false)
}

pub(super) fn skip_simplified(cx: &mut Cx<'_>) -> Result<()> {
    // Inputs: input, skip, gamma, bias.
    let affine = [cx.optional(2), None];
    let bias = cx.optional(3);
    skip(cx, affine, bias, true)
}

/// Outputs: the norm of input + skip + bias, nothing at 1 and 2 (statistics for training), the sum.
fn skip(
    cx: &mut Cx<'_>,
    [scale, shift]: [Option<Value>; 2],
    bias: Option<Value>,
    rms: bool,
) -> Result<()> {
    let (x, skip) = (cx.input(0)?, cx.input(1)?);
    let mut sum = binary(cx, BinaryOp::Add, &x, &skip)?;
    if let Some(bias) = bias {
        sum = binary(cx, BinaryOp::Add, &sum, &bias)?;
    }
    let epsilon = cx.attributes.float("epsilon", 1e-12)?;
    let last = sum.rank().saturating_sub(1);
    let out = normalised_rows(cx, &sum, last, epsilon, [scale, shift], rms)?;
    cx.set(0, out);
    cx.set(3, sum);
    Ok(())
}

pub(super) fn group(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let out = group_of(cx, &x)?;
    cx.set(0, out);
    Ok(())
}

/// Inputs: X, gamma, beta, skip, bias. Outputs: the norm of X + skip + bias, the sum.
pub(super) fn skip_group(cx: &mut Cx<'_>) -> Result<()> {
    let (x, mut skip) = (cx.input(0)?, cx.input(3)?);
    if skip.rank() == 2 && x.rank() == 4 {
        let [n, c] = [skip.shape()[0], skip.shape()[1]];
        skip = cx.reshaped(skip, vec![n, 1, 1, c])?;
    }
    let mut sum = binary(cx, BinaryOp::Add, &x, &skip)?;
    if let Some(bias) = cx.optional(4) {
        sum = binary(cx, BinaryOp::Add, &sum, &bias)?;
    }
    let out = group_of(cx, &sum)?;
    cx.set(0, out);
    cx.set(1, sum);
    Ok(())
}

fn group_of(cx: &mut Cx<'_>, x: &Value) -> Result<Value> {
    let (scale, bias) = (cx.input(1)?, cx.input(2)?);
    let groups = super::super::attention::count(cx, "groups")?;
    let epsilon = cx.attributes.float("epsilon", 1e-5)?;
    let activation = match cx.attributes.int("activation", 0)? {
        0 => Activation::None,
        1 => Activation::Silu,
        other => {
            return Err(unsupported(format!(
                "attribute 'activation' = {other} is not supported"
            )));
        }
    };
    let last = cx.attributes.flag("channels_last", true)?;
    let image = if last {
        channels_first(cx, x)?
    } else {
        x.clone()
    };
    let out = grouped(cx, &image, groups, [&scale, &bias], epsilon, activation)?;
    if last {
        channels_last(cx, &out)
    } else {
        Ok(out)
    }
}
