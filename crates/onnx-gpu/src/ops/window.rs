//! Sliding windows: the attributes that convolutions and pools share.
//!
//! `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad` for one or two spatial axes; one axis becomes two with height 1.

use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::program::Value;

/// Larger values are refused: they overflow 32-bit indices and mean nothing.
const MAX_EXTENT: i64 = 1 << 24;

/// A window over two spatial axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [i64; 4],
}

/// `[N, C, H, W]` of an image batch; `[N, C, W]` gets a height of 1.
pub(super) fn image_shape(x: &Value) -> Result<[usize; 4]> {
    match *x.shape() {
        [n, c, w] => Ok([n, c, 1, w]),
        [n, c, h, w] => Ok([n, c, h, w]),
        _ => Err(unsupported(format!(
            "input of shape {:?}: one or two spatial axes are supported",
            x.shape()
        ))),
    }
}

/// Two entries from one or two, the first being `fill` for one spatial axis.
fn two(name: &str, list: &[i64], spatial: usize, fill: usize) -> Result<[usize; 2]> {
    let mut out = [fill; 2];
    if list.len() != spatial {
        return Err(mismatch(format!(
            "attribute '{name}' = {list:?} does not fit {spatial} spatial axes"
        )));
    }
    for (slot, &v) in out[2 - spatial..].iter_mut().zip(list) {
        *slot = usize::try_from(v)
            .ok()
            .filter(|_| (1..=MAX_EXTENT).contains(&v))
            .ok_or_else(|| invalid_model(format!("attribute '{name}' = {list:?}")))?;
    }
    Ok(out)
}

impl Window {
    /// Reads the attributes; `kernel` gives the window where a weight tensor fixes it.
    pub fn read(cx: &Cx<'_>, x: &Value, kernel: Option<&[usize]>) -> Result<Self> {
        let spatial = x.rank().saturating_sub(2);
        let [_, _, h, w] = image_shape(x)?;
        let attributes = &cx.attributes;
        let stated = attributes
            .opt_ints("kernel_shape")?
            .map(|list| two("kernel_shape", list, spatial, 1))
            .transpose()?;
        let kernel = match (kernel, stated) {
            (Some(kernel), stated) => {
                let list: Vec<i64> = kernel.iter().map(|&k| k as i64).collect();
                let own = two("kernel_shape", &list, spatial, 1)?;
                if stated.is_some_and(|s| s != own) {
                    return Err(mismatch(format!(
                        "kernel_shape {stated:?} is not the weight's {own:?}"
                    )));
                }
                own
            }
            (None, Some(stated)) => stated,
            (None, None) => return Err(invalid_model("attribute 'kernel_shape' is missing")),
        };
        let list = |name| -> Result<[usize; 2]> {
            attributes
                .opt_ints(name)?
                .map_or(Ok([1; 2]), |list| two(name, list, spatial, 1))
        };
        let mut window = Self {
            kernel,
            strides: list("strides")?,
            dilations: list("dilations")?,
            pads: [0; 4],
        };
        let pads = attributes.opt_ints("pads")?;
        match attributes.text("auto_pad", "NOTSET")? {
            "NOTSET" => {
                if let Some(pads) = pads {
                    window.pads = four(pads, spatial)?;
                }
            }
            "VALID" => {}
            "SAME_UPPER" => window.pad_same([h, w], false),
            "SAME_LOWER" => window.pad_same([h, w], true),
            other => {
                return Err(unsupported(format!(
                    "attribute 'auto_pad' = \"{other}\" is not supported"
                )));
            }
        }
        Ok(window)
    }

    /// Elements from a window's first to its last, both counted.
    pub fn extent(&self, axis: usize) -> usize {
        self.dilations[axis] * (self.kernel[axis] - 1) + 1
    }

    /// Pads so that the output is `ceil(input / stride)`; an odd element goes to the end, or to the start with `lower`.
    fn pad_same(&mut self, input: [usize; 2], lower: bool) {
        for (axis, length) in input.into_iter().enumerate() {
            let out = length.div_ceil(self.strides[axis]);
            let needed = (out.saturating_sub(1) * self.strides[axis] + self.extent(axis))
                .saturating_sub(length) as i64;
            let (small, large) = (needed / 2, needed - needed / 2);
            (self.pads[axis], self.pads[axis + 2]) = if lower {
                (large, small)
            } else {
                (small, large)
            };
        }
    }
}

/// Top, left, bottom, right from ONNX `pads` (all begins, then all ends).
pub(super) fn four(pads: &[i64], spatial: usize) -> Result<[i64; 4]> {
    if pads.iter().any(|p| !(-MAX_EXTENT..=MAX_EXTENT).contains(p)) {
        return Err(invalid_model(format!("attribute 'pads' = {pads:?}")));
    }
    match (spatial, pads) {
        (1, &[left, right]) => Ok([0, left, 0, right]),
        (2, &[top, left, bottom, right]) => Ok([top, left, bottom, right]),
        _ => Err(mismatch(format!(
            "attribute 'pads' = {pads:?} does not fit {spatial} spatial axes"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_element_where_asked() {
        let mut window = Window {
            kernel: [2, 3],
            strides: [1, 2],
            dilations: [1, 1],
            pads: [0; 4],
        };
        window.pad_same([4, 4], false);
        assert_eq!(window.pads, [0, 0, 1, 1]);
        window.pad_same([4, 4], true);
        assert_eq!(window.pads, [1, 1, 0, 0]);
    }
}
