//! What is computed per element.

use onnx_gpu::kernels::elementwise::{
    BinaryOp, Operand, Rounding, UnaryOp, binary, binary_of, cast, mul_add, select, unary, unary_of,
};
use onnx_gpu::kernels::{Elem, Launch};

fn unary_ops() -> Vec<UnaryOp> {
    use UnaryOp::*;
    vec![
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
        LeakyRelu(0.1),
        ThresholdedRelu(1.0),
        Elu(1.0),
        Celu(1.0),
        Selu {
            alpha: 1.0,
            gamma: 1.0,
        },
        Gelu,
        GeluTanh,
        QuickGelu(1.7),
        Silu,
        Mish,
        Erf,
        Floor,
        Ceil,
        Round,
        Softplus,
        Softsign,
        HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        HardSwish,
        Clip { min: 0.0, max: 1.0 },
        ClipInt { min: 0, max: 1 },
        Low8 { signed: true },
        Low8 { signed: false },
        BFloat16,
        Not,
        IsNan,
        IsInf {
            negative: true,
            positive: true,
        },
        Affine {
            scale: 1.0,
            shift: 0.0,
        },
    ]
}

fn binary_ops() -> Vec<BinaryOp> {
    use BinaryOp::*;
    vec![
        Add,
        Sub,
        Mul,
        Div,
        Pow,
        Min,
        Max,
        Mod,
        Fmod,
        Prelu,
        Equal,
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        And,
        Or,
        Xor,
    ]
}

const fn rounding(inputs: bool, output: bool) -> Rounding {
    Rounding { inputs, output }
}

const ROUNDINGS: [Rounding; 4] = [
    rounding(false, false),
    rounding(false, true),
    rounding(true, false),
    rounding(true, true),
];

const ELEMS: [Elem; 4] = [Elem::F32, Elem::I32, Elem::U32, Elem::Bool];

pub fn elementwise(all: &mut Vec<Launch>) {
    // Operators refuse the element types they have no meaning on; at least one must remain.
    for op in unary_ops() {
        let before = all.len();
        all.extend(ELEMS.iter().filter_map(|&e| unary(op, e, 5).ok()));
        assert!(all.len() > before, "{op:?} has no shader");
    }
    for op in binary_ops() {
        let before = all.len();
        for (a, b, out) in [
            (&[4][..], &[4][..], &[4][..]),
            (&[3, 1], &[1, 8], &[3, 8]),
            (&[3, 1], &[1, 5], &[3, 5]),
        ] {
            all.extend(ELEMS.iter().filter_map(|&e| binary(op, e, a, b, out).ok()));
        }
        assert!(all.len() > before, "{op:?} has no shader");
    }
    for from in ELEMS {
        for rounding in ROUNDINGS {
            all.extend(ELEMS.map(|to| cast(from, to, 9, rounding).unwrap()));
        }
    }
    for out in [&[4][..], &[3, 8], &[3, 5]] {
        let (whole, row) = (Operand::from(out), Operand::from(&out[out.len() - 1..]));
        for rounding in ROUNDINGS {
            all.push(mul_add([whole; 3], out, rounding).unwrap());
            all.push(mul_add([whole, row, row], out, rounding).unwrap());
            let binary = |op| binary_of(op, Elem::F32, [whole, row], out, rounding).unwrap();
            all.extend([BinaryOp::Add, BinaryOp::Less, BinaryOp::Pow].map(binary));
            let unary = |op| unary_of(op, Elem::F32, whole, rounding).unwrap();
            all.extend([UnaryOp::Identity, UnaryOp::IsNan, UnaryOp::Gelu].map(unary));
        }
    }
    all.push(select(&[4], &[4], &[4], &[4]).unwrap());
    all.push(select(&[3, 1], &[8], &[1], &[3, 8]).unwrap());
    all.push(select(&[3, 1], &[5], &[1], &[3, 5]).unwrap());
}
