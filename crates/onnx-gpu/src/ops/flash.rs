//! The attention that fusion finds: one kernel, or its parts where shapes say otherwise.

use super::Lower;
use super::elementwise::{binary, unary};
use super::matmul::product;
use super::softmax::normalised;
use crate::error::{Result, mismatch};
use crate::graph::Pass;
use crate::kernels::attention::{Attention, MAX_DEPTH, attention as kernel};
use crate::kernels::elementwise::{BinaryOp, UnaryOp, select};
use crate::kernels::matmul::Strides;
use crate::kernels::row_major;
use crate::lower::{Cx, Layout, Run, Value, axis, broadcast, refine};
use crate::tensor::Tensor;

pub(super) fn find_fused(op: &str) -> Option<Lower> {
    (op == "Attention").then_some(attention as Lower)
}

/// Inputs Q `[.., m, d]`, K `[.., d, n]`, V `[.., n, e]` and a mask that is added to the scores.
fn attention(cx: &mut Cx<'_>) -> Result<()> {
    let (q, k, v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let mask = cx.optional(3);
    let scale = cx.attributes.float("scale", 1.0)?;
    let guarded = cx.attributes.flag("guarded", false)?;
    let along = cx.attributes.int("axis", -1)?;
    let out = match Operands::of(&q, &k, &v, mask.as_ref(), along)? {
        Some(operands) => {
            let [_, n] = operands.keys;
            let geometry = match operands.place(cx, true) {
                Some(placed) => Some((placed, true)),
                None => operands.place(cx, false).map(|placed| (placed, false)),
            };
            match geometry {
                Some(((batch, strides), viewed)) if n > 0 => {
                    operands.launch(cx, batch, &strides, viewed, scale, guarded)?
                }
                _ => parts(cx, &q, &k, &v, mask.as_ref(), scale, guarded, along)?,
            }
        }
        None => parts(cx, &q, &k, &v, mask.as_ref(), scale, guarded, along)?,
    };
    cx.set(0, out);
    Ok(())
}

/// Operands whose shapes suit the kernel.
struct Operands<'a> {
    values: Vec<&'a Value>,
    batch: Vec<usize>,
    /// m and d.
    queries: [usize; 2],
    /// d and n.
    keys: [usize; 2],
    e: usize,
}

impl<'a> Operands<'a> {
    fn of(
        q: &'a Value,
        k: &'a Value,
        v: &'a Value,
        mask: Option<&'a Value>,
        along: i64,
    ) -> Result<Option<Self>> {
        let (&[ref qb @ .., m, d], &[ref kb @ .., kd, n], &[ref vb @ .., vn, e]) =
            (q.shape(), k.shape(), v.shape())
        else {
            return Ok(None);
        };
        if d != kd || n != vn {
            return Err(mismatch(format!(
                "{:?}, {:?} and {:?} do not fit",
                q.shape(),
                k.shape(),
                v.shape()
            )));
        }
        let scored = broadcast(qb, kb)?;
        let batch = broadcast(&scored, vb)?;
        let scores = [&scored[..], &[m, n]].concat();
        let masked = mask.map_or(Ok(scores.clone()), |mask| broadcast(&scores, mask.shape()))?;
        let last = axis(along, masked.len())? + 1 == masked.len();
        let floats = [q, k, v].into_iter().chain(mask);
        let fits = last
            && masked == scores
            && [m, n, d, e].iter().all(|&size| size > 0)
            && d.max(e) <= MAX_DEPTH
            && floats.clone().all(|value| value.dtype() == q.dtype())
            && q.dtype().is_float();
        Ok(fits.then(|| Self {
            values: floats.collect(),
            batch,
            queries: [m, d],
            keys: [d, n],
            e,
        }))
    }

    /// The batch cut into runs that all operands step through evenly, and their steps.
    fn place(&self, cx: &Cx<'_>, viewed: bool) -> Option<(Vec<usize>, Vec<Strides>)> {
        let mut batches = Vec::new();
        let mut places = Vec::new();
        for (index, value) in self.values.iter().enumerate() {
            let layout = if viewed {
                cx.layout(value)
            } else {
                Layout::dense(value.shape())
            };
            let matrix = if index == 3 {
                [self.queries[0], self.keys[1]]
            } else {
                let shape = value.shape();
                [shape[shape.len() - 2], shape[shape.len() - 1]]
            };
            let (batch, steps) = runs(&layout, value.shape(), &self.batch, matrix)?;
            batches.push(batch);
            places.push((usize::try_from(layout.offset).ok()?, steps));
        }
        let (counts, lists) = refine(&batches)?;
        if counts.len() > crate::kernels::MAX_RANK {
            return None;
        }
        let strides = lists
            .into_iter()
            .zip(places)
            .map(|(list, (offset, steps))| {
                let batch = list.into_iter().map(usize::try_from);
                Some(Strides {
                    offset,
                    batch: batch.collect::<std::result::Result<_, _>>().ok()?,
                    row: usize::try_from(steps[0]).ok()?,
                    col: usize::try_from(steps[1]).ok()?,
                })
            });
        let strides = strides.collect::<Option<_>>()?;
        Some((counts, strides))
    }

    fn launch(
        &self,
        cx: &mut Cx<'_>,
        batch: Vec<usize>,
        strides: &[Strides],
        viewed: bool,
        scale: f32,
        guarded: bool,
    ) -> Result<Value> {
        let ([m, d], [_, n], e) = (self.queries, self.keys, self.e);
        // Heads next to each other within a row, as the next product wants them.
        let merged = cx.has(Pass::Views) && !batch.is_empty();
        let heads = if merged {
            batch.last().copied().unwrap_or(1)
        } else {
            1
        };
        let row = heads * e;
        let mut outer = row_major(&batch);
        for step in &mut outer {
            *step = if merged {
                *step / heads as i64 * (m * row) as i64
            } else {
                *step * (m * row) as i64
            };
        }
        if merged && let Some(last) = outer.last_mut() {
            *last = e as i64;
        }
        let out = Strides {
            offset: 0,
            batch: outer.iter().map(|&step| step as usize).collect(),
            row,
            col: 1,
        };
        let geometry = Attention {
            m,
            n,
            d,
            e,
            scale,
            guarded,
            q: strides[0].clone(),
            k: strides[1].clone(),
            v: strides[2].clone(),
            mask: strides.get(3).cloned(),
            out,
            batch: batch.clone(),
        };
        let bound: Vec<Value> = self
            .values
            .iter()
            .map(|value| {
                if viewed {
                    cx.base(value)
                } else {
                    (*value).clone()
                }
            })
            .collect();
        let bound: Vec<&Value> = bound.iter().collect();
        let shape = [&self.batch[..], &[m, e]].concat();
        let output = cx.allocate(&shape, self.values[0].dtype())?;
        cx.push(kernel(&geometry, cx.class())?, &bound, &output)?;
        let dims = [&batch[..], &[m, e]].concat();
        let steps = [&outer[..], &[row as i64, 1]].concat();
        Ok(cx.arranged(output, Layout::new(0, &dims, &steps)))
    }
}

/// The runs of the batch, broadcast to `batch`, and the steps to the next row and column of `matrix`.
fn runs(
    layout: &Layout,
    shape: &[usize],
    batch: &[usize],
    matrix: [usize; 2],
) -> Option<(Vec<Run>, [i64; 2])> {
    let axes = layout.split(shape)?;
    let wanted = [batch, &matrix].concat();
    let lead = wanted.len().checked_sub(shape.len())?;
    let spread = |axis: usize| -> Vec<Run> {
        match axis.checked_sub(lead) {
            Some(own) if shape[own] == wanted[axis] => axes[own].clone(),
            _ => vec![(wanted[axis], 0)],
        }
    };
    let step = |axis: usize| match spread(axis).as_slice() {
        [] => Some(0),
        [(_, step)] => Some(*step),
        _ => None,
    };
    let steps = [step(batch.len())?, step(batch.len() + 1)?];
    Some(((0..batch.len()).flat_map(spread).collect(), steps))
}

/// The operators that were fused, one by one.
#[allow(
    clippy::too_many_arguments,
    reason = "the operands of attention and its three settings"
)]
fn parts(
    cx: &mut Cx<'_>,
    q: &Value,
    k: &Value,
    v: &Value,
    mask: Option<&Value>,
    scale: f32,
    guarded: bool,
    along: i64,
) -> Result<Value> {
    let mut scores = product(cx, q, k, false, scale)?;
    if let Some(mask) = mask {
        scores = binary(cx, BinaryOp::Add, &scores, mask)?;
    }
    let at = axis(along, scores.rank())?;
    let mut weights = normalised(cx, &scores, at, false)?;
    if guarded {
        let missing = unary(cx, UnaryOp::IsNan, &weights)?;
        let zero = Value::Const(Tensor::f32([], vec![0.0])?.cast(weights.dtype()));
        let shape = weights.shape().to_vec();
        weights = cx.launch(
            || select(&shape, &[], &shape, &shape),
            &[&missing, &zero, &weights],
            &shape,
            weights.dtype(),
        )?;
    }
    product(cx, &weights, v, false, 1.0)
}
