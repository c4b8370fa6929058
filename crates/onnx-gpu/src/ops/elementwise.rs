//! Elementwise operators: [unary and binary math](https://onnx.ai/onnx/operators/), `Where`, `Cast`, `Clip`.
//!
//! Opset notes: broadcasting is multidirectional since 7; before, `broadcast` and `axis` ask for it. `Clip` took its bounds as attributes before 11.

use crate::context::{Cx, Lower};
use crate::error::{Result, invalid_model, mismatch, unsupported};
use crate::eval;
use crate::eval::MAX_FOLDED;
use crate::kernels::elementwise::{self as kernel, BinaryOp, Rounding, UnaryOp};
use crate::kernels::{Activation, Elem, MAX_RANK};
use crate::program::{Value, elem};
use crate::tensor::DType;
use crate::tensor::{axis, broadcast};

pub(super) fn find(op: &str) -> Option<Lower> {
    Some(match op {
        "Add" => |cx| binary_node(cx, BinaryOp::Add),
        "Sub" => |cx| binary_node(cx, BinaryOp::Sub),
        "Mul" => |cx| binary_node(cx, BinaryOp::Mul),
        "Div" => |cx| binary_node(cx, BinaryOp::Div),
        "Pow" => pow,
        "Mod" => modulo,
        "PRelu" => |cx| binary_node(cx, BinaryOp::Prelu),
        "Equal" => |cx| binary_node(cx, BinaryOp::Equal),
        "Less" => |cx| binary_node(cx, BinaryOp::Less),
        "LessOrEqual" => |cx| binary_node(cx, BinaryOp::LessOrEqual),
        "Greater" => |cx| binary_node(cx, BinaryOp::Greater),
        "GreaterOrEqual" => |cx| binary_node(cx, BinaryOp::GreaterOrEqual),
        "And" => |cx| binary_node(cx, BinaryOp::And),
        "Or" => |cx| binary_node(cx, BinaryOp::Or),
        "Xor" => |cx| binary_node(cx, BinaryOp::Xor),
        "Min" => |cx| variadic(cx, BinaryOp::Min),
        "Max" => |cx| variadic(cx, BinaryOp::Max),
        "Sum" => |cx| variadic(cx, BinaryOp::Add),
        "Mean" => mean,
        "Where" => select,
        "Cast" => cast,
        "CastLike" => cast_like,
        "Clip" => clip,
        _ if unary_op(op).is_some() => unary_node,
        _ => return None,
    })
}

pub(super) fn find_fused(op: &str) -> Option<Lower> {
    Some(match op {
        "Silu" => |cx| unary_as(cx, UnaryOp::Silu),
        "Gelu" => |cx| unary_as(cx, UnaryOp::Gelu),
        "QuickGelu" => |cx| unary_as(cx, UnaryOp::QuickGelu(1.702)),
        "MulAdd" => mul_add,
        _ => return None,
    })
}

/// Operators of one input, with default attribute values.
fn unary_op(op: &str) -> Option<UnaryOp> {
    Some(match op {
        "Neg" => UnaryOp::Neg,
        "Abs" => UnaryOp::Abs,
        "Sign" => UnaryOp::Sign,
        "Exp" => UnaryOp::Exp,
        "Log" => UnaryOp::Log,
        "Sqrt" => UnaryOp::Sqrt,
        "Reciprocal" => UnaryOp::Reciprocal,
        "Sin" => UnaryOp::Sin,
        "Cos" => UnaryOp::Cos,
        "Tan" => UnaryOp::Tan,
        "Asin" => UnaryOp::Asin,
        "Acos" => UnaryOp::Acos,
        "Atan" => UnaryOp::Atan,
        "Sinh" => UnaryOp::Sinh,
        "Cosh" => UnaryOp::Cosh,
        "Asinh" => UnaryOp::Asinh,
        "Acosh" => UnaryOp::Acosh,
        "Atanh" => UnaryOp::Atanh,
        "Tanh" => UnaryOp::Tanh,
        "Sigmoid" => UnaryOp::Sigmoid,
        "Relu" => UnaryOp::Relu,
        "LeakyRelu" => UnaryOp::LeakyRelu(0.01),
        "ThresholdedRelu" => UnaryOp::ThresholdedRelu(1.0),
        "Elu" => UnaryOp::Elu(1.0),
        "Celu" => UnaryOp::Celu(1.0),
        "Selu" => UnaryOp::Selu {
            alpha: 1.673_263_2,
            gamma: 1.050_701,
        },
        "Gelu" => UnaryOp::Gelu,
        "Mish" => UnaryOp::Mish,
        "Swish" => UnaryOp::QuickGelu(1.0),
        "Erf" => UnaryOp::Erf,
        "Floor" => UnaryOp::Floor,
        "Ceil" => UnaryOp::Ceil,
        "Round" => UnaryOp::Round,
        "Softplus" => UnaryOp::Softplus,
        "Softsign" => UnaryOp::Softsign,
        "HardSigmoid" => UnaryOp::HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        "HardSwish" => UnaryOp::HardSwish,
        "Not" => UnaryOp::Not,
        "IsNaN" => UnaryOp::IsNan,
        "IsInf" => UnaryOp::IsInf {
            negative: true,
            positive: true,
        },
        _ => return None,
    })
}

fn unary_node(cx: &mut Cx<'_>) -> Result<()> {
    let default =
        unary_op(&cx.node.op).ok_or_else(|| unsupported("not an operator of one input"))?;
    let a = &cx.attributes;
    let op = match default {
        UnaryOp::LeakyRelu(d) => UnaryOp::LeakyRelu(a.float("alpha", d)?),
        UnaryOp::ThresholdedRelu(d) => UnaryOp::ThresholdedRelu(a.float("alpha", d)?),
        UnaryOp::Elu(d) => UnaryOp::Elu(a.float("alpha", d)?),
        UnaryOp::QuickGelu(d) => UnaryOp::QuickGelu(a.float("alpha", d)?),
        UnaryOp::Celu(d) => UnaryOp::Celu(a.float("alpha", d)?),
        UnaryOp::Selu { alpha, gamma } => UnaryOp::Selu {
            alpha: a.float("alpha", alpha)?,
            gamma: a.float("gamma", gamma)?,
        },
        UnaryOp::HardSigmoid { alpha, beta } => UnaryOp::HardSigmoid {
            alpha: a.float("alpha", alpha)?,
            beta: a.float("beta", beta)?,
        },
        UnaryOp::IsInf { .. } => UnaryOp::IsInf {
            negative: a.flag("detect_negative", true)?,
            positive: a.flag("detect_positive", true)?,
        },
        UnaryOp::Gelu => match a.text("approximate", "none")? {
            "none" => UnaryOp::Gelu,
            "tanh" => UnaryOp::GeluTanh,
            other => {
                return Err(unsupported(format!(
                    "attribute 'approximate' = \"{other}\" is not supported"
                )));
            }
        },
        other => other,
    };
    unary_as(cx, op)
}

fn unary_as(cx: &mut Cx<'_>, op: UnaryOp) -> Result<()> {
    let x = cx.input(0)?;
    let y = unary(cx, op, &x)?;
    cx.set(0, y);
    Ok(())
}

/// A value as the elementwise kernels bind it.
struct Placed {
    value: Value,
    steps: Option<(usize, Vec<i64>)>,
}

impl Placed {
    /// Through strides where every axis has one, otherwise copied into order.
    fn of(cx: &Cx<'_>, value: &Value) -> Self {
        let dense = Self {
            value: value.clone(),
            steps: None,
        };
        let Value::Device(device) = value else {
            return dense;
        };
        let Some(layout) = &device.layout else {
            return dense;
        };
        match (layout.steps(value.shape()), usize::try_from(layout.offset)) {
            (Some(steps), Ok(offset)) if value.rank() <= MAX_RANK => Self {
                value: cx.base(value),
                steps: Some((offset, steps)),
            },
            _ => dense,
        }
    }

    fn operand<'a>(&'a self, value: &'a Value) -> kernel::Operand<'a> {
        kernel::Operand {
            shape: value.shape(),
            steps: self.steps.as_ref().map(|(start, s)| (*start, s.as_slice())),
        }
    }
}

/// Applies a function of one value.
pub(super) fn unary(cx: &mut Cx<'_>, op: UnaryOp, x: &Value) -> Result<Value> {
    if let Some(known) = x.constant().filter(|t| t.len() <= MAX_FOLDED)
        && let Some(folded) = eval::unary(op, known)
    {
        return Ok(Value::Const(folded?));
    }
    if matches!(x.dtype(), DType::I8 | DType::U8) && x.constant().is_none() {
        let out = unary(cx, op, &named(x, DType::I32))?;
        // These alone may leave the 8 bits.
        return if matches!(op, UnaryOp::Neg | UnaryOp::Abs) {
            wrapped(cx, out, x.dtype())
        } else {
            Ok(named(&out, x.dtype()))
        };
    }
    let dtype = match op {
        UnaryOp::IsNan | UnaryOp::IsInf { .. } => DType::Bool,
        _ => x.dtype(),
    };
    let placed = Placed::of(cx, x);
    let rounding = rounding(&[x], dtype);
    let launch = || kernel::unary_of(op, elem(x.dtype()), placed.operand(x), rounding);
    let out = cx.launch(launch, &[&placed.value], x.shape(), dtype)?;
    Ok(out.noted(rounding.output))
}

/// What an elementwise kernel rounds: inputs that still have to be, and a result of 16 bits.
fn rounding(inputs: &[&Value], out: DType) -> Rounding {
    Rounding {
        inputs: inputs.iter().any(|value| value.unrounded()),
        output: out == DType::F16,
    }
}

/// Applies an activation after an operator whose kernel has no epilogue.
pub(super) fn activate(cx: &mut Cx<'_>, activation: Activation, x: Value) -> Result<Value> {
    let op = match activation {
        Activation::None => return Ok(x),
        Activation::Relu => UnaryOp::Relu,
        Activation::LeakyRelu(alpha) => UnaryOp::LeakyRelu(alpha),
        Activation::Silu => UnaryOp::Silu,
        Activation::QuickGelu => UnaryOp::QuickGelu(1.702),
        Activation::Gelu => UnaryOp::Gelu,
        Activation::GeluTanh => UnaryOp::GeluTanh,
        Activation::Sigmoid => UnaryOp::Sigmoid,
        Activation::Tanh => UnaryOp::Tanh,
        Activation::Clip(min, max) => UnaryOp::Clip { min, max },
        Activation::HardSwish => UnaryOp::HardSwish,
    };
    unary(cx, op, &x)
}

fn binary_node(cx: &mut Cx<'_>, op: BinaryOp) -> Result<()> {
    let (a, b) = operands(cx)?;
    let out = binary(cx, op, &a, &b)?;
    cx.set(0, out);
    Ok(())
}

/// The inputs of a function of two values. Before opset 7 the second one is broadcast only where the node says so, and then
/// along consecutive axes that may end before the last.
fn operands(cx: &Cx<'_>) -> Result<(Value, Value)> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    if !cx.before(7) {
        return Ok((a, b));
    }
    let misfit = || mismatch(format!("{:?} and {:?} do not fit", a.shape(), b.shape()));
    let from = if cx.node.op == "PRelu" {
        // One slope, or one for each channel.
        (b.elements() != 1 && b.rank() == 1).then_some(1)
    } else if cx.attributes.flag("broadcast", false)? {
        cx.attributes.opt_int("axis")?.copied()
    } else if a.shape() == b.shape() {
        None
    } else {
        return Err(misfit());
    };
    let Some(from) = from else {
        return Ok((a, b));
    };
    let behind = (a.rank() - axis(from, a.rank())?)
        .checked_sub(b.rank())
        .ok_or_else(misfit)?;
    let shape = [b.shape(), &vec![1; behind]].concat();
    let b = cx.reshaped(b, shape)?;
    Ok((a, b))
}

/// Refuses operands of two types where ONNX wants one.
pub(super) fn one_type(a: &Value, b: &Value) -> Result<()> {
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    Err(invalid_model(format!(
        "the operands are {} and {}, one type is wanted",
        a.dtype(),
        b.dtype()
    )))
}

/// Applies a function of two values of one type, with broadcasting.
pub(super) fn binary(cx: &mut Cx<'_>, op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    one_type(a, b)?;
    let shape = broadcast(a.shape(), b.shape())?;
    if let (Some(x), Some(y)) = (a.constant(), b.constant())
        && crate::tensor::elements(&shape)? <= MAX_FOLDED
    {
        return Ok(Value::Const(eval::binary(op, x, y, &shape)?));
    }
    let dtype = match op {
        BinaryOp::Equal
        | BinaryOp::Less
        | BinaryOp::LessOrEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterOrEqual => DType::Bool,
        _ => a.dtype(),
    };
    let elem_of = elem(a.dtype());
    let (at_a, at_b) = (Placed::of(cx, a), Placed::of(cx, b));
    let rounding = rounding(&[a, b], dtype);
    let launch = || {
        let operands = [at_a.operand(a), at_b.operand(b)];
        kernel::binary_of(op, elem_of, operands, &shape, rounding)
    };
    let out = cx.launch(launch, &[&at_a.value, &at_b.value], &shape, dtype)?;
    let out = out.noted(rounding.output);
    let leaves = matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::Prelu
    );
    if leaves && matches!(dtype, DType::I8 | DType::U8) && out.constant().is_none() {
        return wrapped(cx, out, dtype);
    }
    Ok(out)
}

/// The product and sum that fusion joined.
fn mul_add(cx: &mut Cx<'_>) -> Result<()> {
    let (a, b, c) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let values = [&a, &b, &c];
    let one_type = values
        .iter()
        .all(|v| v.dtype() == a.dtype() && v.dtype().is_float());
    let known = a.constant().is_some() && b.constant().is_some();
    if !one_type || known {
        let product = binary(cx, BinaryOp::Mul, &a, &b)?;
        let sum = binary(cx, BinaryOp::Add, &product, &c)?;
        cx.set(0, sum);
        return Ok(());
    }
    let shape = broadcast(&broadcast(a.shape(), b.shape())?, c.shape())?;
    let [x, y, z] = values.map(|value| Placed::of(cx, value));
    let rounding = rounding(&values, a.dtype());
    let launch = || {
        let operands = [x.operand(&a), y.operand(&b), z.operand(&c)];
        kernel::mul_add(operands, &shape, rounding)
    };
    let out = cx.launch(launch, &[&x.value, &y.value, &z.value], &shape, a.dtype())?;
    cx.set(0, out.noted(rounding.output));
    Ok(())
}

/// Since opset 12 the exponent may have a type of its own; the result has the base's.
fn pow(cx: &mut Cx<'_>) -> Result<()> {
    let (base, exponent) = operands(cx)?;
    let dtype = base.dtype();
    let wide = if dtype == exponent.dtype() || !(dtype.is_float() || exponent.dtype().is_float()) {
        dtype
    } else {
        DType::F32
    };
    let base = cast_value(cx, &base, wide)?;
    let exponent = cast_value(cx, &exponent, wide)?;
    // Squares are common (norms, activations) and `pow` of a negative base is undefined in WGSL.
    let squares = exponent
        .constant()
        .is_some_and(|e| e.len() == 1 && e.to_f32_vec() == [2.0] && e.shape().len() <= base.rank());
    let out = if squares && base.constant().is_none() && wide.is_float() {
        binary(cx, BinaryOp::Mul, &base, &base)?
    } else {
        binary(cx, BinaryOp::Pow, &base, &exponent)?
    };
    let out = cast_value(cx, &out, dtype)?;
    cx.set(0, out);
    Ok(())
}

fn modulo(cx: &mut Cx<'_>) -> Result<()> {
    let op = if cx.attributes.flag("fmod", false)? {
        BinaryOp::Fmod
    } else {
        BinaryOp::Mod
    };
    binary_node(cx, op)
}

fn variadic(cx: &mut Cx<'_>, op: BinaryOp) -> Result<()> {
    let out = combine(cx, op)?;
    cx.set(0, out);
    Ok(())
}

fn combine(cx: &mut Cx<'_>, op: BinaryOp) -> Result<Value> {
    let mut out = cx.input(0)?;
    for index in 1..cx.arity() {
        let next = cx.input(index)?;
        out = binary(cx, op, &out, &next)?;
    }
    Ok(out)
}

fn mean(cx: &mut Cx<'_>) -> Result<()> {
    let sum = combine(cx, BinaryOp::Add)?;
    let count = crate::Tensor::f32([], vec![cx.arity() as f32])?.cast(sum.dtype());
    let out = binary(cx, BinaryOp::Div, &sum, &Value::Const(count))?;
    cx.set(0, out);
    Ok(())
}

fn select(cx: &mut Cx<'_>) -> Result<()> {
    let (cond, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let out = select_values(cx, &cond, &x, &y)?;
    cx.set(0, out);
    Ok(())
}

/// `x` where the condition holds, else `y`, with broadcasting.
pub(super) fn select_values(cx: &mut Cx<'_>, cond: &Value, x: &Value, y: &Value) -> Result<Value> {
    if x.dtype() != y.dtype() || cond.dtype() != DType::Bool {
        return Err(invalid_model(format!(
            "the condition is {}, the branches are {} and {}",
            cond.dtype(),
            x.dtype(),
            y.dtype()
        )));
    }
    let shape = broadcast(cond.shape(), &broadcast(x.shape(), y.shape())?)?;
    match (cond.constant(), x.constant(), y.constant()) {
        (Some(c), Some(a), Some(b)) if crate::tensor::elements(&shape)? <= MAX_FOLDED => {
            Ok(Value::Const(eval::select(c, a, b, &shape)?))
        }
        _ => {
            let out = cx.launch(
                || kernel::select(cond.shape(), x.shape(), y.shape(), &shape),
                &[cond, x, y],
                &shape,
                x.dtype(),
            )?;
            Ok(out.noted(x.is_half() && y.is_half()))
        }
    }
}

fn cast(cx: &mut Cx<'_>) -> Result<()> {
    cx.attributes.ignore(&["saturate", "round_mode"]);
    let to = DType::from_onnx(cx.attributes.int("to", 0)?)?;
    let x = cx.input(0)?;
    let out = cast_value(cx, &x, to)?;
    cx.set(0, out);
    Ok(())
}

fn cast_like(cx: &mut Cx<'_>) -> Result<()> {
    cx.attributes.ignore(&["saturate", "round_mode"]);
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let out = cast_value(cx, &x, like.dtype())?;
    cx.set(0, out);
    Ok(())
}

/// The same words under another element type that the device holds alike.
pub(super) fn named(x: &Value, to: DType) -> Value {
    match x {
        Value::Device(device) => Value::Device(crate::program::Device {
            dtype: to,
            ..device.clone()
        }),
        Value::Const(tensor) => Value::Const(tensor.cast(to)),
    }
}

/// 32-bit integers to the 8 bits that `to` keeps, as two's complement does.
fn wrapped(cx: &mut Cx<'_>, x: Value, to: DType) -> Result<Value> {
    let low = unary(
        cx,
        UnaryOp::Low8 {
            signed: to == DType::I8,
        },
        &named(&x, DType::I32),
    )?;
    Ok(named(&low, to))
}

/// Whether 16-bit floats hold every number of a type.
fn is_exact_in_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::U8 | DType::I8 | DType::Bool)
}

/// Converts elements; between types that the device holds alike this is a change of name, unless there is to be rounded.
pub(super) fn cast_value(cx: &mut Cx<'_>, x: &Value, to: DType) -> Result<Value> {
    if x.dtype() == to {
        return Ok(x.clone());
    }
    match x {
        Value::Const(tensor) => Ok(Value::Const(tensor.cast(to))),
        Value::Device(device) => {
            if to == DType::BF16 {
                let wide = cast_value(cx, x, DType::F32)?;
                let near = unary(cx, UnaryOp::BFloat16, &wide)?;
                return Ok(named(&near, to));
            }
            let (from, into) = (elem(device.dtype), elem(to));
            if to == DType::I8 || (to == DType::U8 && device.dtype != DType::Bool) {
                let wide = cast_value(cx, x, DType::I32)?;
                return wrapped(cx, wide, to);
            }
            let narrowed = to == DType::F16 && !device.half && !is_exact_in_half(device.dtype);
            let same = from == into
                || (from == Elem::Bool && into == Elem::U32)
                || (from == Elem::U32 && into == Elem::I32);
            if same && !x.unrounded() && !narrowed {
                return Ok(named(x, to));
            }
            let rounding = Rounding {
                inputs: x.unrounded(),
                output: narrowed,
            };
            let placed = Placed::of(cx, x);
            let half = rounding.inputs || to == DType::F16;
            let out = if same {
                let launch =
                    || kernel::unary_of(UnaryOp::Identity, from, placed.operand(x), rounding);
                cx.launch(launch, &[&placed.value], x.shape(), to)?
            } else {
                let launch = || kernel::cast(from, into, x.elements(), rounding);
                cx.launch(launch, &[x], x.shape(), to)?
            };
            Ok(out.noted(half && to.is_float()))
        }
    }
}

fn clip(cx: &mut Cx<'_>) -> Result<()> {
    let x = cx.input(0)?;
    let (lo, hi) = if cx.opset() < 11 {
        (
            cx.attributes.opt_float("min")?.copied(),
            cx.attributes.opt_float("max")?.copied(),
        )
    } else {
        let known = |index| match cx.optional(index) {
            Some(Value::Device(_)) => None,
            Some(Value::Const(t)) => Some(t.to_f32_vec().first().copied()),
            None => Some(None),
        };
        match (known(1), known(2)) {
            (Some(lo), Some(hi)) if x.dtype().is_float() => (lo, hi),
            _ => return clip_by_values(cx, x),
        }
    };
    let [lowest, highest] = ends(x.dtype());
    let (lo, hi) = (lo.unwrap_or(lowest), hi.unwrap_or(highest));
    // Between bounds in the wrong order, the upper one counts.
    let out = if x.constant().is_some() || lo > hi {
        let mut out = x;
        for (bound, op) in [(lo, BinaryOp::Max), (hi, BinaryOp::Min)] {
            let bound = crate::Tensor::f32([], vec![bound])?.cast(out.dtype());
            out = binary(cx, op, &out, &Value::Const(bound))?;
        }
        out
    } else {
        unary(cx, UnaryOp::Clip { min: lo, max: hi }, &x)?
    };
    cx.set(0, out);
    Ok(())
}

/// The bounds of a `Clip` without any: the lowest and the highest finite number of a float type.
fn ends(dtype: DType) -> [f32; 2] {
    let highest = if dtype == DType::F16 {
        half::f16::MAX.to_f32()
    } else {
        f32::MAX
    };
    [-highest, highest]
}

/// `min(max(x, lo), hi)` for integers and for bounds computed by the run.
fn clip_by_values(cx: &mut Cx<'_>, x: Value) -> Result<()> {
    let mut out = x;
    let [lowest, highest] = ends(out.dtype());
    for (index, op, end) in [(1, BinaryOp::Max, lowest), (2, BinaryOp::Min, highest)] {
        let bound = match cx.optional(index) {
            Some(bound) => bound,
            None if out.dtype().is_float() => {
                Value::Const(crate::Tensor::f32([], vec![end])?.cast(out.dtype()))
            }
            None => continue,
        };
        out = binary(cx, op, &out, &bound)?;
    }
    cx.set(0, out);
    Ok(())
}
