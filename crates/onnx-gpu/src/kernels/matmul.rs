//! Batched matrix product with bias and activation.
//!
//! Two shaders: `direct.wgsl` without barriers for software adapters, `tiled.wgsl` through workgroup memory for GPUs.

use super::{
    Activation, Format, Launch, Tile, Tiles, broadcast_strides, coalesce, elements, groups_in,
    pad16, render, signed, table, unravel, word,
};
use crate::{Error, ErrorKind, Result};

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

/// Steps through an operand that does not lie as `[batch.., rows, columns]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strides {
    /// First element.
    pub offset: usize,
    /// Step per axis of the output's batch.
    pub batch: Vec<usize>,
    /// Step to the next row.
    pub row: usize,
    /// Step to the next column.
    pub col: usize,
}

/// `out = activation(alpha · A·B + beta · bias + residual)` over row-major matrices.
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
    /// A last input of the output's shape.
    pub residual: bool,
    /// Applied last.
    pub activation: Activation,
    /// How A is stored; not [`Format::Scaled`]. The scales of [`Format::Channels`] are the last input.
    pub a_format: Format,
    /// How B is stored; not [`Format::Channels`]. The scales of [`Format::Scaled`] are the last input, or its zero points behind them.
    pub b_format: Format,
    /// Elements from one column of a transposed B to the next, at least `k`; `None` for `k`.
    pub b_pitch: Option<usize>,
    /// Where A lies instead of what `trans_a` and `a_batch` say.
    pub a_strides: Option<Strides>,
    /// Where B lies instead of what `trans_b` and `b_batch` say.
    pub b_strides: Option<Strides>,
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
            residual: false,
            activation: Activation::None,
            a_format: Format::F32,
            b_format: Format::F32,
            b_pitch: None,
            a_strides: None,
            b_strides: None,
        }
    }
}

/// Which binding holds what: a 1×1 convolution lists B (the image) before A (the weights).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ab,
    Ba,
}

/// Inputs A, B and, where announced, the bias and the residual; the output is `[batch.., m, n]`. All `f32`.
///
/// Software adapters run fastest with `trans_b` unset: neighbouring invocations then read neighbouring elements.
pub fn matmul(geometry: &MatMul, tiles: impl Into<Tiles>) -> Result<Launch> {
    plan(geometry, tiles.into(), Order::Ab)
}

pub(super) fn plan(geometry: &MatMul, tiles: Tiles, order: Order) -> Result<Launch> {
    let g = geometry;
    if matches!(g.b_format, Format::Scaled(..)) && !g.trans_b {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            "blocks along the rows of B are not supported",
        ));
    }
    // Rows of A share a scale, and columns of B have blocks.
    if matches!(g.a_format, Format::Scaled(..)) || g.b_format == Format::Channels {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            format!(
                "operands as {:?} and {:?} are not supported",
                g.a_format, g.b_format
            ),
        ));
    }
    let batches = elements(&g.batch)?;
    elements(&[batches, g.m, g.n])?;
    let z = groups_in("z (matrices)", batches)?;
    let tile = tiles.product(g.m, g.n, batches);
    let x = groups_in("x (columns)", g.n.div_ceil(tile.columns()))?;
    let y = groups_in("y (rows)", g.m.div_ceil(tile.rows()))?;
    Ok(Launch {
        label: "matmul",
        key: format!(
            "matmul-{tile}-{}{}{}-{}-{}",
            if order == Order::Ab { "ab" } else { "ba" },
            g.a_format.key(),
            g.b_format.key(),
            match (g.bias.is_some(), g.residual) {
                (false, false) => "plain",
                (true, false) => "bias",
                (false, true) => "residual",
                (true, true) => "bias-residual",
            },
            g.activation.key()
        ),
        wgsl: shader(g, order, tile),
        params: params(g)?,
        workgroups: [x, y, z],
        turns: tile.turns(g.k),
        bindings: 3
            + usize::from(g.bias.is_some())
            + usize::from(g.residual)
            + g.a_format.beside()
            + g.b_format.beside(),
        flops: 2 * [batches, g.m, g.n, g.k]
            .map(|size| size as u64)
            .iter()
            .product::<u64>(),
    })
}

fn params(g: &MatMul) -> Result<Vec<u32>> {
    let strides = |given: &Option<Strides>, batch: &[usize], matrix: usize| -> Result<Vec<i64>> {
        if let Some(given) = given {
            if given.batch.len() != g.batch.len() {
                return Err(Error::new(
                    ErrorKind::ShapeMismatch,
                    format!("{given:?} for the batch {:?}", g.batch),
                ));
            }
            let words = given.batch.iter().map(|&s| Ok(i64::from(word(s)?)));
            return words.collect();
        }
        elements(&[elements(batch)?, matrix])?;
        let matrix = i64::from(word(matrix)?);
        Ok(broadcast_strides(batch, &g.batch)?
            .into_iter()
            .map(|s| s * matrix)
            .collect())
    };
    let a = strides(&g.a_strides, &g.a_batch, elements(&[g.m, g.k])?)?;
    let b = strides(&g.b_strides, &g.b_batch, elements(&[g.k, g.n])?)?;
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
    let steps = |given: &Option<Strides>, rows: usize, cols: usize, transposed: bool| match given {
        Some(s) => (s.offset, s.row, s.col),
        None => {
            let (row, col) = steps(rows, cols, transposed);
            (0, row, col)
        }
    };
    let (a_start, a_row, a_k) = steps(&g.a_strides, g.m, g.k, g.trans_a);
    let (b_start, b_k, b_col) = steps(&g.b_strides, g.b_pitch.unwrap_or(g.k), g.n, g.trans_b);
    elements(&[b_col, g.n])?;
    for size in [
        g.m,
        g.n,
        g.k,
        dims.len(),
        a_row,
        a_k,
        b_k,
        b_col,
        a_start,
        b_start,
    ] {
        params.push(word(size)?);
    }
    Ok(pad16(params))
}

const BIAS: &str =
    "    let at = batch * params.bias.x + row * params.bias.y + cols * params.bias.z;
    value += params.beta * vec4<f32>(in_bias[at.x], in_bias[at.y], in_bias[at.z], in_bias[at.w]);
";

const RESIDUAL: &str = "    let beside = (batch * params.m + row) * params.n + min(cols, vec4<u32>(params.n - 1u));
    value += vec4<f32>(in_residual[beside.x], in_residual[beside.y], in_residual[beside.z], in_residual[beside.w]);
";

fn shader(g: &MatMul, order: Order, tile: Tile) -> std::borrow::Cow<'static, str> {
    let mut bindings = String::new();
    let mut epilogue = String::new();
    let mut next = 3usize;
    for (present, name, text) in [
        (g.bias.is_some(), "bias", BIAS),
        (g.residual, "residual", RESIDUAL),
    ] {
        if present {
            bindings +=
                &format!("@group(0) @binding({next}) var<storage, read> in_{name}: array<f32>;\n");
            epilogue += text;
            next += 1;
        }
    }
    let (a, b) = if order == Order::Ab { (1, 2) } else { (2, 1) };
    // Scales are the last input.
    let scales = next;
    next += g.a_format.beside() + g.b_format.beside();
    if g.a_format == Format::Channels {
        epilogue.insert_str(0, "    value *= in_a_scales[row];\n");
    }
    let [declare, multiply, store] = match tile {
        Tile::Direct { rows, columns } => unrolled(rows, columns),
        Tile::Shared { .. } => Default::default(),
    };
    let steps = unravel(
        "steps",
        "dims",
        "rank",
        &[("a_strides", 0), ("b_strides", 0)],
    );
    let template = match tile {
        Tile::Direct { .. } => include_str!("matmul/direct.wgsl"),
        Tile::Shared { .. } => include_str!("matmul/tiled.wgsl"),
    };
    let [lanes, loads, vectors] = shared_sizes(tile);
    render(
        template,
        &[
            ("a", &g.a_format.wgsl("a", a, scales)),
            ("b", &g.b_format.wgsl("b", b, scales)),
            ("out", &next.to_string()),
            ("bias_binding", &bindings),
            ("bias", &epilogue),
            ("batch", include_str!("matmul/batch.wgsl")),
            ("steps", &steps),
            ("activation", &g.activation.wgsl()),
            ("row_count", &tile.rows().to_string()),
            ("col_count", &(tile.columns() / 16).to_string()),
            ("width", &tile.columns().to_string()),
            ("lanes", &lanes),
            ("loads", &loads),
            ("vectors", &vectors),
            ("declare", &declare),
            ("multiply", &multiply),
            ("store", &store),
        ],
    )
}

/// Of the tiled shaders: invocations along a side, loads of each per 16 steps of the sum, and `vec4`s of a tile.
pub(super) fn shared_sizes(tile: Tile) -> [String; 3] {
    let lanes = tile.rows() / 4;
    [lanes, 16 / lanes.max(1), 16 * lanes].map(|size| size.to_string())
}

/// The sums of the direct shader, their updates and their stores; a wide tile has a second `vec4` per row.
fn unrolled(rows: usize, columns: usize) -> [String; 3] {
    let wide = columns > 64;
    let [mut declare, mut multiply, mut store] = [const { String::new() }; 3];
    if wide {
        declare += "    let far_cols = cols + 64u;\n    let far_offset = 64u * params.b_col;\n";
        multiply += "        let far_at = b_at + far_offset;\n        let far = load4_b(far_at);\n";
    }
    for row in 0..rows {
        declare += &format!(
            "    var acc{row} = vec4<f32>(0.0);\n    let line{row} = start.x + min(row0 + {row}u, last) * params.a_row;\n"
        );
        multiply += &format!(
            "        let a{row} = load_a(line{row} + a_at);\n        acc{row} += a{row} * b;\n"
        );
        if wide {
            declare += &format!("    var far{row} = vec4<f32>(0.0);\n");
            multiply += &format!("        far{row} += a{row} * far;\n");
        }
    }
    store += &stores(rows, "acc", "store(wid.z, row0 + i, cols, ");
    if wide {
        store += &stores(rows, "far", "store(wid.z, row0 + i, far_cols, ");
    }
    [declare, multiply, store]
}

/// Calls `{call}sum)` for the sums `{name}0`, `{name}1` and so on. The epilogue is long: in a loop it is compiled once, which
/// takes a tenth of the time.
pub(super) fn stores(count: usize, name: &str, call: &str) -> String {
    let sums: Vec<String> = (0..count).map(|i| format!("{name}{i}")).collect();
    let sums = sums.join(", ");
    format!(
        "    var {name} = array<vec4<f32>, {count}>({sums});\n    for (var i = 0u; i < {count}u; i += 1u) {{\n        {call}{name}[i]);\n    }}\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ErrorKind;
    use crate::kernels::AdapterClass;

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
        assert_eq!(large.flops, 2 * 6 * 128 * 1000 * 64);
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
