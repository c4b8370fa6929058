use half::f16;
use onnx_gpu::kernels::Elem;
use onnx_gpu::kernels::elementwise::{
    BinaryOp, Operand, Rounding, UnaryOp, binary, binary_of, cast, mul_add, select, unary, unary_of,
};

use crate::harness::{Data, assert_close, broadcast, indices, ints, noise, run, run_words};

/// The error function to double precision: Taylor series, or the continued fraction of erfc beyond 3.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..200 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let fraction = (1..60).rev().fold(a, |f, n| a + f64::from(n) / 2.0 / f);
        1.0 - (-a * a).exp() / std::f64::consts::PI.sqrt() / fraction
    };
    value.copysign(x)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Inputs in [-scale, scale] plus zero and both ends.
fn values(scale: f32) -> Vec<f32> {
    let mut v: Vec<f32> = noise(1000, 9).iter().map(|x| x * scale).collect();
    v.extend([0.0, scale, -scale, 1e-4, -1e-4]);
    v
}

fn check(op: UnaryOp, x: &[f32], absolute: f64, relative: f64, f: impl Fn(f64) -> f64) {
    let got = run(unary(op, Elem::F32, x.len()).unwrap(), &[x], x.len());
    let expected: Vec<f64> = x.iter().map(|&v| f(f64::from(v))).collect();
    assert_close(&got, &expected, absolute, relative, &format!("{op:?}"));
}

#[test]
fn the_reference_erf_matches_tables() {
    // Abramowitz and Stegun, table 7.1.
    for (x, y) in [
        (0.5, 0.520_499_877_8),
        (1.0, 0.842_700_792_9),
        (2.0, 0.995_322_265_0),
        (3.5, 0.999_999_256_9),
    ] {
        assert!((erf(x) - y).abs() < 1e-10);
        assert!((erf(-x) + y).abs() < 1e-10);
    }
}

#[test]
fn exact_functions() {
    let x = values(10.0);
    check(UnaryOp::Identity, &x, 0.0, 0.0, |v| v);
    check(UnaryOp::Neg, &x, 0.0, 0.0, |v| -v);
    check(UnaryOp::Abs, &x, 0.0, 0.0, f64::abs);
    check(UnaryOp::Sign, &x, 0.0, 0.0, |v| {
        if v == 0.0 { 0.0 } else { v.signum() }
    });
    check(UnaryOp::Relu, &x, 0.0, 0.0, |v| v.max(0.0));
    check(UnaryOp::Floor, &x, 0.0, 0.0, f64::floor);
    check(UnaryOp::Ceil, &x, 0.0, 0.0, f64::ceil);
    check(UnaryOp::Round, &x, 0.0, 0.0, f64::round_ties_even);
    check(
        UnaryOp::Round,
        &[0.5, 1.5, 2.5, -0.5, -1.5],
        0.0,
        0.0,
        f64::round_ties_even,
    );
    check(
        UnaryOp::Clip {
            min: -1.0,
            max: 2.5,
        },
        &x,
        0.0,
        0.0,
        |v| v.clamp(-1.0, 2.5),
    );
    check(UnaryOp::ThresholdedRelu(1.5), &x, 0.0, 0.0, |v| {
        if v > 1.5 { v } else { 0.0 }
    });
}

#[test]
fn smooth_functions() {
    let x = values(10.0);
    let alpha = f64::from(0.3f32);
    let positive: Vec<f32> = x.iter().map(|v| v.abs() + 1e-3).collect();
    let unit: Vec<f32> = values(0.99);
    check(UnaryOp::Exp, &x, 0.0, 4e-6, f64::exp);
    check(UnaryOp::Log, &positive, 2e-6, 2e-6, f64::ln);
    check(UnaryOp::Sqrt, &positive, 0.0, 1e-6, f64::sqrt);
    check(UnaryOp::Reciprocal, &positive, 0.0, 1e-6, f64::recip);
    check(UnaryOp::Sin, &x, 5e-7, 0.0, f64::sin);
    check(UnaryOp::Cos, &x, 5e-7, 0.0, f64::cos);
    check(UnaryOp::Sin, &values(1000.0), 2e-6, 0.0, f64::sin);
    check(UnaryOp::Cos, &values(1000.0), 2e-6, 0.0, f64::cos);
    check(UnaryOp::Tan, &values(1.4), 1e-6, 3e-6, f64::tan);
    check(UnaryOp::Asin, &unit, 1e-3, 0.0, f64::asin);
    check(UnaryOp::Acos, &unit, 1e-3, 0.0, f64::acos);
    check(UnaryOp::Atan, &x, 1e-3, 0.0, f64::atan);
    check(UnaryOp::Sinh, &x, 1e-6, 6e-6, f64::sinh);
    check(UnaryOp::Cosh, &x, 1e-6, 6e-6, f64::cosh);
    check(UnaryOp::Asinh, &x, 2e-6, 2e-6, f64::asinh);
    check(UnaryOp::Atanh, &values(0.9), 2e-6, 4e-6, f64::atanh);
    check(
        UnaryOp::Acosh,
        &positive.iter().map(|v| v + 1.0).collect::<Vec<_>>(),
        3e-5,
        3e-6,
        f64::acosh,
    );
    check(UnaryOp::Tanh, &x, 5e-7, 0.0, f64::tanh);
    check(UnaryOp::Sigmoid, &x, 1e-6, 0.0, sigmoid);
    check(UnaryOp::Silu, &x, 1e-6, 2e-6, |v| v * sigmoid(v));
    check(UnaryOp::QuickGelu(1.702), &x, 1e-6, 2e-6, |v| {
        v * sigmoid(f64::from(1.702f32) * v)
    });
    check(UnaryOp::Erf, &x, 5e-7, 0.0, erf);
    check(UnaryOp::Gelu, &x, 3e-6, 1e-6, |v| {
        0.5 * v * (1.0 + erf(v / 2f64.sqrt()))
    });
    check(UnaryOp::GeluTanh, &x, 3e-6, 1e-6, |v| {
        0.5 * v * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v * v * v)).tanh())
    });
    check(UnaryOp::Softplus, &x, 1e-6, 2e-6, |v| v.exp().ln_1p());
    check(UnaryOp::Softsign, &x, 1e-6, 0.0, |v| v / (1.0 + v.abs()));
    check(UnaryOp::Mish, &x, 3e-6, 2e-6, |v| {
        v * v.exp().ln_1p().tanh()
    });
    check(UnaryOp::LeakyRelu(0.3), &x, 0.0, 1e-6, |v| {
        if v < 0.0 { alpha * v } else { v }
    });
    check(UnaryOp::Elu(0.3), &x, 1e-6, 0.0, |v| {
        if v < 0.0 { alpha * v.exp_m1() } else { v }
    });
    check(UnaryOp::Celu(0.3), &x, 1e-6, 0.0, |v| {
        v.max(0.0) + (alpha * (v / alpha).exp_m1()).min(0.0)
    });
    check(
        UnaryOp::Selu {
            alpha: 0.3,
            gamma: 2.0,
        },
        &x,
        2e-6,
        1e-6,
        |v| 2.0 * if v < 0.0 { alpha * v.exp_m1() } else { v },
    );
    check(
        UnaryOp::HardSigmoid {
            alpha: 0.3,
            beta: 0.5,
        },
        &x,
        1e-6,
        0.0,
        |v| (alpha * v + 0.5).clamp(0.0, 1.0),
    );
    check(UnaryOp::HardSwish, &x, 1e-6, 1e-6, |v| {
        v * (v / 6.0 + 0.5).clamp(0.0, 1.0)
    });
    check(
        UnaryOp::Affine {
            scale: 0.3,
            shift: -2.0,
        },
        &x,
        1e-6,
        1e-6,
        |v| alpha * v - 2.0,
    );
}

#[test]
fn extremes_neither_overflow_nor_vanish() {
    let x = [f32::MAX, -f32::MAX, 1e5, -1e5, 100.0, -100.0, 88.0, -88.0];
    check(UnaryOp::Tanh, &x, 1e-6, 0.0, f64::tanh);
    check(UnaryOp::Erf, &x, 1e-6, 0.0, erf);
    check(UnaryOp::Sigmoid, &x, 1e-6, 0.0, sigmoid);
    check(UnaryOp::Silu, &x[2..], 1e-6, 1e-6, |v| v * sigmoid(v));
    check(UnaryOp::Gelu, &x[2..], 1e-6, 1e-6, |v| {
        0.5 * v * (1.0 + erf(v / 2f64.sqrt()))
    });
    check(UnaryOp::Softplus, &x[2..], 1e-6, 1e-6, |v| {
        if v > 50.0 { v } else { v.exp().ln_1p() }
    });
}

#[test]
fn every_length_is_covered() {
    for len in [1usize, 2, 3, 4, 5, 255, 256, 257, 70_001] {
        check(UnaryOp::Neg, &noise(len, 1), 0.0, 0.0, |v| -v);
    }
}

#[test]
fn more_elements_than_one_row_of_workgroups() {
    let x = noise(65_536 * 256 + 5, 2);
    check(UnaryOp::Neg, &x, 0.0, 0.0, |v| -v);
}

#[test]
fn tests_of_floats_give_truth_values() {
    let x = [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX];
    let truth = |op| run_words(unary(op, Elem::F32, 5).unwrap(), &[Data::F(&x)], 5);
    assert_eq!(truth(UnaryOp::IsNan), [0, 1, 0, 0, 0]);
    assert_eq!(
        truth(UnaryOp::IsInf {
            negative: true,
            positive: true
        }),
        [0, 0, 1, 1, 0]
    );
    assert_eq!(
        truth(UnaryOp::IsInf {
            negative: false,
            positive: true
        }),
        [0, 0, 1, 0, 0]
    );
}

#[test]
fn integers_and_truth_values() {
    let x = [i32::MIN, -7, 0, 3, i32::MAX];
    let int = |op| {
        ints(&run_words(
            unary(op, Elem::I32, 5).unwrap(),
            &[Data::I(&x)],
            5,
        ))
    };
    assert_eq!(int(UnaryOp::Neg), x.map(i32::wrapping_neg));
    assert_eq!(int(UnaryOp::Sign), [-1, -1, 0, 1, 1]);
    assert_eq!(int(UnaryOp::Relu), [0, 0, 0, 3, i32::MAX]);
    assert_eq!(int(UnaryOp::ClipInt { min: -5, max: 2 }), [-5, -5, 0, 2, 2]);
    let not = unary(UnaryOp::Not, Elem::Bool, 2).unwrap();
    assert_eq!(run_words(not, &[Data::I(&[0, 1])], 2), [1, 0]);
}

const EXACT: Rounding = Rounding {
    inputs: false,
    output: false,
};

#[test]
fn casts() {
    let x = [-1.5f32, -0.0, 0.4, 2.9, 1e12];
    let i = [-3, 0, 1, 16_777_216, 9];
    let from_f = |to| run_words(cast(Elem::F32, to, 5, EXACT).unwrap(), &[Data::F(&x)], 5);
    assert_eq!(ints(&from_f(Elem::I32)), [-1, 0, 0, 2, i32::MIN]);
    assert_eq!(from_f(Elem::Bool), [1, 0, 1, 1, 1]);
    let from_i = |to| run_words(cast(Elem::I32, to, 5, EXACT).unwrap(), &[Data::I(&i)], 5);
    assert_eq!(
        from_i(Elem::F32),
        [-3f32, 0.0, 1.0, 16_777_216.0, 9.0].map(f32::to_bits)
    );
    assert_eq!(from_i(Elem::Bool), [1, 0, 1, 1, 1]);
    let bools = run_words(
        cast(Elem::Bool, Elem::F32, 2, EXACT).unwrap(),
        &[Data::I(&[0, 1])],
        2,
    );
    assert_eq!(bools, [0f32, 1.0].map(f32::to_bits));
}

/// Every 16-bit number, what lies halfway between neighbours and beside that, and what leaves the range.
fn around_halves() -> Vec<f32> {
    let mut all = vec![65_504.0, 65_519.996, 65_520.0, 1e6, f32::MAX, f32::INFINITY];
    for bits in 0..0x7bff {
        let low = f16::from_bits(bits).to_f32();
        let middle = 0.5 * (low + f16::from_bits(bits + 1).to_f32());
        let beside = [middle.to_bits() - 1, middle.to_bits() + 1].map(f32::from_bits);
        all.extend([low, middle, beside[0], beside[1]]);
    }
    all.extend([
        1e-12,
        f32::MIN_POSITIVE,
        2f32.powi(-25),
        2f32.powi(-25) * 1.000_001,
    ]);
    let negative: Vec<f32> = all.iter().map(|x| -x).collect();
    all.extend(negative);
    all.extend([f32::NAN, 0.0]);
    all
}

#[test]
fn numbers_round_to_16_bits_as_ieee_754_says() {
    let x = around_halves();
    // The crate `half` rounds by its own code, in integers.
    let expected: Vec<f32> = x.iter().map(|&x| f16::from_f32(x).to_f32()).collect();
    let same = |got: &[f32], what: &str| {
        for ((&x, &g), &e) in x.iter().zip(got).zip(&expected) {
            assert!(
                g.to_bits() == e.to_bits() || (g.is_nan() && e.is_nan()),
                "{what} {x:e}: {g:e}, not {e:e}"
            );
        }
    };
    let len = x.len();
    for rounding in [(true, false), (false, true), (true, true)] {
        let (inputs, output) = rounding;
        let rounding = Rounding { inputs, output };
        let shape: &[usize] = &[len];
        let identity = unary_of(UnaryOp::Identity, Elem::F32, shape.into(), rounding).unwrap();
        same(&run(identity, &[&x], len), "identity");
        let shapes = [shape.into(), shape.into()];
        let max = binary_of(BinaryOp::Max, Elem::F32, shapes, shape, rounding).unwrap();
        same(&run(max, &[&x, &x], len), "max");
    }
    let whole = [
        0,
        1,
        2047,
        2049,
        2051,
        -2049,
        65_519,
        65_520,
        i32::MAX,
        i32::MIN,
    ];
    let output = Rounding {
        inputs: false,
        output: true,
    };
    let got = run_words(
        cast(Elem::I32, Elem::F32, 10, output).unwrap(),
        &[Data::I(&whole)],
        10,
    );
    let expected = whole.map(|x| f16::from_f32(x as f32).to_f32().to_bits());
    assert_eq!(got, expected);
}

#[test]
fn a_product_is_rounded_before_it_is_added_to() {
    let operands = [&[2usize][..]; 3].map(Operand::from);
    let rounding = Rounding {
        inputs: false,
        output: true,
    };
    let launch = mul_add(operands, &[2], rounding).unwrap();
    let got = run(
        launch,
        &[&[300.0, 3.0], &[300.0, 0.333_251_95], &[-60_000.0, -1.0]],
        2,
    );
    // 90000 is no number of 16 bits; 3 · 0.33325195 lies halfway between two, of which 1 is the even one.
    assert_eq!(got, [f32::INFINITY, 0.0]);
}

/// Shapes of A, B and their broadcast, over every access path.
const SHAPES: [(&[usize], &[usize], &[usize]); 10] = [
    (&[], &[], &[]),
    (&[7], &[7], &[7]),
    (&[5, 7], &[1], &[5, 7]),
    (&[], &[3, 5], &[3, 5]),
    (&[2, 3, 8], &[3, 1], &[2, 3, 8]),
    (&[2, 3, 5], &[3, 1], &[2, 3, 5]),
    (&[2, 3, 5], &[5], &[2, 3, 5]),
    (&[4, 1, 8], &[3, 1], &[4, 3, 8]),
    (&[1, 3, 1, 5, 1], &[2, 1, 4, 1, 3], &[2, 3, 4, 5, 3]),
    (
        &[2, 1, 2, 1, 2, 1, 2, 1],
        &[1, 3, 1, 3, 1, 2, 1, 3],
        &[2, 3, 2, 3, 2, 2, 2, 3],
    ),
];

fn check_binary(op: BinaryOp, scale: f32, tolerance: f64, f: impl Fn(f64, f64) -> f64) {
    for (a_shape, b_shape, out) in SHAPES {
        let make = |shape: &[usize], seed| -> Vec<f32> {
            noise(shape.iter().product(), seed)
                .iter()
                .map(|v| v * scale)
                .collect()
        };
        let (a, b) = (make(a_shape, 1), make(b_shape, 2));
        let expected: Vec<f64> = indices(out)
            .iter()
            .map(|i| {
                f(
                    f64::from(a[broadcast(i, a_shape)]),
                    f64::from(b[broadcast(i, b_shape)]),
                )
            })
            .collect();
        let launch = binary(op, Elem::F32, a_shape, b_shape, out).unwrap();
        let words = run_words(launch, &[Data::F(&a), Data::F(&b)], expected.len());
        let truth = matches!(
            op,
            BinaryOp::Less | BinaryOp::GreaterOrEqual | BinaryOp::Equal
        );
        let got: Vec<f32> = words
            .iter()
            .map(|&w| if truth { w as f32 } else { f32::from_bits(w) })
            .collect();
        assert_close(
            &got,
            &expected,
            tolerance,
            2e-6,
            &format!("{op:?} {a_shape:?} {b_shape:?}"),
        );
    }
}

#[test]
fn binary_operators_broadcast() {
    check_binary(BinaryOp::Add, 2.0, 1e-6, |a, b| a + b);
    check_binary(BinaryOp::Sub, 2.0, 1e-6, |a, b| a - b);
    check_binary(BinaryOp::Mul, 2.0, 1e-6, |a, b| a * b);
    check_binary(BinaryOp::Div, 2.0, 1e-6, |a, b| a / b);
    check_binary(BinaryOp::Min, 2.0, 0.0, f64::min);
    check_binary(BinaryOp::Max, 2.0, 0.0, f64::max);
    check_binary(
        BinaryOp::Prelu,
        2.0,
        1e-6,
        |a, b| if a < 0.0 { a * b } else { a },
    );
    check_binary(BinaryOp::Less, 2.0, 0.0, |a, b| f64::from(u8::from(a < b)));
    check_binary(BinaryOp::GreaterOrEqual, 2.0, 0.0, |a, b| {
        f64::from(u8::from(a >= b))
    });
}

#[test]
fn powers_and_remainders_keep_the_sign_rules() {
    let a = [-8.0f32, -2.0, 0.0, 2.0, 9.0, -3.0, 5.0, -1.5, 4.0, 1.5];
    let b = [3.0f32, 2.0, 3.0, -1.0, 0.5, 0.0, 1.0, -3.0, -2.0, 2.5];
    let n = [a.len()];
    let float = |op| {
        run(
            binary(op, Elem::F32, &n, &n, &n).unwrap(),
            &[&a, &b],
            a.len(),
        )
    };
    let expected = |f: fn(f64, f64) -> f64| -> Vec<f64> {
        a.iter()
            .zip(&b)
            .map(|(&a, &b)| f(f64::from(a), f64::from(b)))
            .collect()
    };
    assert_close(
        &float(BinaryOp::Pow),
        &expected(f64::powf),
        1e-6,
        5e-6,
        "pow",
    );
    let c = [5.5f32, -5.5, 5.5, -5.5, 6.0, -6.0, 0.0, 1.0, 7.0, -7.0];
    let d = [3.0f32, 3.0, -3.0, -3.0, 3.0, 3.0, 2.0, 4.0, 2.5, 2.5];
    let remainder = |op| {
        run(
            binary(op, Elem::F32, &n, &n, &n).unwrap(),
            &[&c, &d],
            c.len(),
        )
    };
    let each = |f: fn(f64, f64) -> f64| -> Vec<f64> {
        c.iter()
            .zip(&d)
            .map(|(&a, &b)| f(f64::from(a), f64::from(b)))
            .collect()
    };
    assert_close(
        &remainder(BinaryOp::Fmod),
        &each(|a, b| a % b),
        1e-6,
        0.0,
        "fmod",
    );
    assert_close(
        &remainder(BinaryOp::Mod),
        &each(|a, b| a - b * (a / b).floor()),
        1e-6,
        0.0,
        "mod",
    );
    let x = [7, -7, 7, -7, 2, 2, -3, 1];
    let y = [3, 3, -3, -3, 10, -1, 3, -5];
    let int = |op| {
        ints(&run_words(
            binary(op, Elem::I32, &[8], &[8], &[8]).unwrap(),
            &[Data::I(&x), Data::I(&y)],
            8,
        ))
    };
    assert_eq!(int(BinaryOp::Mod), [1, 2, -2, -1, 2, 0, 0, -4]);
    assert_eq!(int(BinaryOp::Fmod), [1, -1, 1, -1, 2, 0, 0, 1]);
    assert_eq!(int(BinaryOp::Div), [2, -2, -2, 2, 0, -2, -1, 0]);
    assert_eq!(int(BinaryOp::Pow), [343, -343, 0, 0, 1024, 0, -27, 1]);
}

#[test]
fn logic_and_integer_comparisons() {
    let a = [0, 0, 1, 1];
    let b = [0, 1, 0, 1];
    let truth = |op, elem| {
        run_words(
            binary(op, elem, &[4], &[4], &[4]).unwrap(),
            &[Data::I(&a), Data::I(&b)],
            4,
        )
    };
    assert_eq!(truth(BinaryOp::And, Elem::Bool), [0, 0, 0, 1]);
    assert_eq!(truth(BinaryOp::Or, Elem::Bool), [0, 1, 1, 1]);
    assert_eq!(truth(BinaryOp::Xor, Elem::Bool), [0, 1, 1, 0]);
    assert_eq!(truth(BinaryOp::Equal, Elem::Bool), [1, 0, 0, 1]);
    assert_eq!(truth(BinaryOp::Equal, Elem::I32), [1, 0, 0, 1]);
    assert_eq!(truth(BinaryOp::Greater, Elem::I32), [0, 0, 1, 0]);
    assert_eq!(truth(BinaryOp::LessOrEqual, Elem::I32), [1, 1, 0, 1]);
}

#[test]
fn select_broadcasts_three_inputs() {
    for (c_shape, x_shape, y_shape, out) in [
        (&[2, 3][..], &[2, 3][..], &[2, 3][..], &[2, 3][..]),
        (&[2, 3], &[], &[1], &[2, 3]),
        (&[3, 1], &[2, 1, 4], &[1], &[2, 3, 4]),
        (&[5, 1], &[3], &[5, 3], &[5, 3]),
    ] {
        let size = |s: &[usize]| s.iter().product::<usize>();
        let c: Vec<i32> = (0..size(c_shape)).map(|i| i32::from(i % 3 == 1)).collect();
        let x = noise(size(x_shape), 1);
        let y = noise(size(y_shape), 2);
        let expected: Vec<u32> = indices(out)
            .iter()
            .map(|i| {
                if c[broadcast(i, c_shape)] != 0 {
                    x[broadcast(i, x_shape)]
                } else {
                    y[broadcast(i, y_shape)]
                }
                .to_bits()
            })
            .collect();
        let launch = select(c_shape, x_shape, y_shape, out).unwrap();
        let got = run_words(launch, &[Data::I(&c), Data::F(&x), Data::F(&y)], size(out));
        assert_eq!(got, expected);
    }
}
