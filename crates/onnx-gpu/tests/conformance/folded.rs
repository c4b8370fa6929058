//! One graph, one answer: what is computed before the run, because its inputs are constants, is what the device computes.
//!
//! Inputs are numbers of any size from a fixed seed, infinities and NaN among them. No subnormal ones: a device may take them for
//! zero.

use onnx_gpu::{AdapterChoice, Gpu, Options, Session, Tensor, Tolerance};

use super::encode::{
    attribute, field, float, floats, int, longs, model, node_with, open_info, raw,
};

/// Numbers of every exponent, with the special ones in between.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    const SPECIAL: [f32; 9] = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -2.0,
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    (0..len)
        .map(|_| match next() % 8 {
            0 => SPECIAL[next() as usize % SPECIAL.len()],
            // Of moderate size, where functions have most to say.
            1..=4 => (next() as f32 / (1u64 << 31) as f32 - 1.0) * 12.0,
            _ => {
                let x = f32::from_bits(next());
                if x.is_subnormal() { 1.0 } else { x }
            }
        })
        .collect()
}

/// A node, its attributes, and how near its two results have to be: relative and absolute.
type Op = (&'static str, Vec<Vec<u8>>, f64, f64);

fn plain(names: &[&'static str], relative: f64, absolute: f64) -> Vec<Op> {
    names
        .iter()
        .map(|&name| (name, vec![], relative, absolute))
        .collect()
}

fn output(code: i64) -> Vec<u8> {
    field(
        12,
        &[field(1, b"y"), field(2, &field(1, &int(1, code)))].concat(),
    )
}

/// Runs a node of float inputs `a`, `b`, … once with them as inputs and once with them as constants.
fn both(gpu: &Gpu, op: &Op, inputs: &[Tensor], constants: &[(&str, Vec<u8>)], code: i64) {
    let names = ["a", "b", "c"];
    let (name, attributes, relative, absolute) = op;
    let given = &names[..inputs.len()];
    let all: Vec<&str> = given
        .iter()
        .copied()
        .chain(constants.iter().map(|c| c.0))
        .collect();
    let node = node_with("", name, &all, "y", attributes);
    let fixed: Vec<Vec<u8>> = constants.iter().map(|c| c.1.clone()).collect();
    let run = |graph: Vec<Vec<u8>>, inputs: &[(&str, Tensor)]| {
        let bytes = model(&[graph, fixed.clone(), vec![node.clone(), output(code)]].concat());
        let options = Options::default().with_gpu(gpu.clone());
        let session = Session::from_bytes_blocking(&bytes, options).unwrap();
        session.run_blocking(inputs).unwrap().remove(0).1
    };
    let open = given.iter().map(|name| open_info(11, name)).collect();
    let named: Vec<(&str, Tensor)> = given.iter().copied().zip(inputs.iter().cloned()).collect();
    let device = run(open, &named);
    let known = inputs.iter().zip(given);
    let known = known
        .map(|(x, name)| floats(name, x.shape(), x.as_f32().unwrap()))
        .collect();
    let folded = run(known, &[]);
    assert_eq!(
        (device.dtype(), device.shape()),
        (folded.dtype(), folded.shape()),
        "{name}"
    );
    let tolerance = Tolerance {
        relative: *relative,
        absolute: *absolute,
    };
    let (d, f) = (device.to_f32_vec(), folded.to_f32_vec());
    for i in 0..d.len() {
        let from: Vec<f32> = inputs
            .iter()
            .filter(|x| x.len() == d.len())
            .map(|x| x.as_f32().unwrap()[i])
            .collect();
        assert!(
            tolerance.accepts(d[i].into(), f[i].into()),
            "{name} of {from:?}: {:e} on the device, {:e} beforehand",
            d[i],
            f[i]
        );
    }
}

fn gpu() -> Gpu {
    pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap()
}

#[test]
fn functions_of_one_number() {
    let gpu = gpu();
    let ops = [
        plain(
            &[
                "Neg", "Abs", "Sign", "Relu", "Floor", "Ceil", "Round", "Identity",
            ],
            0.0,
            0.0,
        ),
        plain(
            &[
                "Exp",
                "Log",
                "Sqrt",
                "Reciprocal",
                "Tanh",
                "Sigmoid",
                "Softplus",
                "Erf",
            ],
            1e-5,
            1e-36,
        ),
        plain(&["Sin", "Cos"], 1e-5, 2e-6),
        vec![
            ("LeakyRelu", vec![float("alpha", 0.25)], 0.0, 0.0),
            ("Clip", vec![], 0.0, 0.0),
        ],
    ];
    for op in ops.concat() {
        let x = Tensor::f32([3, 67], numbers(201, 7)).unwrap();
        both(&gpu, &op, &[x], &[], 1);
    }
    for op in plain(&["IsNaN", "IsInf"], 0.0, 0.0) {
        let x = Tensor::f32([201], numbers(201, 8)).unwrap();
        both(&gpu, &op, &[x], &[], 9);
    }
}

#[test]
fn functions_of_two_numbers() {
    let gpu = gpu();
    let ops = [
        plain(&["Add", "Sub", "Mul", "Div", "PRelu"], 3e-7, 1e-37),
        plain(&["Min", "Max"], 0.0, 0.0),
        plain(&["Pow"], 2e-4, 1e-36),
        vec![("Mod", vec![attribute("fmod", 1)], 0.0, 1e-37)],
    ];
    let x = |seed| Tensor::f32([400], numbers(400, seed)).unwrap();
    for op in ops.concat() {
        both(&gpu, &op, &[x(1), x(2)], &[], 1);
    }
    for op in plain(
        &["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"],
        0.0,
        0.0,
    ) {
        both(&gpu, &op, &[x(3), x(4)], &[], 9);
        both(&gpu, &op, &[x(5), x(5)], &[], 9);
    }
}

#[test]
fn casts() {
    let gpu = gpu();
    // To int64, what 32 bits hold.
    for (code, bound) in [
        (6, f32::INFINITY),
        (2, f32::INFINITY),
        (3, f32::INFINITY),
        (9, f32::INFINITY),
        (10, f32::INFINITY),
        (7, 2e9),
    ] {
        let x = numbers(300, 11)
            .into_iter()
            .filter(|x| x.abs() < bound || bound.is_infinite());
        let x: Vec<f32> = x.collect();
        let x = Tensor::f32([x.len()], x).unwrap();
        both(
            &gpu,
            &("Cast", vec![attribute("to", code)], 0.0, 0.0),
            &[x],
            &[],
            code,
        );
    }
}

#[test]
fn reductions() {
    let gpu = gpu();
    let axes = || vec![("axes", longs("axes", &[1]))];
    // Sums of numbers of one sign do not cancel.
    let x: Vec<f32> = numbers(640, 21).into_iter().map(f32::abs).collect();
    let x = Tensor::f32([40, 16], x).unwrap();
    let sums = [
        "Sum",
        "Mean",
        "L1",
        "SumSquare",
        "L2",
        "LogSum",
        "LogSumExp",
        "Prod",
    ];
    let names = [
        "ReduceSum",
        "ReduceMean",
        "ReduceL1",
        "ReduceSumSquare",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceProd",
    ];
    for (name, short) in names.into_iter().zip(sums) {
        let moderate = || {
            Tensor::f32(
                [40, 16],
                (0..640).map(|i| (i % 37) as f32 / 9.0 - 0.3).collect(),
            )
            .unwrap()
        };
        // Products and squares of any numbers leave the range on the way.
        let x = if matches!(
            short,
            "Prod" | "SumSquare" | "L2" | "Sum" | "Mean" | "L1" | "LogSum"
        ) {
            moderate()
        } else {
            x.clone()
        };
        both(&gpu, &(name, vec![], 1e-5, 1e-5), &[x], &axes(), 1);
    }
    let x = Tensor::f32([40, 16], numbers(640, 22)).unwrap();
    for op in plain(&["ReduceMax", "ReduceMin"], 0.0, 0.0) {
        both(&gpu, &op, std::slice::from_ref(&x), &axes(), 1);
    }
    for op in plain(&["Softmax", "LogSoftmax"], 1e-5, 1e-6) {
        both(&gpu, &op, std::slice::from_ref(&x), &[], 1);
    }
}

#[test]
fn choices() {
    let gpu = gpu();
    let condition: Vec<u8> = (0..200).map(|i| u8::from(i % 3 == 0)).collect();
    let graph = |known: bool| {
        let (a, b) = (numbers(200, 31), numbers(200, 32));
        let inputs = if known {
            vec![floats("a", &[200], &a), floats("b", &[200], &b)]
        } else {
            vec![open_info(11, "a"), open_info(11, "b")]
        };
        let node = node_with("", "Where", &["c", "a", "b"], "y", &[]);
        model(
            &[
                inputs,
                vec![raw("c", &[200], 9, &condition), node, output(1)],
            ]
            .concat(),
        )
    };
    let run = |known: bool| {
        let options = Options::default().with_gpu(gpu.clone());
        let session = Session::from_bytes_blocking(&graph(known), options).unwrap();
        let of = |seed| Tensor::f32([200], numbers(200, seed)).unwrap();
        let inputs = [("a", of(31)), ("b", of(32))];
        let given = if known { &[][..] } else { &inputs };
        let y = session.run_blocking(given).unwrap().remove(0).1;
        y.as_f32()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}
