//! Batched matrix product with bias and activation.
//!
//! Two shaders: `direct.wgsl` without barriers for software adapters, `tiled.wgsl` through workgroup memory for GPUs.

use super::{
    Activation, AdapterClass, Format, Launch, broadcast_strides, coalesce, elements, groups_in,
    render, signed, table, word,
};
use crate::Result;

/// Where the bias of output element `(batch, row, col)` lies: `batch·s0 + row·s1 + col·s2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bias {
    /// Elements per output matrix, 0 if every matrix shares the bias.
    pub batch_stride: usize,
    /// Elements per row, 0 if every row shares the bias.
    pub row_stride: usize,
    /// 1, or 0 if every column shares the bias.
    pub col_stride: usize,
}

/// `out = activation(alpha · A·B + beta · bias)` over row-major matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMul {
    /// Rows of the product.
    pub m: usize,
    /// Columns of the product.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// A is stored as `[k, m]`.
    pub trans_a: bool,
    /// B is stored as `[n, k]`.
    pub trans_b: bool,
    /// Leading axes of the output.
    pub batch: Vec<usize>,
    /// Leading axes of A, broadcast to `batch`.
    pub a_batch: Vec<usize>,
    /// Leading axes of B, broadcast to `batch`.
    pub b_batch: Vec<usize>,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the bias.
    pub beta: f32,
    /// A third input added to the product.
    pub bias: Option<Bias>,
    /// Applied last.
    pub activation: Activation,
    /// How A is stored.
    pub a_format: Format,
    /// How B is stored.
    pub b_format: Format,
    /// Elements from one column of a transposed B to the next, at least `k`; `None` for `k`.
    pub b_pitch: Option<usize>,
}

impl MatMul {
    /// A plain `[m, k] × [k, n]` product.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Self {
            m,
            n,
            k,
            trans_a: false,
            trans_b: false,
            batch: Vec::new(),
            a_batch: Vec::new(),
            b_batch: Vec::new(),
            alpha: 1.0,
            beta: 1.0,
            bias: None,
            activation: Activation::None,
            a_format: Format::F32,
            b_format: Format::F32,
            b_pitch: None,
        }
    }
}

/// Which binding holds what: a 1×1 convolution lists B (the image) before A (the weights).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ab,
    Ba,
}

/// Inputs A, B and, with [`MatMul::bias`], the bias; the output is `[batch.., m, n]`. All `f32`.
///
/// Software adapters run fastest with `trans_b` unset: neighbouring invocations then read neighbouring elements.
pub fn matmul(geometry: &MatMul, class: AdapterClass) -> Result<Launch> {
    plan(geometry, class, Order::Ab)
}

pub(super) fn plan(geometry: &MatMul, class: AdapterClass, order: Order) -> Result<Launch> {
    let g = geometry;
    let batches = elements(&g.batch)?;
    elements(&[batches, g.m, g.n])?;
    let z = groups_in("z (matrices)", batches)?;
    let tile = Tile::of(g, class);
    let x = groups_in("x (columns)", g.n.div_ceil(tile.cols))?;
    let y = groups_in("y (rows)", g.m.div_ceil(tile.rows))?;
    Ok(Launch {
        label: "matmul",
        key: format!(
            "matmul-{}{}x{}-{}{}{}-{}-{}",
            if tile.direct { "direct" } else { "tiled" },
            tile.rows,
            tile.cols,
            if order == Order::Ab { "ab" } else { "ba" },
            g.a_format.key(),
            g.b_format.key(),
            if g.bias.is_some() { "bias" } else { "plain" },
            g.activation.key()
        ),
        wgsl: shader(g, order, tile),
        params: params(g)?,
        workgroups: [x, y, z],
    })
}

/// Rows of sums that one invocation of the direct shader keeps.
pub(super) fn rows_per_invocation(rows: usize) -> usize {
    match rows {
        0..=1 => 1,
        2..=8 => 4,
        _ => 16,
    }
}

/// The part of an output matrix that one workgroup computes.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    cols: usize,
    /// Without workgroup memory.
    direct: bool,
}

impl Tile {
    /// A 64-row tile would waste nearly all of its work on a few rows.
    fn of(g: &MatMul, class: AdapterClass) -> Self {
        if class == AdapterClass::Hardware && g.m > 8 {
            return Self {
                rows: 64,
                cols: 64,
                direct: false,
            };
        }
        let rows = rows_per_invocation(g.m);
        let wide = class == AdapterClass::Software && g.n > 64 && rows > 1;
        Self {
            rows,
            cols: if wide { 128 } else { 64 },
            direct: true,
        }
    }
}

fn params(g: &MatMul) -> Result<Vec<u32>> {
    let strides = |batch: &[usize], matrix: usize| -> Result<Vec<i64>> {
        elements(&[elements(batch)?, matrix])?;
        let matrix = i64::from(word(matrix)?);
        Ok(broadcast_strides(batch, &g.batch)?
            .into_iter()
            .map(|s| s * matrix)
            .collect())
    };
    let a = strides(&g.a_batch, elements(&[g.m, g.k])?)?;
    let b = strides(&g.b_batch, elements(&[g.k, g.n])?)?;
    let (dims, strides) = coalesce(&g.batch, &[a, b]);
    let dims: Vec<u32> = dims.iter().map(|&d| word(d)).collect::<Result<_>>()?;
    let mut params = Vec::new();
    params.extend(table(&dims, 1)?);
    for list in &strides {
        let words: Vec<u32> = list.iter().map(|&s| signed(s)).collect::<Result<_>>()?;
        params.extend(table(&words, 0)?);
    }
    let bias = g.bias.unwrap_or(Bias {
        batch_stride: 0,
        row_stride: 0,
        col_stride: 0,
    });
    for size in [bias.batch_stride, bias.row_stride, bias.col_stride, 0] {
        params.push(word(size)?);
    }
    params.extend(g.activation.words());
    params.extend([g.alpha.to_bits(), g.beta.to_bits()]);
    let steps = |rows: usize, cols: usize, transposed: bool| {
        if transposed { (1, rows) } else { (cols, 1) }
    };
    let (a_row, a_k) = steps(g.m, g.k, g.trans_a);
    let (b_k, b_col) = steps(g.b_pitch.unwrap_or(g.k), g.n, g.trans_b);
    elements(&[b_col, g.n])?;
    for size in [g.m, g.n, g.k, dims.len(), a_row, a_k, b_k, b_col] {
        params.push(word(size)?);
    }
    Ok(params)
}

const BIAS: &str =
    "    let at = batch * params.bias.x + row * params.bias.y + cols * params.bias.z;
    value += params.beta * vec4<f32>(in_bias[at.x], in_bias[at.y], in_bias[at.z], in_bias[at.w]);
";

fn shader(g: &MatMul, order: Order, tile: Tile) -> std::borrow::Cow<'static, str> {
    let with_bias = g.bias.is_some();
    let (a, b) = if order == Order::Ab { (1, 2) } else { (2, 1) };
    let [declare, multiply, store] = unrolled(tile);
    let template = if tile.direct {
        include_str!("matmul/direct.wgsl")
    } else {
        include_str!("matmul/tiled.wgsl")
    };
    render(
        template,
        &[
            ("a", &g.a_format.wgsl("a", a)),
            ("b", &g.b_format.wgsl("b", b)),
            ("out", if with_bias { "4" } else { "3" }),
            (
                "bias_binding",
                if with_bias {
                    "@group(0) @binding(3) var<storage, read> in_bias: array<f32>;\n"
                } else {
                    ""
                },
            ),
            ("bias", if with_bias { BIAS } else { "" }),
            ("batch", include_str!("matmul/batch.wgsl")),
            ("activation", &g.activation.wgsl()),
            ("row_count", &tile.rows.to_string()),
            ("col_count", &(tile.cols / 16).to_string()),
            ("width", &tile.cols.to_string()),
            ("declare", &declare),
            ("multiply", &multiply),
            ("store", &store),
        ],
    )
}

/// The sums of the direct shader, their updates and their stores; a wide tile has a second `vec4` per row.
fn unrolled(tile: Tile) -> [String; 3] {
    let wide = tile.cols > 64;
    let [mut declare, mut multiply, mut store] = [const { String::new() }; 3];
    if wide {
        declare += "    let far_cols = cols + 64u;\n    let far_offset = 64u * params.b_col;\n";
        multiply += "        let far_at = b_at + far_offset;\n        let far = load4_b(far_at);\n";
    }
    for row in 0..tile.rows {
        declare += &format!(
            "    var acc{row} = vec4<f32>(0.0);\n    let line{row} = start.x + min(row0 + {row}u, last) * params.a_row;\n"
        );
        multiply += &format!(
            "        let a{row} = load_a(line{row} + a_at);\n        acc{row} += a{row} * b;\n"
        );
        store += &format!("    store(wid.z, row0 + {row}u, cols, acc{row});\n");
        if wide {
            declare += &format!("    var far{row} = vec4<f32>(0.0);\n");
            multiply += &format!("        far{row} += a{row} * far;\n");
            store += &format!("    store(wid.z, row0 + {row}u, far_cols, far{row});\n");
        }
    }
    [declare, multiply, store]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn one_pipeline_serves_every_shape() {
        let small = matmul(&MatMul::new(9, 65, 7), AdapterClass::Software).unwrap();
        let mut geometry = MatMul::new(128, 1000, 64);
        geometry.trans_b = true;
        geometry.batch = vec![2, 3];
        geometry.a_batch = vec![2, 3];
        geometry.b_batch = vec![3];
        let large = matmul(&geometry, AdapterClass::Software).unwrap();
        assert_eq!(small.key, large.key);
        assert_eq!(small.wgsl, large.wgsl);
        assert_eq!(large.workgroups, [8, 8, 6]);
    }

    #[test]
    fn batches_that_do_not_broadcast_are_refused() {
        let mut geometry = MatMul::new(2, 2, 2);
        geometry.batch = vec![3];
        geometry.a_batch = vec![2];
        geometry.b_batch = vec![3];
        let error = matmul(&geometry, AdapterClass::Hardware).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShapeMismatch);
    }
}
