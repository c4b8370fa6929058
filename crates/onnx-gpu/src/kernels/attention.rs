//! Scaled dot-product attention in one dispatch: softmax online over blocks of keys, so that scores are never stored
//! (Dao et al., FlashAttention, arXiv:2205.14135).
//!
//! Two shaders: `direct.wgsl` without barriers for software adapters, `tiled.wgsl` with keys and values in workgroup memory.

use super::matmul::Strides;
use super::{AdapterClass, Launch, coalesce, elements, groups_in, render, signed, table, word};
use crate::{Error, ErrorKind, Result};

/// Largest head size: one invocation keeps a query and its sums. Drivers take minutes to compile arrays of several hundred.
pub const MAX_DEPTH: usize = 160;

/// The array that holds `depth` elements: few different sizes, so that models share pipelines.
fn capacity(depth: usize) -> usize {
    match depth {
        0..=8 => 8,
        9..=16 => 16,
        _ => depth.next_multiple_of(32),
    }
}

/// `out = softmax(softcap(scale · Q·K) + mask) · V` per matrix of the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Axes before the matrices.
    pub batch: Vec<usize>,
    /// Queries.
    pub m: usize,
    /// Keys and values.
    pub n: usize,
    /// Length of a query and a key.
    pub d: usize,
    /// Length of a value.
    pub e: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// `c · tanh(x / c)` on the scaled scores; 0 for none.
    pub softcap: f32,
    /// A row without any finite score gives 0 instead of NaN.
    pub guarded: bool,
    /// Q as `[m, d]`.
    pub q: Strides,
    /// K as `[d, n]`.
    pub k: Strides,
    /// V as `[n, e]`.
    pub v: Strides,
    /// A fourth input as `[m, n]`, added to the scores.
    pub mask: Option<Strides>,
    /// The output as `[m, e]`.
    pub out: Strides,
}

/// Inputs Q, K, V and, where announced, the mask. All `f32`.
pub fn attention(geometry: &Attention, class: AdapterClass) -> Result<Launch> {
    let g = geometry;
    let depth = capacity(g.d.max(g.e));
    if depth > MAX_DEPTH || [g.m, g.n, g.d, g.e].contains(&0) {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            format!(
                "attention of {} queries to {} keys of {} and values of {}",
                g.m, g.n, g.d, g.e
            ),
        ));
    }
    let batches = elements(&g.batch)?;
    let z = groups_in("z (matrices)", batches)?;
    let variant = match class {
        AdapterClass::Software => format!("direct{}", capacity(g.e)),
        AdapterClass::Hardware => format!("tiled{depth}"),
    };
    Ok(Launch {
        label: "attention",
        key: format!(
            "attention-{variant}{}{}{}",
            if g.softcap == 0.0 { "" } else { "-capped" },
            if g.mask.is_some() { "-mask" } else { "" },
            if g.guarded { "-guarded" } else { "" },
        ),
        wgsl: shader(g, class, depth),
        params: params(g)?,
        workgroups: [groups_in("x (queries)", g.m.div_ceil(64))?, 1, z],
        turns: match class {
            AdapterClass::Software => g.n.div_ceil(KEYS).saturating_mul(g.d + g.e + 3),
            AdapterClass::Hardware => 0,
        },
        bindings: 4 + usize::from(g.mask.is_some()),
        flops: 2 * [batches, g.m, g.n, g.d + g.e]
            .map(|size| size as u64)
            .iter()
            .product::<u64>(),
    })
}

fn params(g: &Attention) -> Result<Vec<u32>> {
    let none = Strides {
        batch: vec![0; g.batch.len()],
        ..Strides::default()
    };
    let mask = g.mask.as_ref().unwrap_or(&none);
    let operands = [&g.q, &g.k, &g.v, mask, &g.out];
    let mut lists = Vec::with_capacity(operands.len());
    for operand in operands {
        if operand.batch.len() != g.batch.len() {
            return Err(Error::new(
                ErrorKind::ShapeMismatch,
                format!("{operand:?} for the batch {:?}", g.batch),
            ));
        }
        let list: Result<Vec<i64>> = operand
            .batch
            .iter()
            .map(|&s| Ok(i64::from(word(s)?)))
            .collect();
        lists.push(list?);
    }
    let (dims, lists) = coalesce(&g.batch, &lists);
    let words: Vec<u32> = dims.iter().map(|&d| word(d)).collect::<Result<_>>()?;
    let mut params = table(&words, 1)?.to_vec();
    for list in &lists {
        let words: Vec<u32> = list.iter().map(|&s| signed(s)).collect::<Result<_>>()?;
        params.extend(table(&words, 0)?);
    }
    for operand in operands {
        for size in [operand.offset, operand.row, operand.col, 0] {
            params.push(word(size)?);
        }
    }
    for size in [g.m, g.n, g.d, g.e] {
        params.push(word(size)?);
    }
    params.extend([g.scale.to_bits(), word(dims.len())?, g.softcap.to_bits(), 0]);
    Ok(params)
}

/// Keys that one invocation of the direct shader scores at a time.
const KEYS: usize = 8;

fn shader(g: &Attention, class: AdapterClass, depth: usize) -> std::borrow::Cow<'static, str> {
    let with_mask = g.mask.is_some();
    let common = render(
        include_str!("attention/common.wgsl"),
        &[
            (
                "mask",
                if with_mask {
                    "@group(0) @binding(4) var<storage, read> in_mask: array<f32>;\n"
                } else {
                    ""
                },
            ),
            ("out", if with_mask { "5" } else { "4" }),
        ],
    );
    let quotient = if g.guarded {
        "select(sum / total, sum * 0.0, total == total * 0.0)"
    } else {
        "sum / total"
    };
    // `tanh` overflows on some drivers.
    let capped = |score: &str, low: &str, high: &str| {
        if g.softcap == 0.0 {
            score.to_owned()
        } else {
            format!("params.softcap * tanh(clamp({score} / params.softcap, {low}, {high}))")
        }
    };
    if class == AdapterClass::Hardware {
        let keys = (2048 / depth).min(32);
        return render(
            include_str!("attention/tiled.wgsl"),
            &[
                ("common", &common),
                ("depth", &depth.to_string()),
                ("keys", &keys.to_string()),
                ("tile", &(keys * depth).to_string()),
                ("score", &capped("dot", "-15.0", "15.0")),
                (
                    "mask",
                    if with_mask {
                        " + in_mask[start[3] + row * params.place[3].y + (j + key) * params.place[3].z]"
                    } else {
                        ""
                    },
                ),
                ("quotient", quotient),
            ],
        );
    }
    let [mut places, mut scores, mut finish, mut weights, mut sum] = [const { String::new() }; 5];
    let mut top = "best".to_owned();
    let mut total = "total * shrink".to_owned();
    for key in 0..KEYS {
        places += &format!(
            "        let key{key} = min(j + {key}u, last);\n        let k{key} = start[1] + key{key} * params.place[1].z;\n        let v{key} = start[2] + key{key} * params.place[2].y;\n        var s{key} = vec4<f32>(0.0);\n"
        );
        scores += &format!("            s{key} += q * in_k[k{key} + k_at];\n");
        let mask = if with_mask {
            let load =
                |part: &str| format!("in_mask[mask_at.{part} + key{key} * params.place[3].z]");
            format!(
                " + vec4<f32>({}, {}, {}, {})",
                load("x"),
                load("y"),
                load("z"),
                load("w")
            )
        } else {
            String::new()
        };
        finish += &format!(
            "        s{key} = select(vec4<f32>(LOWEST), {}{mask}, j + {key}u < params.n);\n",
            capped(
                &format!("s{key} * params.scale"),
                "vec4<f32>(-15.0)",
                "vec4<f32>(15.0)"
            )
        );
        top = format!("max({top}, s{key})");
        weights += &format!(
            "        let p{key} = select(vec4<f32>(0.0), exp(s{key} - top), j + {key}u < params.n);\n"
        );
        total += &format!(" + p{key}");
        sum += &format!(" + p{key} * in_v[v{key} + v_at]");
    }
    render(
        include_str!("attention/direct.wgsl"),
        &[
            ("common", &common),
            ("size", &capacity(g.e).to_string()),
            ("keys", &KEYS.to_string()),
            ("places", &places),
            ("scores", &scores),
            ("finish", &finish),
            ("top", &top),
            ("weights", &weights),
            ("total", &total),
            ("sum", &sum),
            ("quotient", quotient),
        ],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn heads(depth: usize) -> Attention {
        let strides = |row, col| Strides {
            offset: 0,
            batch: vec![depth],
            row,
            col,
        };
        Attention {
            batch: vec![4],
            m: 10,
            n: 7,
            d: depth,
            e: depth,
            scale: 0.5,
            softcap: 0.0,
            guarded: false,
            q: strides(4 * depth, 1),
            k: strides(1, 4 * depth),
            v: strides(4 * depth, 1),
            mask: None,
            out: strides(4 * depth, 1),
        }
    }

    #[test]
    fn operations_are_counted() {
        let launch = attention(&heads(40), AdapterClass::Hardware).unwrap();
        assert_eq!(launch.flops, 2 * 4 * 10 * 7 * 80);
        assert_eq!(launch.bindings, 4);
    }

    #[test]
    fn heads_too_long_to_keep_are_refused() {
        let error = attention(&heads(161), AdapterClass::Software).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
    }
}
