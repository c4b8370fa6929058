//! [`Einsum`](https://onnx.ai/onnx/operators/onnx__Einsum.html), operand by operand: diagonals and sums first, then one batched
//! matrix product per further operand.

use super::elementwise::binary;
use super::matmul::product;
use super::movement::{permuted, strided};
use super::reduce::reduce_value;
use crate::context::Cx;
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::kernels::elementwise::BinaryOp;
use crate::kernels::reduce::ReduceOp;
use crate::kernels::row_major;
use crate::program::Value;

/// A label; axes of the ellipsis get labels beyond the letters.
type Label = u32;

/// A value whose axes are named.
struct Named {
    value: Value,
    labels: Vec<Label>,
}

const ELLIPSIS: Label = 0x1000;

/// The labels of a term for a value of rank `rank`; the ellipsis takes what the letters leave.
fn labels(term: &str, rank: Option<usize>, widest: usize) -> Result<Vec<Label>> {
    let bad = || invalid_model(format!("attribute 'equation': '{term}' is not a term"));
    let letters = |text: &str| -> Result<Vec<Label>> {
        text.chars()
            .map(|c| {
                if c.is_ascii_alphabetic() {
                    Ok(c as Label)
                } else {
                    Err(bad())
                }
            })
            .collect()
    };
    let Some((before, after)) = term.split_once("...") else {
        return letters(term);
    };
    let (mut out, after) = (letters(before)?, letters(after)?);
    let free = match rank {
        Some(rank) => rank
            .checked_sub(out.len() + after.len())
            .ok_or_else(|| mismatch(format!("'{term}' names more axes than {rank}")))?,
        None => widest,
    };
    // Right-aligned, as broadcasting is.
    out.extend((widest - free.min(widest)..widest).map(|i| ELLIPSIS + i as Label));
    out.extend(after);
    Ok(out)
}

/// Axes that an ellipsis of a term stands for.
fn ellipsis_rank(term: &str, rank: usize) -> usize {
    match term.split_once("...") {
        Some((a, b)) => rank.saturating_sub(a.len() + b.len()),
        None => 0,
    }
}

pub(super) fn einsum(cx: &mut Cx<'_>) -> Result<()> {
    let equation: String = cx
        .attributes
        .opt_text("equation")?
        .ok_or_else(|| invalid_model("attribute 'equation' is missing"))?
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != cx.arity() {
        return Err(invalid_model(format!(
            "attribute 'equation' = \"{equation}\" has {} terms for {} inputs",
            terms.len(),
            cx.arity()
        )));
    }
    let values = (0..cx.arity())
        .map(|i| cx.input(i))
        .collect::<Result<Vec<_>>>()?;
    let widest = terms
        .iter()
        .zip(&values)
        .map(|(term, value)| ellipsis_rank(term, value.rank()))
        .max()
        .unwrap_or(0);
    let mut operands = Vec::with_capacity(values.len());
    for (term, value) in terms.iter().zip(values) {
        let labels = labels(term, Some(value.rank()), widest)?;
        if labels.len() != value.rank() {
            return Err(mismatch(format!(
                "'{term}' does not name the axes of {:?}",
                value.shape()
            )));
        }
        operands.push(diagonal(cx, Named { value, labels })?);
    }
    let output = match right {
        Some(right) => labels(right, None, widest)?,
        None => implicit(&operands, left, widest),
    };
    let known = |l: &Label| operands.iter().any(|o| o.labels.contains(l));
    let twice = (1..output.len()).any(|i| output[..i].contains(&output[i]));
    if twice || !output.iter().all(known) {
        return Err(invalid_model(format!(
            "attribute 'equation' = \"{equation}\" has an output that its inputs do not give"
        )));
    }
    let out = contract(cx, operands, &output)?;
    cx.set(0, out);
    Ok(())
}

/// Without an arrow: the ellipsis, then the letters met once, in alphabetical order.
fn implicit(operands: &[Named], left: &str, widest: usize) -> Vec<Label> {
    let mut out: Vec<Label> = (0..widest).map(|i| ELLIPSIS + i as Label).collect();
    let mut letters: Vec<char> = left.chars().filter(char::is_ascii_alphabetic).collect();
    letters.sort_unstable();
    let once = |c: char| letters.iter().filter(|&&other| other == c).count() == 1;
    out.extend(
        letters
            .iter()
            .copied()
            .filter(|&c| once(c))
            .map(|c| c as Label),
    );
    debug_assert!(operands.iter().all(|o| o.labels.len() == o.value.rank()));
    out
}

/// A label that occurs twice walks along the diagonal.
fn diagonal(cx: &mut Cx<'_>, x: Named) -> Result<Named> {
    let strides = row_major(x.value.shape());
    let (mut kept, mut shape, mut steps): (Vec<Label>, Vec<usize>, Vec<i64>) = Default::default();
    for ((&label, &dim), &stride) in x.labels.iter().zip(x.value.shape()).zip(&strides) {
        match kept.iter().position(|&k| k == label) {
            Some(at) if shape[at] == dim => steps[at] += stride,
            Some(_) => return Err(mismatch(format!("no diagonal in {:?}", x.value.shape()))),
            None => {
                kept.push(label);
                shape.push(dim);
                steps.push(stride);
            }
        }
    }
    if kept.len() == x.labels.len() {
        return Ok(x);
    }
    let value = strided(cx, &x.value, &shape, 0, steps)?;
    Ok(Named {
        value,
        labels: kept,
    })
}

fn contract(cx: &mut Cx<'_>, operands: Vec<Named>, output: &[Label]) -> Result<Value> {
    let mut rest = operands.into_iter();
    let mut acc = rest
        .next()
        .ok_or_else(|| invalid_model("a sum of no operand"))?;
    let mut rest: Vec<Named> = rest.collect();
    while !rest.is_empty() {
        let next = rest.remove(0);
        let later = |l: &Label| output.contains(l) || rest.iter().any(|o| o.labels.contains(l));
        let acc_only = |l: &Label| !later(l) && !next.labels.contains(l);
        acc = summed(cx, acc, acc_only)?;
        let next_only = |l: &Label| !later(l) && !acc.labels.contains(l);
        let next = summed(cx, next, next_only)?;
        acc = pair(cx, acc, next, later)?;
    }
    let acc = summed(cx, acc, |l| !output.contains(l))?;
    let perm = output
        .iter()
        .map(|l| acc.labels.iter().position(|a| a == l))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| invalid_model("an output axis is lost"))?;
    permuted(cx, &acc.value, &perm)
}

/// Sums over the labels that `gone` picks.
fn summed(cx: &mut Cx<'_>, x: Named, gone: impl Fn(&Label) -> bool) -> Result<Named> {
    let axes: Vec<usize> = (0..x.labels.len())
        .filter(|&i| gone(&x.labels[i]))
        .collect();
    if axes.is_empty() {
        return Ok(x);
    }
    let value = reduce_value(cx, ReduceOp::Sum, &x.value, &axes, false)?;
    let labels = x.labels.into_iter().filter(|l| !gone(l)).collect();
    Ok(Named { value, labels })
}

/// Axes of `x` in the order of `wanted`, with length 1 where it has none.
fn aligned(cx: &mut Cx<'_>, x: &Named, wanted: &[Label]) -> Result<Value> {
    let perm: Vec<usize> = wanted
        .iter()
        .filter_map(|l| x.labels.iter().position(|k| k == l))
        .collect();
    let moved = permuted(cx, &x.value, &perm)?;
    let mut dims = moved.shape().to_vec().into_iter();
    let shape = wanted
        .iter()
        .map(|l| {
            if x.labels.contains(l) {
                dims.next().unwrap_or(1)
            } else {
                1
            }
        })
        .collect();
    cx.reshaped(moved, shape)
}

/// The product of two operands, summed over shared labels that nothing later needs.
fn pair(cx: &mut Cx<'_>, a: Named, b: Named, later: impl Fn(&Label) -> bool) -> Result<Named> {
    let shared = |l: &Label| a.labels.contains(l) && b.labels.contains(l);
    let batch: Vec<Label> = (a.labels.iter().copied())
        .filter(|l| shared(l) && later(l))
        .collect();
    let inner: Vec<Label> = (a.labels.iter().copied())
        .filter(|l| shared(l) && !later(l))
        .collect();
    let only = |x: &Named, other: &Named| -> Vec<Label> {
        let mine = x.labels.iter().copied();
        mine.filter(|l| !other.labels.contains(l)).collect()
    };
    let (rows, cols) = (only(&a, &b), only(&b, &a));
    let length = |x: &Named, l: &Label| {
        let at = x.labels.iter().position(|k| k == l);
        at.map_or(1, |at| x.value.shape()[at])
    };
    for l in batch.iter().chain(&inner) {
        let (x, y) = (length(&a, l), length(&b, l));
        if x != y && (*l < ELLIPSIS || (x != 1 && y != 1)) {
            return Err(mismatch(format!(
                "{:?} and {:?} disagree on an axis",
                a.value.shape(),
                b.value.shape()
            )));
        }
    }
    let labels = [&batch[..], &rows[..], &cols[..]].concat();
    if inner.is_empty() {
        let (x, y) = (aligned(cx, &a, &labels)?, aligned(cx, &b, &labels)?);
        let value = binary(cx, BinaryOp::Mul, &x, &y)?;
        return Ok(Named { value, labels });
    }
    if inner.iter().any(|l| length(&a, l) != length(&b, l)) {
        return Err(unsupported("a sum over a broadcast axis is not supported"));
    }
    let dims = |x: &Named, list: &[Label]| list.iter().map(|l| length(x, l)).collect::<Vec<_>>();
    let total = |x: &Named, list: &[Label]| dims(x, list).iter().product::<usize>();
    let x = aligned(cx, &a, &[&batch[..], &rows[..], &inner[..]].concat())?;
    let y = aligned(cx, &b, &[&batch[..], &inner[..], &cols[..]].concat())?;
    let (m, k, n) = (total(&a, &rows), total(&a, &inner), total(&b, &cols));
    let x = cx.reshaped(x, [&dims(&a, &batch)[..], &[m, k]].concat())?;
    let y = cx.reshaped(y, [&dims(&b, &batch)[..], &[k, n]].concat())?;
    let out = product(cx, &x, &y, false, 1.0)?;
    let lead = &out.shape()[..batch.len()];
    let shape = [lead, &dims(&a, &rows)[..], &dims(&b, &cols)[..]].concat();
    let value = cx.reshaped(out, shape)?;
    Ok(Named { value, labels })
}
