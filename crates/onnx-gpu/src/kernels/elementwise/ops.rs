//! The functions themselves: expressions on `vec4`s named `x`, or `a` and `b`, parameters in `p`.

use super::{BinaryOp, UnaryOp};

/// How a unary operator is written. Empty texts mean that the element type has no such operator.
pub(in crate::kernels) struct UnarySpec {
    pub(in crate::kernels) name: &'static str,
    /// On `vec4<f32>`, `p: vec2<f32>`.
    pub(in crate::kernels) float: &'static str,
    /// On `vec4<i32>`, `p: vec2<i32>`.
    pub(in crate::kernels) int: &'static str,
    /// On `vec4<u32>` of 0 and 1.
    pub(in crate::kernels) truth: &'static str,
    /// Whether the float form yields `vec4<u32>`.
    pub(in crate::kernels) yields_bool: bool,
    /// Words read as `p`.
    pub(in crate::kernels) params: [u32; 2],
}

const fn float(name: &'static str, float: &'static str) -> UnarySpec {
    UnarySpec {
        name,
        float,
        int: "",
        truth: "",
        yields_bool: false,
        params: [0; 2],
    }
}

fn with(mut spec: UnarySpec, a: f32, b: f32) -> UnarySpec {
    spec.params = [a.to_bits(), b.to_bits()];
    spec
}

const fn both(name: &'static str, text: &'static str, int: &'static str) -> UnarySpec {
    let mut spec = float(name, text);
    spec.int = int;
    spec
}

const ZERO_ONE: &str = "x * clamp(x / 6.0 + 0.5, vec4<f32>(0.0), vec4<f32>(1.0))";
const GELU_TANH: &str = "0.5 * x * (1.0 + tanh4(0.7978845608 * x * (1.0 + 0.044715 * x * x)))";
const IS_INF: &str = "select(vec4<u32>(0u), vec4<u32>(1u), \
    ((bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u)) & vec4<bool>(p.y > 0.5)) \
    | ((bitcast<vec4<u32>>(x) == vec4<u32>(0xff800000u)) & vec4<bool>(p.x > 0.5)))";
const IS_NAN: &str = "select(vec4<u32>(0u), vec4<u32>(1u), \
    (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u))";

impl UnaryOp {
    pub(in crate::kernels) fn spec(self) -> UnarySpec {
        match self {
            Self::Identity => UnarySpec {
                truth: "x",
                ..both("identity", "x", "x")
            },
            Self::Neg => both("neg", "-x", "-x"),
            Self::Abs => both("abs", "abs(x)", "abs(x)"),
            Self::Sign => both("sign", "select(sign(x), x, nan4(x))", "sign(x)"),
            Self::Exp => float("exp", "exp(x)"),
            Self::Log => float("log", "log(x)"),
            Self::Sqrt => float("sqrt", "sqrt(x)"),
            Self::Reciprocal => float("reciprocal", "1.0 / x"),
            Self::Sin => float("sin", "sin4(x, 0)"),
            Self::Cos => float("cos", "sin4(x, 1)"),
            Self::Tan => float("tan", "sin4(x, 0) / sin4(x, 1)"),
            Self::Asin => float("asin", "arcsine4(x)"),
            Self::Acos => float("acos", "arccosine4(x)"),
            Self::Atan => float("atan", "arctangent4(x)"),
            Self::Sinh => float("sinh", "hyperbolic4(x, true)"),
            Self::Cosh => float("cosh", "hyperbolic4(x, false)"),
            Self::Asinh => float("asinh", "inverse4(x, true)"),
            Self::Acosh => float("acosh", "inverse4(x, false)"),
            Self::Atanh => float("atanh", "0.5 * log1p4(2.0 * x / (1.0 - x))"),
            Self::Tanh => float("tanh", "tanh4(x)"),
            Self::Sigmoid => float("sigmoid", "sigmoid4(x)"),
            Self::Relu => both(
                "relu",
                "select(x, vec4<f32>(0.0), x < vec4<f32>(0.0))",
                "max(x, vec4<i32>(0))",
            ),
            Self::LeakyRelu(a) => with(
                float("leaky_relu", "select(x, p.x * x, x < vec4<f32>(0.0))"),
                a,
                0.0,
            ),
            Self::ThresholdedRelu(a) => with(
                float(
                    "thresholded_relu",
                    "select(vec4<f32>(0.0), x, x > vec4<f32>(p.x))",
                ),
                a,
                0.0,
            ),
            Self::Elu(a) => with(
                float(
                    "elu",
                    "select(x, p.x * expm14(min(x, vec4<f32>(0.0))), x < vec4<f32>(0.0))",
                ),
                a,
                0.0,
            ),
            Self::Celu(a) => with(
                float(
                    "celu",
                    "select(x, p.x * expm14(min(x, vec4<f32>(0.0)) / p.x), x < vec4<f32>(0.0))",
                ),
                a,
                0.0,
            ),
            Self::Selu { alpha, gamma } => with(
                float(
                    "selu",
                    "p.y * select(x, p.x * expm14(min(x, vec4<f32>(0.0))), x < vec4<f32>(0.0))",
                ),
                alpha,
                gamma,
            ),
            Self::Gelu => float("gelu", "0.5 * x * (1.0 + erf4(0.70710678118 * x))"),
            Self::GeluTanh => float("gelu_tanh", GELU_TANH),
            Self::QuickGelu(a) => with(float("quick_gelu", "x * sigmoid4(p.x * x)"), a, 0.0),
            Self::Silu => float("silu", "x * sigmoid4(x)"),
            Self::Mish => float("mish", "x * tanh4(softplus4(x))"),
            Self::Erf => float("erf", "erf4(x)"),
            Self::Floor => float("floor", "floor(x)"),
            Self::Ceil => float("ceil", "ceil(x)"),
            Self::Round => float("round", "round(x)"),
            Self::Softplus => float("softplus", "softplus4(x)"),
            Self::Softsign => float("softsign", "x / (1.0 + abs(x))"),
            Self::HardSigmoid { alpha, beta } => with(
                float(
                    "hard_sigmoid",
                    "select(clamp(p.x * x + p.y, vec4<f32>(0.0), vec4<f32>(1.0)), x, nan4(x))",
                ),
                alpha,
                beta,
            ),
            Self::HardSwish => float("hard_swish", ZERO_ONE),
            Self::Clip { min, max } => with(
                float(
                    "clip",
                    "select(min(max(x, vec4<f32>(p.x)), vec4<f32>(p.y)), x, nan4(x))",
                ),
                min,
                max,
            ),
            Self::ClipInt { min, max } => UnarySpec {
                params: [min.cast_unsigned(), max.cast_unsigned()],
                ..both("clip", "", "min(max(x, vec4<i32>(p.x)), vec4<i32>(p.y))")
            },
            Self::Low8 { signed: true } => {
                both("low8_signed", "", "(x << vec4<u32>(24u)) >> vec4<u32>(24u)")
            }
            Self::Low8 { signed: false } => both("low8", "", "x & vec4<i32>(255)"),
            Self::BFloat16 => float("bfloat16", "brain4(x)"),
            Self::Not => UnarySpec {
                truth: "vec4<u32>(1u) - x",
                ..float("not", "")
            },
            Self::IsNan => UnarySpec {
                yields_bool: true,
                ..float("is_nan", IS_NAN)
            },
            Self::IsInf { negative, positive } => UnarySpec {
                yields_bool: true,
                ..with(
                    float("is_inf", IS_INF),
                    f32::from(u8::from(negative)),
                    f32::from(u8::from(positive)),
                )
            },
            Self::Affine { scale, shift } => with(float("affine", "p.x * x + p.y"), scale, shift),
        }
    }
}

/// How a binary operator is written.
pub(super) struct BinarySpec {
    pub(super) name: &'static str,
    pub(super) float: &'static str,
    pub(super) int: &'static str,
    /// On `vec4<u32>`: numbers for `U32`, truth values for `Bool`.
    pub(super) unsigned: &'static str,
    pub(super) yields_bool: bool,
}

const fn arithmetic(name: &'static str, text: &'static str) -> BinarySpec {
    BinarySpec {
        name,
        float: text,
        int: text,
        unsigned: text,
        yields_bool: false,
    }
}

const fn comparison(name: &'static str, text: &'static str) -> BinarySpec {
    BinarySpec {
        yields_bool: true,
        ..arithmetic(name, text)
    }
}

const fn logic(name: &'static str, text: &'static str) -> BinarySpec {
    BinarySpec {
        name,
        float: "",
        int: "",
        unsigned: text,
        yields_bool: true,
    }
}

impl BinaryOp {
    pub(super) fn spec(self) -> BinarySpec {
        match self {
            Self::Add => arithmetic("add", "a + b"),
            Self::Sub => arithmetic("sub", "a - b"),
            Self::Mul => arithmetic("mul", "a * b"),
            Self::Div => arithmetic("div", "a / b"),
            Self::Pow => BinarySpec {
                name: "pow",
                float: "pow4(a, b)",
                int: "powi4(a, b)",
                unsigned: "",
                yields_bool: false,
            },
            Self::Min => BinarySpec {
                float: "select(b, a, (a < b) | nan4(a))",
                ..arithmetic("min", "min(a, b)")
            },
            Self::Max => BinarySpec {
                float: "select(b, a, (a > b) | nan4(a))",
                ..arithmetic("max", "max(a, b)")
            },
            Self::Mod => BinarySpec {
                float: "floored4(a, b)",
                int: "a % b + select(vec4<i32>(0), b, (a % b != vec4<i32>(0)) & (((a % b) ^ b) < vec4<i32>(0)))",
                ..arithmetic("mod", "a % b")
            },
            Self::Fmod => BinarySpec {
                float: "fmod4(a, b)",
                ..arithmetic("fmod", "a % b")
            },
            Self::Prelu => BinarySpec {
                int: "select(a, a * b, a < vec4<i32>(0))",
                unsigned: "a",
                ..arithmetic("prelu", "select(a, a * b, a < vec4<f32>(0.0))")
            },
            Self::Equal => comparison("equal", "a == b"),
            Self::Less => comparison("less", "a < b"),
            Self::LessOrEqual => comparison("less_or_equal", "a <= b"),
            Self::Greater => comparison("greater", "a > b"),
            Self::GreaterOrEqual => comparison("greater_or_equal", "a >= b"),
            Self::And => logic("and", "(a & b) != vec4<u32>(0u)"),
            Self::Or => logic("or", "(a | b) != vec4<u32>(0u)"),
            Self::Xor => logic("xor", "a != b"),
        }
    }
}
