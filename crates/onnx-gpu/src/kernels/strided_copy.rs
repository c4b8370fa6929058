//! Strided copies: transpose, slice, expand, concat, split, tile, pad, space/depth shuffles.

use super::{
    Launch, coalesce, cover, elements, pad16, render, row_major, signed, table, unravel, word,
};
use crate::{Error, ErrorKind, Result};

/// `out[out_offset + i·out_strides] = in[in_offset + i·in_strides]` for every `i` of `shape`.
///
/// Offsets and strides count 32-bit elements; input strides may be negative or zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StridedCopy {
    /// The index space; any rank that coalesces to at most 8 axes.
    pub shape: Vec<usize>,
    /// First input element.
    pub in_offset: i64,
    /// Input step per axis.
    pub in_strides: Vec<i64>,
    /// First output element.
    pub out_offset: i64,
    /// Output step per axis.
    pub out_strides: Vec<i64>,
}

/// One input (any 32-bit element), one output; elements outside the index space keep their value.
///
/// Runs of four elements that are contiguous and aligned in the output are written as `vec4`s, and read as such where
/// the input allows it.
pub fn strided_copy(geometry: &StridedCopy) -> Result<Launch> {
    let g = geometry;
    if g.in_strides.len() != g.shape.len() || g.out_strides.len() != g.shape.len() {
        return Err(mismatch(format!("{g:?}: one stride per axis")));
    }
    elements(&g.shape)?;
    let (mut dims, mut strides) =
        coalesce(&g.shape, &[g.in_strides.clone(), g.out_strides.clone()]);
    if dims.is_empty() {
        dims.push(1);
        strides = vec![vec![0], vec![0]];
    }
    let offsets = [g.in_offset, g.out_offset];
    let runs = Runs::of(&dims, &strides, offsets);
    let last = dims.len() - 1;
    let in_step = strides[0][last];
    let mut divided = offsets;
    if runs != Runs::None {
        dims[last] /= 4;
        strides[0][last] *= 4;
        strides[1][last] *= 4;
        quarter(&mut strides[1], &mut divided[1]);
    }
    if runs == Runs::Both {
        quarter(&mut strides[0], &mut divided[0]);
    }
    let [in_offset, out_offset] = divided;
    let (name, in_item, out_item, value) = match runs {
        Runs::Both => ("both", "vec4<u32>", "vec4<u32>", "in_x[u32(from_at)]"),
        Runs::Output => ("output", "u32", "vec4<u32>", GATHERED),
        Runs::None => ("none", "u32", "u32", "in_x[u32(from_at)]"),
    };
    let len = elements(&dims)?;
    let mut params = Vec::new();
    let words: Vec<u32> = dims.iter().map(|&d| word(d)).collect::<Result<_>>()?;
    params.extend(table(&words, 1)?);
    for list in &strides {
        let words: Vec<u32> = list.iter().map(|&s| signed(s)).collect::<Result<_>>()?;
        params.extend(table(&words, 0)?);
    }
    params.extend([
        word(len)?,
        word(dims.len())?,
        signed(in_offset)?,
        signed(out_offset)?,
        signed(in_step)?,
    ]);
    Ok(Launch {
        label: "strided_copy",
        key: format!("strided_copy-{name}"),
        wgsl: render(
            include_str!("strided_copy/copy.wgsl"),
            &[
                ("in_item", in_item),
                ("out_item", out_item),
                ("value", value),
            ],
        ),
        params: pad16(params),
        workgroups: cover(len)?,
        turns: 0,
        bindings: 2,
        flops: 0,
    })
}

/// One input and one output of 16-bit elements, two per word; the copy fills its output row by row from the start.
pub fn strided_halves(copy: &StridedCopy) -> Result<Launch> {
    let len = elements(&copy.shape)?;
    if copy.out_offset != 0 || copy.out_strides != row_major(&copy.shape) {
        return Err(mismatch(format!("{copy:?} does not fill words")));
    }
    let (dims, strides) = coalesce(&copy.shape, std::slice::from_ref(&copy.in_strides));
    let dims: Vec<u32> = dims.iter().map(|&d| word(d)).collect::<Result<_>>()?;
    let strides: Vec<u32> = strides[0]
        .iter()
        .map(|&s| signed(s))
        .collect::<Result<_>>()?;
    let mut params = table(&dims, 1)?.to_vec();
    params.extend(table(&strides, 0)?);
    params.extend([word(len)?, word(dims.len())?, signed(copy.in_offset)?]);
    let steps = unravel("steps", "dims", "rank", &[("strides", 0)]);
    Ok(Launch {
        label: "strided_copy",
        key: "strided_copy-halves".to_owned(),
        wgsl: render(
            include_str!("strided_copy/halves.wgsl"),
            &[("steps", &steps)],
        ),
        params: pad16(params),
        workgroups: cover(len.div_ceil(2))?,
        turns: 0,
        bindings: 2,
        flops: 0,
    })
}

fn mismatch(message: String) -> Error {
    Error::new(ErrorKind::ShapeMismatch, message)
}

const GATHERED: &str = "vec4<u32>(in_x[u32(from_at)], in_x[u32(from_at + params.in_step)], \
    in_x[u32(from_at + 2 * params.in_step)], in_x[u32(from_at + 3 * params.in_step)])";

/// On which side the innermost axis falls into contiguous, aligned runs of four.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    Both,
    Output,
    None,
}

impl Runs {
    fn of(dims: &[usize], strides: &[Vec<i64>], offsets: [i64; 2]) -> Self {
        let four = dims.last().is_some_and(|d| d % 4 == 0);
        let [input, output] = [0, 1].map(|side| {
            four && offsets[side] % 4 == 0
                && strides[side]
                    .split_last()
                    .is_some_and(|(&last, outer)| last == 1 && outer.iter().all(|s| s % 4 == 0))
        });
        match (input, output) {
            (true, true) => Self::Both,
            (false, true) => Self::Output,
            (_, false) => Self::None,
        }
    }
}

/// From elements to runs of four.
fn quarter(strides: &mut [i64], offset: &mut i64) {
    for stride in strides {
        *stride /= 4;
    }
    *offset /= 4;
}

/// No input, one output: `len` elements become `bits`.
pub fn fill(len: usize, bits: u32) -> Result<Launch> {
    Ok(Launch {
        label: "fill",
        key: "fill".to_owned(),
        wgsl: render(include_str!("strided_copy/fill.wgsl"), &[]),
        params: vec![word(len)?, bits, 0, 0],
        workgroups: cover(len.div_ceil(4))?,
        turns: 0,
        bindings: 1,
        flops: 0,
    })
}

/// What lies outside a padded tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PadMode {
    /// The element with these bits.
    Constant(u32),
    /// Mirror without repeating the edge.
    Reflect,
    /// Repeat the edge.
    Edge,
    /// Periodic.
    Wrap,
}

/// ONNX `Pad`; negative `begin`/`end` crop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Input shape, rank at most 8.
    pub shape: Vec<usize>,
    /// Elements added before each axis.
    pub begin: Vec<i64>,
    /// Elements added after each axis.
    pub end: Vec<i64>,
    /// What lies outside.
    pub mode: PadMode,
}

/// One input (any 32-bit element), one output of `shape + begin + end`.
pub fn pad(geometry: &Pad) -> Result<Launch> {
    let g = geometry;
    if g.begin.len() != g.shape.len() || g.end.len() != g.shape.len() {
        return Err(mismatch(format!("{g:?}: two pads per axis")));
    }
    let out = g.output()?;
    let len = elements(&out)?;
    elements(&g.shape)?;
    if g.shape.contains(&0) && !matches!(g.mode, PadMode::Constant(_)) {
        return Err(mismatch(format!("{g:?}: nothing to repeat")));
    }
    let words = |dims: &[usize]| dims.iter().map(|&d| word(d)).collect::<Result<Vec<u32>>>();
    let begin: Vec<u32> = g.begin.iter().map(|&b| signed(b)).collect::<Result<_>>()?;
    let (mode, bits) = match g.mode {
        PadMode::Constant(bits) => (0, bits),
        PadMode::Reflect => (1, 0),
        PadMode::Edge => (2, 0),
        PadMode::Wrap => (3, 0),
    };
    let mut params = Vec::new();
    params.extend(table(&words(&out)?, 1)?);
    params.extend(table(&words(&g.shape)?, 1)?);
    params.extend(table(&begin, 0)?);
    params.extend([word(len)?, word(out.len())?, mode, bits]);
    Ok(Launch {
        label: "pad",
        key: "pad".to_owned(),
        wgsl: render(include_str!("strided_copy/pad.wgsl"), &[]),
        params,
        workgroups: cover(len)?,
        turns: 0,
        bindings: 2,
        flops: 0,
    })
}

impl Pad {
    /// Shape of the output.
    pub fn output(&self) -> Result<Vec<usize>> {
        self.shape
            .iter()
            .zip(self.begin.iter().zip(&self.end))
            .map(|(&dim, (&begin, &end))| {
                i64::try_from(dim)
                    .ok()
                    .and_then(|d| d.checked_add(begin)?.checked_add(end))
                    .and_then(|d| usize::try_from(d).ok())
                    .ok_or_else(|| mismatch(format!("{self:?}: crops more than there is")))
            })
            .collect()
    }
}

/// ONNX `Trilu`: keeps one triangle of the last two axes, zeroes the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trilu {
    /// Product of the leading axes.
    pub batch: usize,
    /// Second last axis.
    pub rows: usize,
    /// Last axis.
    pub cols: usize,
    /// Diagonal offset.
    pub k: i64,
    /// Keep the upper triangle.
    pub upper: bool,
}

/// One input (any 32-bit element), one output of the same shape.
pub fn trilu(geometry: &Trilu) -> Result<Launch> {
    let g = geometry;
    let len = elements(&[g.batch, g.rows, g.cols])?;
    let k = g.k.clamp(-(1 << 30), 1 << 30);
    Ok(Launch {
        label: "trilu",
        key: "trilu".to_owned(),
        wgsl: render(include_str!("strided_copy/trilu.wgsl"), &[]),
        params: pad16(vec![
            word(len)?,
            word(g.rows)?,
            word(g.cols)?,
            signed(k)?,
            u32::from(g.upper),
        ]),
        workgroups: cover(len)?,
        turns: 0,
        bindings: 2,
        flops: 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn transpose(rows: usize, cols: usize, inner: usize) -> Launch {
        let (r, c, i) = (rows as i64, cols as i64, inner as i64);
        strided_copy(&StridedCopy {
            shape: vec![cols, rows, inner],
            in_offset: 0,
            in_strides: vec![i, c * i, 1],
            out_offset: 0,
            out_strides: vec![r * i, i, 1],
        })
        .unwrap()
    }

    #[test]
    fn aligned_runs_move_as_vec4() {
        let runs = transpose(3, 5, 8);
        assert_eq!(runs.key, "strided_copy-both");
        assert_eq!(runs.params[24], 3 * 5 * 2);
        assert_eq!(transpose(4, 5, 1).key, "strided_copy-output");
        assert_eq!(transpose(3, 5, 6).key, "strided_copy-none");
    }

    #[test]
    fn cropping_too_much_is_an_error() {
        let crop = Pad {
            shape: vec![2],
            begin: vec![-3],
            end: vec![0],
            mode: PadMode::Edge,
        };
        assert_eq!(pad(&crop).unwrap_err().kind(), ErrorKind::ShapeMismatch);
    }
}
