//! Elementwise operators: floats are computed in `f32`, integers in `i64`.

use half::bf16;

use crate::error::{Error, ErrorKind, Result, invalid_model, mismatch, unsupported};
use crate::kernels::broadcast_strides;
use crate::kernels::elementwise::{BinaryOp, UnaryOp};
use crate::tensor::{DType, Tensor};

use super::{at, for_each, pick};

/// A function of one value; `None` where only the GPU knows it.
pub(crate) fn unary(op: UnaryOp, x: &Tensor) -> Option<Result<Tensor>> {
    let shape = x.shape().to_vec();
    match x.dtype() {
        DType::Bool => match op {
            UnaryOp::Not => Some(
                x.as_bool()
                    .and_then(|v| Tensor::bool(shape, v.iter().map(|&b| !b).collect())),
            ),
            _ => None,
        },
        dtype if dtype.is_float() => {
            let v = x.to_f32_vec();
            if let UnaryOp::IsNan = op {
                return Some(Tensor::bool(shape, v.iter().map(|x| x.is_nan()).collect()));
            }
            let f = float_unary(op)?;
            let out = Tensor::f32(shape, v.into_iter().map(f).collect());
            Some(out.map(|t| t.cast(dtype)))
        }
        dtype => {
            let f = int_unary(op)?;
            let out = x
                .to_i64_vec()
                .and_then(|v| Tensor::i64(shape, v.into_iter().map(f).collect()));
            Some(out.map(|t| t.cast(dtype)))
        }
    }
}

fn float_unary(op: UnaryOp) -> Option<fn(f32) -> f32> {
    Some(match op {
        UnaryOp::Identity => |x| x,
        UnaryOp::Neg => |x| -x,
        UnaryOp::Abs => f32::abs,
        UnaryOp::Sign => |x| {
            if x == 0.0 || x.is_nan() {
                x
            } else {
                x.signum()
            }
        },
        UnaryOp::Exp => f32::exp,
        UnaryOp::Log => f32::ln,
        UnaryOp::Sqrt => f32::sqrt,
        UnaryOp::Reciprocal => f32::recip,
        UnaryOp::Sin => f32::sin,
        UnaryOp::Cos => f32::cos,
        UnaryOp::Tanh => f32::tanh,
        UnaryOp::Sigmoid => |x| 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Relu => |x| if x < 0.0 { 0.0 } else { x },
        UnaryOp::BFloat16 => |x| bf16::from_f32(x).to_f32(),
        UnaryOp::Floor => f32::floor,
        UnaryOp::Ceil => f32::ceil,
        UnaryOp::Round => f32::round_ties_even,
        _ => return None,
    })
}

fn int_unary(op: UnaryOp) -> Option<fn(i64) -> i64> {
    Some(match op {
        UnaryOp::Identity => |x| x,
        UnaryOp::Neg => i64::wrapping_neg,
        UnaryOp::Abs => i64::wrapping_abs,
        UnaryOp::Sign => i64::signum,
        UnaryOp::Relu => |x| x.max(0),
        UnaryOp::Low8 { signed: true } => |x| i64::from(x as i8),
        UnaryOp::Low8 { signed: false } => |x| x & 255,
        _ => return None,
    })
}

/// A function of two tensors of one type, broadcast to `shape`. Comparisons give `Bool`.
pub(crate) fn binary(op: BinaryOp, a: &Tensor, b: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if a.dtype() != b.dtype() {
        return Err(invalid_model(format!(
            "operands are {} and {}",
            a.dtype(),
            b.dtype()
        )));
    }
    let dtype = a.dtype();
    if dtype.is_float() {
        let (x, y) = (a.to_f32_vec(), b.to_f32_vec());
        if let Some(f) = float_comparison(op) {
            return Tensor::bool(shape, zip(a, &x, b, &y, shape, |x, y| Ok(f(x, y)))?);
        }
        let f = float_binary(op)?;
        Ok(Tensor::f32(shape, zip(a, &x, b, &y, shape, |x, y| Ok(f(x, y)))?)?.cast(dtype))
    } else {
        let (x, y) = (a.to_i64_vec()?, b.to_i64_vec()?);
        if let Some(f) = int_comparison(op) {
            return Tensor::bool(shape, zip(a, &x, b, &y, shape, |x, y| Ok(f(x, y)))?);
        }
        let out = zip(a, &x, b, &y, shape, |x, y| int_binary(op, x, y))?;
        Ok(Tensor::i64(shape, out)?.cast(dtype))
    }
}

fn zip<T: Copy, U>(
    a: &Tensor,
    x: &[T],
    b: &Tensor,
    y: &[T],
    shape: &[usize],
    f: impl Fn(T, T) -> Result<U>,
) -> Result<Vec<U>> {
    let (sa, sb) = (
        broadcast_strides(a.shape(), shape)?,
        broadcast_strides(b.shape(), shape)?,
    );
    let mut out = Vec::new();
    for_each(shape, [&sa, &sb], [0, 0], |[i, j]| {
        out.push(f(at(x, i)?, at(y, j)?)?);
        Ok(())
    })?;
    Ok(out)
}

fn float_comparison(op: BinaryOp) -> Option<fn(f32, f32) -> bool> {
    Some(match op {
        BinaryOp::Equal => |x, y| x == y,
        BinaryOp::Less => |x, y| x < y,
        BinaryOp::LessOrEqual => |x, y| x <= y,
        BinaryOp::Greater => |x, y| x > y,
        BinaryOp::GreaterOrEqual => |x, y| x >= y,
        _ => return None,
    })
}

fn int_comparison(op: BinaryOp) -> Option<fn(i64, i64) -> bool> {
    Some(match op {
        BinaryOp::Equal => |x, y| x == y,
        BinaryOp::Less => |x, y| x < y,
        BinaryOp::LessOrEqual => |x, y| x <= y,
        BinaryOp::Greater => |x, y| x > y,
        BinaryOp::GreaterOrEqual => |x, y| x >= y,
        _ => return None,
    })
}

fn float_binary(op: BinaryOp) -> Result<fn(f32, f32) -> f32> {
    Ok(match op {
        BinaryOp::Add => |x, y| x + y,
        BinaryOp::Sub => |x, y| x - y,
        BinaryOp::Mul => |x, y| x * y,
        BinaryOp::Div => |x, y| x / y,
        BinaryOp::Pow => f32::powf,
        BinaryOp::Min => |x, y| if x.is_nan() || x < y { x } else { y },
        BinaryOp::Max => |x, y| if x.is_nan() || x > y { x } else { y },
        BinaryOp::Fmod => |x, y| x % y,
        BinaryOp::Mod => |x, y| {
            let r = x % y;
            if r == 0.0 {
                r.copysign(y)
            } else if (r < 0.0) != (y < 0.0) {
                r + y
            } else {
                r
            }
        },
        BinaryOp::Prelu => |x, y| if x < 0.0 { x * y } else { x },
        _ => return Err(unsupported(format!("{op:?} is not defined on floats"))),
    })
}

fn int_binary(op: BinaryOp, x: i64, y: i64) -> Result<i64> {
    let divisible = || {
        if y == 0 {
            Err(Error::new(
                ErrorKind::InvalidModel,
                "an integer is divided by zero",
            ))
        } else {
            Ok(())
        }
    };
    Ok(match op {
        BinaryOp::Add => x.wrapping_add(y),
        BinaryOp::Sub => x.wrapping_sub(y),
        BinaryOp::Mul => x.wrapping_mul(y),
        BinaryOp::Div => {
            divisible()?;
            x.wrapping_div(y)
        }
        BinaryOp::Mod => {
            divisible()?;
            let r = x.wrapping_rem(y);
            if r != 0 && (r < 0) != (y < 0) {
                r + y
            } else {
                r
            }
        }
        BinaryOp::Fmod => {
            divisible()?;
            x.wrapping_rem(y)
        }
        BinaryOp::Pow => {
            let exponent = u32::try_from(y)
                .map_err(|_| unsupported(format!("{x} to the power {y} is not an integer")))?;
            x.wrapping_pow(exponent)
        }
        BinaryOp::Min => x.min(y),
        BinaryOp::Max => x.max(y),
        BinaryOp::And => x & y,
        BinaryOp::Or => x | y,
        BinaryOp::Xor => x ^ y,
        BinaryOp::Prelu if x >= 0 => x,
        BinaryOp::Prelu => x.wrapping_mul(y),
        _ => return Err(unsupported(format!("{op:?} is not defined on integers"))),
    })
}

/// ONNX `Where`.
pub(crate) fn select(cond: &Tensor, x: &Tensor, y: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if x.dtype() != y.dtype() {
        return Err(invalid_model(format!(
            "branches are {} and {}",
            x.dtype(),
            y.dtype()
        )));
    }
    let truth = cond.as_bool()?;
    let full = |t: &Tensor| -> Result<Vec<i64>> {
        let strides = broadcast_strides(t.shape(), shape)?;
        let mut offsets = Vec::new();
        for_each(shape, [&strides], [0], |[o]| {
            offsets.push(o);
            Ok(())
        })?;
        Ok(offsets)
    };
    let (c, i, j) = (full(cond)?, full(x)?, full(y)?);
    // One table with X's elements first lets a single pass pick from both.
    let joined = super::copies(
        &[x.len() + y.len()],
        x.dtype(),
        &[(x, &line(x.len(), 0)), (y, &line(y.len(), x.len()))],
    )?;
    let offsets = c
        .iter()
        .zip(i.iter().zip(&j))
        .map(|(&c, (&i, &j))| Ok(if at(truth, c)? { i } else { j + x.len() as i64 }))
        .collect::<Result<Vec<_>>>()?;
    pick(&joined, shape, &offsets)
}

fn line(len: usize, to: usize) -> crate::kernels::strided_copy::StridedCopy {
    crate::kernels::strided_copy::StridedCopy {
        shape: vec![len],
        in_offset: 0,
        in_strides: vec![1],
        out_offset: to as i64,
        out_strides: vec![1],
    }
}

/// ONNX `Range`: `max(ceil((limit - start) / delta), 0)` elements.
pub(crate) fn range(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<Tensor> {
    let dtype = start.dtype();
    if dtype.is_float() {
        let [s, l, d] = [start, limit, delta].map(|t| t.to_f32_vec().first().copied());
        let (Some(s), Some(l), Some(d)) = (s, l, d) else {
            return Err(mismatch("a bound of Range has no element"));
        };
        let n = checked_length(((f64::from(l) - f64::from(s)) / f64::from(d)).ceil())?;
        Ok(Tensor::f32([n], (0..n).map(|i| s + i as f32 * d).collect())?.cast(dtype))
    } else {
        let (s, l, d) = (
            at(&start.to_i64_vec()?, 0)?,
            at(&limit.to_i64_vec()?, 0)?,
            at(&delta.to_i64_vec()?, 0)?,
        );
        let n = checked_length(((l as f64 - s as f64) / d as f64).ceil())?;
        let values = (0..n).map(|i| s.wrapping_add((i as i64).wrapping_mul(d)));
        Ok(Tensor::i64([n], values.collect())?.cast(dtype))
    }
}

fn checked_length(n: f64) -> Result<usize> {
    if n.is_nan() || n > super::MAX_FOLDED as f64 {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("a range of {n} elements"),
        ));
    }
    Ok(n.max(0.0) as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ints(shape: &[usize], v: &[i64]) -> Tensor {
        Tensor::i64(shape, v.to_vec()).unwrap()
    }

    #[test]
    fn integer_division_truncates_and_modulo_follows_the_divisor() {
        let (a, b) = (ints(&[4], &[-7, 7, -7, 7]), ints(&[4], &[3, -3, -3, 3]));
        let run = |op| binary(op, &a, &b, &[4]).unwrap().to_i64_vec().unwrap();
        assert_eq!(run(BinaryOp::Div), [-2, -2, 2, 2]);
        assert_eq!(run(BinaryOp::Mod), [2, -2, -1, 1]);
        assert_eq!(run(BinaryOp::Fmod), [-1, 1, -1, 1]);
        let zero = ints(&[1], &[0]);
        assert!(binary(BinaryOp::Div, &a, &zero, &[4]).is_err());
    }

    #[test]
    fn broadcasting_and_comparison() {
        let (a, b) = (ints(&[2, 1], &[1, 2]), ints(&[3], &[1, 2, 3]));
        let out = binary(BinaryOp::LessOrEqual, &b, &a, &[2, 3]).unwrap();
        assert_eq!(
            out.as_bool().unwrap(),
            &[true, false, false, true, true, false]
        );
    }

    #[test]
    fn select_picks_per_element() {
        let cond = Tensor::bool([2, 1], vec![true, false]).unwrap();
        let out = select(&cond, &ints(&[2], &[1, 2]), &ints(&[], &[9]), &[2, 2]).unwrap();
        assert_eq!(out.to_i64_vec().unwrap(), [1, 2, 9, 9]);
    }

    #[test]
    fn ranges_count_as_onnx_says() {
        let r = |s, l, d| range(&ints(&[], &[s]), &ints(&[], &[l]), &ints(&[], &[d]));
        assert_eq!(r(10, 4, -2).unwrap().to_i64_vec().unwrap(), [10, 8, 6]);
        assert_eq!(r(3, 1, 1).unwrap().len(), 0);
        assert_eq!(r(0, 1, 0).unwrap_err().kind(), ErrorKind::Limit);
    }
}
