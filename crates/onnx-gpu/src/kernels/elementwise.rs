//! Elementwise operators: unary, broadcast binary, select, cast.
//!
//! Every shader computes `vec4`s. Where all inputs are dense or single elements they are read as `vec4`s too,
//! otherwise through stride tables.

mod ops;

use super::{
    Elem, Launch, MAX_RANK, broadcast_strides, coalesce, cover, elements, math, pad16, render,
    row_major, signed, table, unravel, word,
};
use crate::{Error, ErrorKind, Result};

/// Functions of one value. On `I32` only the integer ones are accepted, on `Bool` only `Not`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "named after the ONNX operators")]
pub enum UnaryOp {
    Identity,
    Neg,
    Abs,
    Sign,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Tanh,
    Sigmoid,
    Relu,
    LeakyRelu(f32),
    ThresholdedRelu(f32),
    Elu(f32),
    Celu(f32),
    Selu {
        alpha: f32,
        gamma: f32,
    },
    Gelu,
    GeluTanh,
    QuickGelu(f32),
    Silu,
    Mish,
    Erf,
    Floor,
    Ceil,
    /// Half to even.
    Round,
    Softplus,
    Softsign,
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    Clip {
        min: f32,
        max: f32,
    },
    ClipInt {
        min: i32,
        max: i32,
    },
    /// On `I32`: the low 8 bits, extended by their sign if `signed`.
    Low8 {
        signed: bool,
    },
    /// To the nearest number whose lower 16 bits are 0, half to even.
    BFloat16,
    /// `Bool` in, `Bool` out.
    Not,
    /// `F32` in, `Bool` out.
    IsNan,
    /// `F32` in, `Bool` out.
    IsInf {
        negative: bool,
        positive: bool,
    },
    /// `scale * x + shift`.
    Affine {
        scale: f32,
        shift: f32,
    },
}

/// Functions of two values with ONNX broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the ONNX operators")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    /// Sign of the divisor (`Mod` with `fmod = 0`).
    Mod,
    /// Sign of the dividend (`Mod` with `fmod = 1`).
    Fmod,
    Prelu,
    /// Comparisons give `Bool`.
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// On `Bool`.
    And,
    Or,
    Xor,
}

/// `i32` power by squaring; negative exponents give what integer division of 1 gives.
const INTEGER_POW: &str = "
fn powi(base: i32, exponent: i32) -> i32 {
    if (exponent < 0) {
        if (base == 1) { return 1; }
        if (base == -1) { return select(1, -1, (exponent & 1) == 1); }
        return 0;
    }
    var result = 1;
    var factor = base;
    for (var left = exponent; left > 0; left = left >> 1u) {
        if ((left & 1) == 1) { result *= factor; }
        factor *= factor;
    }
    return result;
}
fn powi4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    return vec4<i32>(powi(a.x, b.x), powi(a.y, b.y), powi(a.z, b.z), powi(a.w, b.w));
}
";

fn unsupported(what: &str, elem: Elem) -> Error {
    Error::new(
        ErrorKind::UnsupportedOp,
        format!("{what} on {elem:?} elements"),
    )
}

/// An input: its shape and, unless it lies row by row, its first element and the step per axis.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Dimensions, broadcast to the output's.
    pub shape: &'a [usize],
    /// Where the elements are.
    pub steps: Option<(usize, &'a [i64])>,
}

/// Which numbers are rounded to what 16 bits hold, as IEEE 754 has it: half to even, to infinity from 65520 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounding {
    /// The `f32` inputs, when they are read.
    pub inputs: bool,
    /// The `f32` results.
    pub output: bool,
}

impl<'a> From<&'a [usize]> for Operand<'a> {
    fn from(shape: &'a [usize]) -> Self {
        Self { shape, steps: None }
    }
}

impl Operand<'_> {
    fn strides(&self, out: &[usize]) -> Result<Vec<i64>> {
        let mut strides = broadcast_strides(self.shape, out)?;
        if let Some((_, steps)) = self.steps {
            let lead = out.len() - self.shape.len();
            for ((stride, &step), &dim) in strides[lead..].iter_mut().zip(steps).zip(self.shape) {
                *stride = if dim == 1 { 0 } else { step };
            }
        }
        Ok(strides)
    }
}

/// One input of `len` elements of `elem`, one output.
pub fn unary(op: UnaryOp, elem: Elem, len: usize) -> Result<Launch> {
    unary_of(op, elem, (&[len][..]).into(), Rounding::default())
}

/// [`unary`] of an input that need not lie row by row.
pub fn unary_of(op: UnaryOp, elem: Elem, x: Operand<'_>, rounding: Rounding) -> Result<Launch> {
    let spec = op.spec();
    let (text, scalar) = match elem {
        Elem::F32 => (spec.float, "f32"),
        Elem::I32 => (spec.int, "i32"),
        Elem::U32 if matches!(op, UnaryOp::Identity | UnaryOp::Abs) => ("x", "u32"),
        Elem::Bool => (spec.truth, "u32"),
        Elem::U32 => ("", "u32"),
    };
    if text.is_empty() {
        return Err(unsupported(spec.name, elem));
    }
    let to = if spec.yields_bool { "u32" } else { scalar };
    let function = format!(
        "{}\nfn apply(x: vec4<{scalar}>) -> vec4<{to}> {{\n    let p = bitcast<vec2<{scalar}>>(params.op.xy);\n    return {text};\n}}\n",
        math::helpers(text)
    );
    let [p, q] = spec.params;
    Map {
        label: "unary",
        name: format!("{}-{elem:?}", spec.name),
        function,
        inputs: &[("x", scalar, x)],
        to,
        op: [p, q, 0, 0],
        rounding,
    }
    .launch(x.shape)
}

/// Inputs A, B of `elem`; the output has the broadcast shape `out`.
pub fn binary(op: BinaryOp, elem: Elem, a: &[usize], b: &[usize], out: &[usize]) -> Result<Launch> {
    binary_of(op, elem, [a.into(), b.into()], out, Rounding::default())
}

/// [`binary`] of inputs that need not lie row by row.
pub fn binary_of(
    op: BinaryOp,
    elem: Elem,
    [a, b]: [Operand<'_>; 2],
    out: &[usize],
    rounding: Rounding,
) -> Result<Launch> {
    let spec = op.spec();
    let is_logic = matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor);
    let text = match elem {
        Elem::F32 => spec.float,
        Elem::I32 => spec.int,
        Elem::U32 if !is_logic => spec.unsigned,
        Elem::Bool if is_logic || op == BinaryOp::Equal => spec.unsigned,
        Elem::U32 | Elem::Bool => "",
    };
    if text.is_empty() {
        return Err(unsupported(spec.name, elem));
    }
    let scalar = elem.wgsl();
    let to = if spec.yields_bool { "u32" } else { scalar };
    let value = if spec.yields_bool {
        format!("select(vec4<u32>(0u), vec4<u32>(1u), {text})")
    } else {
        text.to_owned()
    };
    let integer = if text.contains("powi4(") {
        INTEGER_POW
    } else {
        ""
    };
    Map {
        label: "binary",
        name: format!("{}-{elem:?}", spec.name),
        function: format!(
            "{}{integer}\nfn apply(a: vec4<{scalar}>, b: vec4<{scalar}>) -> vec4<{to}> {{\n    return {value};\n}}\n",
            math::helpers(text)
        ),
        inputs: &[("a", scalar, a), ("b", scalar, b)],
        to,
        op: [0; 4],
        rounding,
    }
    .launch(out)
}

/// `a · b + c` of floats, broadcast to `out`. Where the output is rounded, so is the product.
pub fn mul_add([a, b, c]: [Operand<'_>; 3], out: &[usize], rounding: Rounding) -> Result<Launch> {
    let sum = if rounding.output {
        "half4(a * b) + c"
    } else {
        "a * b + c"
    };
    Map {
        label: "mul_add",
        name: "f32".to_owned(),
        function: format!(
            "fn apply(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {{\n    return {sum};\n}}\n"
        ),
        inputs: &[("a", "f32", a), ("b", "f32", b), ("c", "f32", c)],
        to: "f32",
        op: [0; 4],
        rounding,
    }
    .launch(out)
}

/// ONNX `Where`: inputs condition (`Bool`), X, Y (any 32-bit element), broadcast to `out`.
pub fn select(cond: &[usize], x: &[usize], y: &[usize], out: &[usize]) -> Result<Launch> {
    Map {
        label: "select",
        name: "where".to_owned(),
        function: "fn apply(c: vec4<u32>, x: vec4<u32>, y: vec4<u32>) -> vec4<u32> {\n    return select(y, x, c != vec4<u32>(0u));\n}\n".to_owned(),
        inputs: &[
            ("c", "u32", cond.into()),
            ("x", "u32", x.into()),
            ("y", "u32", y.into()),
        ],
        to: "u32",
        op: [0; 4],
        rounding: Rounding::default(),
    }
    .launch(out)
}

/// One input of `len` elements of `from`, one output of `to`.
///
/// Floats truncate towards zero; what does not fit 32 bits, and NaN, gives the lowest integer, as ONNX Runtime does on x86. To
/// `Bool` every value but zero is 1.
pub fn cast(from: Elem, to: Elem, len: usize, rounding: Rounding) -> Result<Launch> {
    let text = match to {
        Elem::Bool if from == Elem::F32 => "select(vec4<u32>(0u), vec4<u32>(1u), \
            (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) != vec4<u32>(0u))"
            .to_owned(),
        Elem::I32 if from == Elem::F32 => "select(vec4<i32>(x), vec4<i32>(-2147483647 - 1), \
            (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x4f000000u))"
            .to_owned(),
        Elem::Bool => format!(
            "select(vec4<u32>(0u), vec4<u32>(1u), x != vec4<{}>(0))",
            from.wgsl()
        ),
        _ => format!("vec4<{}>(x)", to.wgsl()),
    };
    Map {
        label: "cast",
        name: format!("{from:?}-{to:?}"),
        function: format!(
            "fn apply(x: vec4<{}>) -> vec4<{}> {{\n    return {text};\n}}\n",
            from.wgsl(),
            to.wgsl()
        ),
        inputs: &[("x", from.wgsl(), (&[len][..]).into())],
        to: to.wgsl(),
        op: [0; 4],
        rounding,
    }
    .launch(&[len])
}

/// A function `apply` of one to three broadcast inputs.
struct Map<'a> {
    label: &'static str,
    name: String,
    function: String,
    /// Name, WGSL scalar and place.
    inputs: &'a [(&'a str, &'a str, Operand<'a>)],
    to: &'a str,
    op: [u32; 4],
    rounding: Rounding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Dense or single elements, read as `vec4`s.
    Flat,
    /// The innermost axis is a multiple of 4: one address computation for four elements.
    Runs,
    /// An address per element.
    Elements,
}

impl Map<'_> {
    fn launch(mut self, out: &[usize]) -> Result<Launch> {
        // Only floats are rounded.
        self.rounding.output &= self.to == "f32";
        self.rounding.inputs &= self.inputs.iter().any(|(_, scalar, _)| *scalar == "f32");
        let len = elements(out)?;
        let mut strides = Vec::new();
        for (_, _, operand) in self.inputs {
            strides.push(operand.strides(out)?);
        }
        let flat = strides.iter().zip(self.inputs).all(|(s, (_, _, operand))| {
            operand.steps.is_none()
                && (elements(operand.shape).is_ok_and(|n| n == 1) || *s == dense(out))
        });
        let (dims, strides) = coalesce(out, &strides);
        let access = if flat {
            Access::Flat
        } else if dims.last().is_some_and(|d| d % 4 == 0) {
            Access::Runs
        } else {
            Access::Elements
        };
        let mut params = Vec::new();
        let mut scalar = [0u32; 4];
        if access == Access::Flat {
            params.resize(MAX_RANK * 4, 0);
            for (flag, (_, _, operand)) in scalar.iter_mut().zip(self.inputs) {
                *flag = u32::from(elements(operand.shape)? == 1);
            }
        } else {
            for (start, (_, _, operand)) in scalar.iter_mut().zip(self.inputs) {
                *start = word(operand.steps.map_or(0, |(offset, _)| offset))?;
            }
            let dims: Vec<u32> = dims.iter().map(|&d| word(d)).collect::<Result<_>>()?;
            params.extend(table(&dims, 1)?);
            for operand in 0..3 {
                let words: Vec<u32> = match strides.get(operand) {
                    Some(list) => list.iter().map(|&s| signed(s)).collect::<Result<_>>()?,
                    None => Vec::new(),
                };
                params.extend(table(&words, 0)?);
            }
        }
        params.extend(scalar);
        params.extend(self.op);
        params.extend([word(len)?, word(dims.len().max(1))?]);
        let mode = match access {
            Access::Flat => "flat",
            Access::Runs => "runs",
            Access::Elements => "elements",
        };
        Ok(Launch {
            label: self.label,
            key: format!("{}-{}-{mode}{}", self.label, self.name, self.rounding.key()),
            wgsl: self.shader(access),
            params: pad16(params),
            workgroups: cover(len.div_ceil(4))?,
            turns: 0,
            bindings: self.inputs.len() + 1,
            flops: 0,
        })
    }

    fn shader(&self, access: Access) -> std::borrow::Cow<'static, str> {
        let mut bindings = String::new();
        let mut loads = String::new();
        let mut names = Vec::new();
        for (i, (name, scalar, _)) in self.inputs.iter().enumerate() {
            let item = if access == Access::Flat {
                format!("vec4<{scalar}>")
            } else {
                (*scalar).to_owned()
            };
            bindings += &format!(
                "@group(0) @binding({}) var<storage, read> in_{name}: array<{item}>;\n",
                i + 1
            );
            let component = ["x", "y", "z"][i.min(2)];
            loads += &match access {
                Access::Flat => format!(
                    "    let {name}0 = in_{name}[select(i, 0u, params.scalar.{component} != 0u)];\n    let {name} = select({name}0, vec4<{scalar}>({name}0.x), params.scalar.{component} != 0u);\n"
                ),
                Access::Runs => format!(
                    "    let {name}_step = params.strides[{}].w;\n    let {name} = vec4<{scalar}>(in_{name}[o0.{component}], in_{name}[o0.{component} + {name}_step], in_{name}[o0.{component} + 2u * {name}_step], in_{name}[o0.{component} + 3u * {name}_step]);\n",
                    2 * i + 1
                ),
                Access::Elements => format!(
                    "    let {name} = vec4<{scalar}>(in_{name}[o0.{component}], in_{name}[o1.{component}], in_{name}[o2.{component}], in_{name}[o3.{component}]);\n"
                ),
            };
            names.push(self.rounding.of_input(name, scalar));
        }
        bindings += &format!(
            "@group(0) @binding({}) var<storage, read_write> out: array<vec4<{}>>;\n",
            self.inputs.len() + 1,
            self.to
        );
        let function = self.rounding.helper() + &self.function;
        let call = self
            .rounding
            .of_output(&format!("apply({})", names.join(", ")));
        let offsets = match access {
            Access::Flat => "",
            Access::Runs => "    let o0 = offsets(i * 4u);\n",
            Access::Elements => {
                "    let o0 = offsets(i * 4u);\n    let o1 = offsets(i * 4u + 1u);\n    let o2 = offsets(i * 4u + 2u);\n    let o3 = offsets(i * 4u + 3u);\n"
            }
        };
        let template = if access == Access::Flat {
            include_str!("elementwise/flat.wgsl")
        } else {
            include_str!("elementwise/strided.wgsl")
        };
        let tables = [("strides", 0), ("strides", 2), ("strides", 4)];
        let steps = unravel("steps", "dims", "rank", &tables);
        render(
            template,
            &[
                ("bindings", &bindings),
                ("function", &function),
                ("steps", &steps),
                ("offsets", offsets),
                ("loads", &loads),
                ("call", &call),
            ],
        )
    }
}

impl Rounding {
    fn key(self) -> &'static str {
        match (self.inputs, self.output) {
            (false, false) => "",
            (true, false) => "-in16",
            (false, true) => "-out16",
            (true, true) => "-16",
        }
    }

    fn helper(self) -> String {
        if self == Self::default() {
            String::new()
        } else {
            math::helpers("half4(")
        }
    }

    fn of_input(self, name: &str, scalar: &str) -> String {
        if self.inputs && scalar == "f32" {
            format!("half4({name})")
        } else {
            name.to_owned()
        }
    }

    fn of_output(self, call: &str) -> String {
        if self.output {
            format!("half4({call})")
        } else {
            call.to_owned()
        }
    }
}

/// Row-major strides with 0 on axes of length 1, as `broadcast_strides` writes them.
fn dense(shape: &[usize]) -> Vec<i64> {
    row_major(shape)
        .into_iter()
        .zip(shape)
        .map(|(stride, &dim)| if dim == 1 { 0 } else { stride })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(a: &[usize], b: &[usize], out: &[usize]) -> String {
        let key = binary(BinaryOp::Add, Elem::F32, a, b, out).unwrap().key;
        key.rsplit('-').next().unwrap().to_owned()
    }

    #[test]
    fn access_follows_the_layout() {
        assert_eq!(mode(&[2, 3], &[2, 3], &[2, 3]), "flat");
        assert_eq!(mode(&[2, 3], &[1], &[2, 3]), "flat");
        assert_eq!(mode(&[2, 3, 4], &[3, 1], &[2, 3, 4]), "runs");
        assert_eq!(mode(&[2, 3], &[3], &[2, 3]), "elements");
        assert_eq!(mode(&[], &[], &[]), "flat");
    }

    #[test]
    fn shapes_stay_out_of_the_key() {
        let small = unary(UnaryOp::Clip { min: 0.0, max: 1.0 }, Elem::F32, 3).unwrap();
        let large = unary(
            UnaryOp::Clip {
                min: -1.0,
                max: 6.0,
            },
            Elem::F32,
            999,
        )
        .unwrap();
        assert_eq!(small.key, large.key);
        assert_eq!(small.wgsl, large.wgsl);
        assert_ne!(small.params, large.params);
    }

    #[test]
    fn operators_without_a_meaning_are_refused() {
        for (op, elem) in [
            (UnaryOp::Exp, Elem::I32),
            (UnaryOp::Not, Elem::F32),
            (UnaryOp::Neg, Elem::Bool),
        ] {
            assert_eq!(
                unary(op, elem, 4).unwrap_err().kind(),
                ErrorKind::UnsupportedOp
            );
        }
        assert!(binary(BinaryOp::And, Elem::F32, &[1], &[1], &[1]).is_err());
        assert!(binary(BinaryOp::Add, Elem::Bool, &[1], &[1], &[1]).is_err());
    }
}
