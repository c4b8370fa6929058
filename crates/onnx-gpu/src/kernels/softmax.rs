//! Softmax and log-softmax along one axis.

use super::workgroup::Rows;
use super::{AdapterClass, Launch, cover, elements, fold, render, word, workgroup};
use crate::Result;

/// A tensor seen as `[outer, axis, inner]`, normalised along `axis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the normalised axis.
    pub axis: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Give the logarithm.
    pub log: bool,
    /// A row of only `-inf` gives zeros, as attention with nothing to attend to wants.
    pub zero_if_empty: bool,
}

/// One `f32` input, one output of the same shape. A row of only `-inf` gives NaN, as in ONNX Runtime, unless
/// [`Softmax::zero_if_empty`].
pub fn softmax(geometry: &Softmax, class: AdapterClass) -> Result<Launch> {
    let g = geometry;
    elements(&[g.outer, g.axis, g.inner])?;
    let rows = elements(&[g.outer, g.inner])?;
    let (scale, result, name) = if g.log {
        ("log(sum)", "x - scale", "log_softmax")
    } else {
        (
            "select(1.0 / sum, 0.0, sum == 0.0 && params.zero_if_empty != 0u)",
            "exp(x) * scale",
            "softmax",
        )
    };
    let params = vec![
        word(rows)?,
        word(g.axis)?,
        word(g.inner)?,
        u32::from(g.zero_if_empty),
    ];
    let shared = Rows::of(class, rows, g.axis);
    if let (1, Rows::Workgroup(width)) = (g.inner, shared) {
        let fold_max = workgroup::fold(class, width, "fold_max", "f32", "max(a, b)");
        let fold_sum = workgroup::fold(class, width, "fold_sum", "f32", "a + b");
        return Ok(Launch {
            label: name,
            key: format!("{name}-rows{width}-{class:?}"),
            wgsl: render(
                include_str!("softmax/rows.wgsl"),
                &[
                    ("fold_max", &fold_max),
                    ("fold_sum", &fold_sum),
                    ("width", &width.to_string()),
                    ("scale", scale),
                    ("result", result),
                ],
            ),
            params,
            workgroups: fold(rows)?,
            turns: 3 * g.axis.div_ceil(width) + 2 * width,
            bindings: 2,
            flops: 0,
        });
    }
    Ok(Launch {
        label: name,
        key: format!("{name}-columns"),
        wgsl: render(
            include_str!("softmax/columns.wgsl"),
            &[("scale", scale), ("result", result)],
        ),
        params,
        workgroups: cover(rows)?,
        turns: 3 * g.axis,
        bindings: 2,
        flops: 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn many_rows_fold_into_two_dimensions() {
        let geometry = Softmax {
            outer: 200_000,
            axis: 77,
            inner: 1,
            log: false,
            zero_if_empty: false,
        };
        let [x, y, z] = softmax(&geometry, AdapterClass::Hardware)
            .unwrap()
            .workgroups;
        assert!(x <= 65_535 && u64::from(x) * u64::from(y) >= 200_000 && z == 1);
    }
}
