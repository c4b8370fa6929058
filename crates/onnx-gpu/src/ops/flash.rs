//! Attention in one dispatch where shapes suit the kernel, for the operators and for what fusion finds; else in its parts.

use super::elementwise::{binary, unary};
use super::matmul::product;
use super::movement::{join, part};
use super::softmax::normalised;
use crate::context::{Cx, Lower};
use crate::error::{Result, mismatch};
use crate::graph::Pass;
use crate::kernels::attention::{Attention, MAX_DEPTH, attention as kernel};
use crate::kernels::elementwise::{BinaryOp, UnaryOp, select};
use crate::kernels::matmul::Strides;
use crate::kernels::row_major;
use crate::program::{Layout, Run, Value, refine};
use crate::tensor::{Tensor, elements};
use crate::tensor::{axis, broadcast};

pub(super) fn find_fused(op: &str) -> Option<Lower> {
    (op == "Attention").then_some(attention as Lower)
}

/// `softmax(softcap(scale · Q·K) + mask) · V`.
pub(super) struct Call<'a> {
    /// `[.., m, d]`.
    pub q: &'a Value,
    /// `[.., d, n]`, or `[.., n, d]` if `keys_in_rows`.
    pub k: &'a Value,
    /// `[.., n, e]`.
    pub v: &'a Value,
    /// Added to the scores; broadcasts to `[.., m, n]`.
    pub mask: Option<&'a Value>,
    pub keys_in_rows: bool,
    pub scale: f32,
    /// `c · tanh(x / c)`; 0 for none.
    pub softcap: f32,
    /// A row without any finite score gives 0 instead of NaN.
    pub guarded: bool,
}

impl Call<'_> {
    /// One dispatch; none where shapes do not suit the kernel, or the keys are more than one invocation goes over.
    pub fn flash(&self, cx: &mut Cx<'_>) -> Result<Option<Value>> {
        let Some(operands) = Operands::of(self)? else {
            return Ok(None);
        };
        for viewed in [true, false] {
            if let Some((batch, strides)) = operands.place(cx, viewed) {
                return operands.launch(cx, self, batch, &strides, viewed);
            }
        }
        Ok(None)
    }
}

/// What fusion makes: inputs Q, K as the product takes it, V and a mask that is added to the scores.
fn attention(cx: &mut Cx<'_>) -> Result<()> {
    let (q, k, v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let mask = cx.optional(3);
    let along = cx.attributes.int("axis", -1)?;
    let call = Call {
        q: &q,
        k: &k,
        v: &v,
        mask: mask.as_ref(),
        keys_in_rows: false,
        scale: cx.attributes.float("scale", 1.0)?,
        softcap: 0.0,
        guarded: cx.attributes.flag("guarded", false)?,
    };
    let rank = q
        .rank()
        .max(k.rank())
        .max(mask.as_ref().map_or(0, Value::rank));
    let out = if axis(along, rank)? + 1 == rank {
        match call.flash(cx)? {
            Some(out) => out,
            None => {
                let lead = broadcast(lead(&q), lead(&k))?;
                let keys = k.shape().last().copied().unwrap_or(0);
                let size = [elements(&lead)?, keys];
                in_blocks(cx, &q, mask.as_ref(), size, |cx, q, mask| {
                    parts(cx, &Call { q, mask, ..call }, along)
                })?
            }
        }
    } else {
        parts(cx, &call, along)?
    };
    cx.set(0, out);
    Ok(())
}

/// Attention for some queries after the other where the scores of all would not fit into one buffer: `attend` computes it for
/// queries `[.., rows, d]` and the part of the mask that belongs to them. `keys` is their number, `lead` that of the matrices.
pub(super) fn in_blocks(
    cx: &mut Cx<'_>,
    q: &Value,
    mask: Option<&Value>,
    [lead, keys]: [usize; 2],
    mut attend: impl FnMut(&mut Cx<'_>, &Value, Option<&Value>) -> Result<Value>,
) -> Result<Value> {
    let Some(along) = q.rank().checked_sub(2) else {
        return attend(cx, q, mask);
    };
    let queries = q.shape()[along];
    let row = elements(&[lead, keys])?.max(1) as u64 * 4;
    let rows = usize::try_from(cx.max_binding() / row)
        .unwrap_or(usize::MAX)
        .max(1);
    if rows >= queries {
        return attend(cx, q, mask);
    }
    let mut outputs = Vec::with_capacity(queries.div_ceil(rows));
    for start in (0..queries).step_by(rows) {
        let count = rows.min(queries - start);
        let some = part(cx, q, along, start, count)?;
        let hidden = match mask {
            Some(mask) if mask.rank() >= 2 && mask.shape()[mask.rank() - 2] != 1 => {
                Some(part(cx, mask, mask.rank() - 2, start, count)?)
            }
            other => other.cloned(),
        };
        outputs.push(attend(cx, &some, hidden.as_ref())?);
    }
    let along = outputs[0].rank() - 2;
    join(cx, &outputs, along)
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
    keys_in_rows: bool,
}

impl<'a> Operands<'a> {
    fn of(call: &Call<'a>) -> Result<Option<Self>> {
        let Call { q, k, v, mask, .. } = *call;
        let (&[ref qb @ .., m, d], &[ref kb @ .., k0, k1], &[ref vb @ .., vn, e]) =
            (q.shape(), k.shape(), v.shape())
        else {
            return Ok(None);
        };
        let (kd, n) = if call.keys_in_rows {
            (k1, k0)
        } else {
            (k0, k1)
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
        let floats = [q, k, v].into_iter().chain(mask);
        let fits = masked == scores
            && [m, n, d, e].iter().chain(&batch).all(|&size| size > 0)
            && d.max(e) <= MAX_DEPTH
            && floats.clone().all(|value| value.dtype() == q.dtype())
            && q.dtype().is_float();
        Ok(fits.then(|| Self {
            values: floats.collect(),
            batch,
            queries: [m, d],
            keys: [d, n],
            e,
            keys_in_rows: call.keys_in_rows,
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
            let steps = match index {
                1 if self.keys_in_rows => [steps[1], steps[0]],
                _ => steps,
            };
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
        call: &Call<'_>,
        batch: Vec<usize>,
        strides: &[Strides],
        viewed: bool,
    ) -> Result<Option<Value>> {
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
            scale: call.scale,
            softcap: call.softcap,
            guarded: call.guarded,
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
        let launch = kernel(&geometry, cx.class())?;
        if cx.is_too_long(&launch) {
            return Ok(None);
        }
        let output = cx.allocate(&shape, self.values[0].dtype())?;
        cx.push(launch, &bound, &output)?;
        let dims = [&batch[..], &[m, e]].concat();
        let steps = [&outer[..], &[row as i64, 1]].concat();
        Ok(Some(cx.arranged(output, Layout::new(0, &dims, &steps))))
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

/// The axes before a matrix.
fn lead(value: &Value) -> &[usize] {
    let shape = value.shape();
    &shape[..shape.len().saturating_sub(2)]
}

/// The operators that were fused, one by one.
fn parts(cx: &mut Cx<'_>, call: &Call<'_>, along: i64) -> Result<Value> {
    let mut scores = product(cx, call.q, call.k, false, call.scale)?;
    if let Some(mask) = call.mask {
        scores = binary(cx, BinaryOp::Add, &scores, mask)?;
    }
    let at = axis(along, scores.rank())?;
    let mut weights = normalised(cx, &scores, at, false)?;
    if call.guarded {
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
    product(cx, &weights, call.v, false, 1.0)
}
