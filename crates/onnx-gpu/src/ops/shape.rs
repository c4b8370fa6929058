//! Operators on shapes and views: [`Reshape`](https://onnx.ai/onnx/operators/onnx__Reshape.html), `Flatten`, `Squeeze`,
//! `Unsqueeze`, `Identity`, `Dropout`, `Shape`, `Size`, `Constant`, `ConstantOfShape`, `Range`, `EyeLike`.
//!
//! Views share the buffer. Opset notes: `Squeeze`/`Unsqueeze` took `axes` as an attribute before 13.

use crate::context::{Cx, Lower};
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::eval;
use crate::program::Value;
use crate::proto::AttributeValue;
use crate::tensor::{DType, Tensor, elements};
use crate::tensor::{axes, axis};

pub(super) fn find(op: &str) -> Option<Lower> {
    Some(match op {
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "Identity" => identity,
        "Dropout" => dropout,
        "Shape" => shape,
        "Size" => size,
        "Constant" => constant,
        "ConstantOfShape" => constant_of_shape,
        "Range" => range,
        "EyeLike" => eye_like,
        _ => return None,
    })
}

/// The shape that `Reshape` makes: 0 copies a dimension (unless `allow_zero`), one -1 takes what is left.
pub(super) fn reshape_target(
    input: &[usize],
    wanted: &[i64],
    allow_zero: bool,
) -> Result<Vec<usize>> {
    let mut open = None;
    let mut shape = Vec::with_capacity(wanted.len());
    for (i, &dim) in wanted.iter().enumerate() {
        shape.push(match dim {
            0 if !allow_zero => *input.get(i).ok_or_else(|| {
                mismatch(format!("dimension {i} copies one that {input:?} lacks"))
            })?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            _ => usize::try_from(dim)
                .map_err(|_| mismatch(format!("{wanted:?} is not a shape to reshape to")))?,
        });
    }
    if let Some(open) = open {
        let (have, rest) = (elements(input)?, elements(&shape)?);
        if rest == 0 || !have.is_multiple_of(rest) {
            return Err(mismatch(format!(
                "{input:?} cannot be reshaped to {wanted:?}"
            )));
        }
        shape[open] = have / rest;
    }
    Ok(shape)
}

fn reshape(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let wanted = cx
        .constant(1)?
        .ok_or_else(|| invalid_model("the shape is missing"))?
        .to_i64_vec()?;
    let allow_zero = cx.attributes.flag("allowzero", false)?;
    let shape = reshape_target(x.shape(), &wanted, allow_zero)?;
    view(cx, x, shape)
}

fn view(cx: &mut Cx<'_>, x: Value, shape: Vec<usize>) -> Result<()> {
    let y = cx.reshaped(x, shape)?;
    cx.set(0, y);
    Ok(())
}

fn flatten(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let at = cx.attributes.int("axis", 1)?;
    let at = if at == x.rank() as i64 {
        x.rank()
    } else {
        axis(at, x.rank())?
    };
    let (rows, cols) = x.shape().split_at(at);
    let shape = vec![rows.iter().product(), cols.iter().product()];
    view(cx, x, shape)
}

fn squeeze(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let gone = match cx.integers("axes", 1, 13)? {
        Some(list) => axes(&list, x.rank())?,
        None => (0..x.rank()).filter(|&i| x.shape()[i] == 1).collect(),
    };
    if let Some(i) = gone.iter().find(|&&i| x.shape()[i] != 1) {
        return Err(mismatch(format!(
            "axis {i} of {:?} cannot be squeezed",
            x.shape()
        )));
    }
    let shape = (0..x.rank())
        .filter(|i| !gone.contains(i))
        .map(|i| x.shape()[i])
        .collect();
    view(cx, x, shape)
}

fn unsqueeze(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let list = cx
        .integers("axes", 1, 13)?
        .ok_or_else(|| invalid_model("the axes are missing"))?;
    let rank = x.rank() + list.len();
    let new = axes(&list, rank)?;
    let mut old = x.shape().iter();
    let shape = (0..rank)
        .map(|i| {
            if new.contains(&i) {
                1
            } else {
                old.next().copied().unwrap_or(1)
            }
        })
        .collect();
    view(cx, x, shape)
}

fn identity(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    cx.set(0, x);
    Ok(())
}

/// The identity, as in every inference.
fn dropout(cx: &mut Cx<'_>) -> Result<()> {
    cx.attributes.ignore(&["ratio", "seed"]);
    if cx.before(7) && !cx.attributes.flag("is_test", false)? {
        return Err(unsupported(
            "is_test = 0, which is training, is not supported",
        ));
    }
    if let Some(training) = cx.constant(2)?
        && training.to_i64_vec()?.contains(&1)
    {
        return Err(unsupported("input 'training_mode' = true is not supported"));
    }
    if cx.wants(1) {
        let n = cx.input(0)?.shape().to_vec();
        let mask = Tensor::bool([], vec![true])?;
        cx.set(1, Value::Const(eval::splat(&mask, &n)?));
    }
    identity(cx)
}

fn longs(values: &[usize]) -> Result<Value> {
    let data = values.iter().map(|&d| d as i64).collect();
    Ok(Value::Const(Tensor::i64([values.len()], data)?))
}

fn shape(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let rank = x.rank() as i64;
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let start = clamp(cx.attributes.int("start", 0)?);
    let end = clamp(cx.attributes.int("end", rank)?);
    cx.set(0, longs(x.shape().get(start..end).unwrap_or(&[]))?);
    Ok(())
}

fn size(cx: &mut Cx<'_>) -> Result<()> {
    let n = cx.input(0)?.elements() as i64;
    cx.set(0, Value::Const(Tensor::i64([], vec![n])?));
    Ok(())
}

fn constant(cx: &mut Cx<'_>) -> Result<()> {
    let [attribute] = cx.node.attributes.as_slice() else {
        return Err(invalid_model("a Constant has one attribute"));
    };
    let value = match cx.attributes.get(&attribute.name) {
        Some(AttributeValue::Tensor(t)) => t.clone(),
        Some(AttributeValue::Float(v)) => Tensor::f32([], vec![*v])?,
        Some(AttributeValue::Int(v)) => Tensor::i64([], vec![*v])?,
        Some(AttributeValue::Floats(v)) => Tensor::f32([v.len()], v.clone())?,
        Some(AttributeValue::Ints(v)) => Tensor::i64([v.len()], v.clone())?,
        _ => {
            return Err(unsupported(format!(
                "attribute '{}' holds no numbers",
                attribute.name
            )));
        }
    };
    cx.set(0, Value::Const(value));
    Ok(())
}

fn constant_of_shape(cx: &mut Cx<'_>) -> Result<()> {
    let dims = cx
        .constant(0)?
        .ok_or_else(|| invalid_model("the shape is missing"))?
        .to_i64_vec()?;
    let shape = dims
        .iter()
        .map(|&d| usize::try_from(d))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| mismatch(format!("{dims:?} is not a shape")))?;
    let value = match cx.attributes.opt_tensor("value")? {
        Some(value) => value.clone(),
        None => Tensor::f32([1], vec![0.0])?,
    };
    cx.set(0, Value::Const(eval::splat(&value, &shape)?));
    Ok(())
}

fn range(cx: &mut Cx<'_>) -> Result<()> {
    // Elements are computed by multiplication, in 32 bits at least: no accumulation type applies.
    cx.attributes.ignore(&["stash_type"]);
    let missing = || invalid_model("a bound is missing");
    let start = cx.constant(0)?.ok_or_else(missing)?;
    let limit = cx.constant(1)?.ok_or_else(missing)?;
    let delta = cx.constant(2)?.ok_or_else(missing)?;
    cx.set(0, Value::Const(eval::range(&start, &limit, &delta)?));
    Ok(())
}

fn eye_like(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let &[rows, cols] = x.shape() else {
        return Err(mismatch(format!("{:?} is not a matrix", x.shape())));
    };
    let dtype = match cx.attributes.opt_int("dtype")? {
        Some(&code) => DType::from_onnx(code)?,
        None => x.dtype(),
    };
    let k = cx.attributes.int("k", 0)?;
    let zeros = eval::splat(&Tensor::f32([], vec![0.0])?, &[rows, cols])?;
    let mut data = zeros.to_f32_vec();
    for row in 0..rows {
        if let Ok(col) = usize::try_from((row as i64).saturating_add(k))
            && col < cols
        {
            data[row * cols + col] = 1.0;
        }
    }
    cx.set(
        0,
        Value::Const(Tensor::f32([rows, cols], data)?.cast(dtype)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reshape_follows_the_specification() {
        let t = |input: &[usize], wanted: &[i64]| reshape_target(input, wanted, false);
        assert_eq!(t(&[2, 3, 4], &[0, -1]).unwrap(), [2, 12]);
        assert_eq!(t(&[2, 3, 4], &[-1]).unwrap(), [24]);
        assert_eq!(t(&[], &[1, 1]).unwrap(), [1, 1]);
        assert!(t(&[2, 3], &[-1, -1]).is_err());
        assert!(t(&[2, 3], &[4, -1]).is_err());
        assert!(t(&[2], &[0, 0]).is_err());
        assert!(t(&[2], &[-2]).is_err());
        assert_eq!(
            reshape_target(&[0, 10], &[3, 0, 2], true).unwrap(),
            [3, 0, 2]
        );
    }
}
