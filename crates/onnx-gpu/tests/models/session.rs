//! Sessions on hand-encoded models, on this machine's default adapter. Expected values are worked out by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::OnceLock;

use onnx_gpu::{AdapterChoice, DType, ErrorKind, Gpu, Options, Result, Session, Tensor};

/// A protobuf field that holds bytes.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = payload.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(payload);
    out
}

fn int(number: u8, value: u8) -> Vec<u8> {
    assert!(value < 0x80);
    vec![number << 3, value]
}

fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut out: Vec<u8> = inputs.iter().flat_map(|i| field(1, i.as_bytes())).collect();
    out.extend(field(2, output.as_bytes()));
    out.extend(field(3, format!("make_{output}").as_bytes()));
    out.extend(field(4, op.as_bytes()));
    field(1, &out)
}

/// A float initializer.
fn floats(name: &str, dims: &[u8], data: &[f32]) -> Vec<u8> {
    let mut out: Vec<u8> = dims.iter().flat_map(|&d| int(1, d)).collect();
    out.extend(int(2, 1));
    out.extend(field(8, name.as_bytes()));
    out.extend(field(
        9,
        &data
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<_>>(),
    ));
    field(5, &out)
}

/// An int64 initializer.
fn longs(name: &str, data: &[i64]) -> Vec<u8> {
    let mut out = [
        int(1, data.len() as u8),
        int(2, 7),
        field(8, name.as_bytes()),
    ]
    .concat();
    out.extend(field(
        9,
        &data
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<_>>(),
    ));
    field(5, &out)
}

/// A float input (11) or output (12); a dimension of 0 is the symbol `n`.
fn info(number: u8, name: &str, dims: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims
        .iter()
        .flat_map(|&d| field(1, &if d == 0 { field(2, b"n") } else { int(1, d) }))
        .collect();
    let tensor = [int(1, 1), field(2, &dims)].concat();
    field(
        number,
        &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat(),
    )
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [int(1, 8), field(7, &graph.concat()), field(8, &int(2, 18))].concat()
}

fn open(bytes: &[u8]) -> Result<Session> {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    let gpu =
        GPU.get_or_init(|| pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap());
    let options = Options {
        gpu: Some(gpu.clone()),
        ..Options::default()
    };
    Session::from_bytes_blocking(bytes, options)
}

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::f32(shape, data.to_vec()).unwrap()
}

fn run(session: &Session, inputs: &[(&str, Tensor)]) -> Vec<f32> {
    let outputs = session.run_blocking(inputs).unwrap();
    outputs[0].1.as_f32().unwrap().to_vec()
}

/// `relu(x · w + b)` for any number of rows.
fn layer() -> Vec<u8> {
    model(&[
        node("MatMul", &["x", "w"], "p"),
        node("Add", &["p", "b"], "s"),
        node("Relu", &["s"], "y"),
        floats("w", &[2, 3], &[1.0, 0.0, 2.0, 0.0, 1.0, -1.0]),
        floats("b", &[3], &[0.5, 0.0, -0.5]),
        info(11, "x", &[0, 2]),
        info(12, "y", &[0, 3]),
    ])
}

#[test]
fn plans_for_several_shapes_share_one_model() {
    let session = open(&layer()).unwrap();
    let one = run(&session, &[("x", tensor(&[1, 2], &[1.0, 2.0]))]);
    assert_eq!(one, [1.5, 2.0, 0.0]);
    // Bias and activation ride on the product.
    assert_eq!((session.stats().nodes, session.stats().dispatches), (1, 1));
    let two = run(&session, &[("x", tensor(&[2, 2], &[1.0, 2.0, -1.0, 4.0]))]);
    assert_eq!(two, [1.5, 2.0, 0.0, 0.0, 4.0, 0.0]);
    let again = run(&session, &[("x", tensor(&[1, 2], &[3.0, 0.0]))]);
    assert_eq!(again, [3.5, 0.0, 5.5]);
    let none = session
        .run_blocking(&[("x", tensor(&[0, 2], &[]))])
        .unwrap();
    assert_eq!(none[0].1.shape(), &[0, 3]);
}

#[test]
fn wrong_inputs_are_typed_errors() {
    let session = open(&layer()).unwrap();
    let kind = |inputs: &[(&str, Tensor)]| session.run_blocking(inputs).unwrap_err().kind();
    let x = tensor(&[1, 2], &[1.0, 2.0]);
    assert_eq!(kind(&[]), ErrorKind::InvalidInput);
    assert_eq!(
        kind(&[("x", x.clone()), ("z", x.clone())]),
        ErrorKind::InvalidInput
    );
    assert_eq!(kind(&[("x", x.cast(DType::I64))]), ErrorKind::InvalidInput);
    assert_eq!(
        kind(&[("x", tensor(&[1, 3], &[0.0; 3]))]),
        ErrorKind::ShapeMismatch
    );
    assert_eq!(run(&session, &[("x", x)]), [1.5, 2.0, 0.0]);
}

#[test]
fn an_unknown_operator_is_named_with_its_node() {
    let bytes = model(&[
        node("Conjure", &["x"], "y"),
        info(11, "x", &[2]),
        info(12, "y", &[2]),
    ]);
    let error = open(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
    assert_eq!(error.node(), Some(("make_y", "Conjure")));
}

#[test]
fn an_unread_attribute_is_refused() {
    let attribute = field(
        5,
        &[field(1, b"secret"), int(3, 1), vec![0xa0, 0x01, 2]].concat(),
    );
    let mut relu = [field(1, b"x"), field(2, b"y"), field(4, b"Relu")].concat();
    relu.extend(attribute);
    let bytes = model(&[field(1, &relu), info(11, "x", &[2]), info(12, "y", &[2])]);
    let error = open(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
    assert!(error.to_string().contains("'secret' = 1"), "{error}");
}

#[test]
fn broken_graphs_are_refused() {
    let x = || info(11, "x", &[2]);
    let y = || info(12, "y", &[2]);
    let cycle = [
        node("Add", &["x", "b"], "a"),
        node("Relu", &["a"], "b"),
        x(),
        info(12, "b", &[2]),
    ];
    let twice = [
        node("Relu", &["x"], "y"),
        node("Abs", &["x"], "y"),
        x(),
        y(),
    ];
    let nowhere = [node("Relu", &["x"], "z"), x(), y()];
    let starved = [node("Add", &["x"], "y"), x(), y()];
    for graph in [&cycle[..], &twice, &nowhere, &starved] {
        let error = open(&model(graph)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
    }
    let shapes = [
        node("Add", &["x", "w"], "y"),
        floats("w", &[3], &[0.0; 3]),
        x(),
        y(),
    ];
    assert_eq!(
        open(&model(&shapes)).unwrap_err().kind(),
        ErrorKind::ShapeMismatch
    );
    let huge = [
        longs("s", &[1 << 40, 1 << 20]),
        node("ConstantOfShape", &["s"], "c"),
        node("Add", &["x", "c"], "y"),
        x(),
        y(),
    ];
    assert_eq!(open(&model(&huge)).unwrap_err().kind(), ErrorKind::Limit);
}

/// GroupNorm of `[1, 4, 1, 2]` in two groups as PyTorch exports it, `back` being the last reshape's target.
fn group_norm(back: &[i64]) -> Vec<u8> {
    model(&[
        longs("groups", &[0, 2, -1]),
        longs("back", back),
        floats("ones", &[2], &[1.0; 2]),
        floats("zeros", &[2], &[0.0; 2]),
        floats("scale", &[4, 1, 1], &[1.0, 2.0, 3.0, 4.0]),
        floats("bias", &[4, 1, 1], &[0.0, 0.0, 1.0, 1.0]),
        node("Reshape", &["x", "groups"], "g"),
        node("InstanceNormalization", &["g", "ones", "zeros"], "n"),
        node("Reshape", &["n", "back"], "r"),
        node("Mul", &["r", "scale"], "m"),
        node("Add", &["m", "bias"], "a"),
        node("Sigmoid", &["a"], "t"),
        node("Mul", &["a", "t"], "y"),
        info(11, "x", &[1, 4, 1, 2]),
        info(12, "y", &[]),
    ])
}

#[test]
fn an_exported_group_norm_is_one_dispatch_and_right() {
    let session = open(&group_norm(&[1, 4, 1, 2])).unwrap();
    assert_eq!(session.stats().dispatches, 1);
    // Each group holds -1, 1, -1, 1 about its mean, so it is divided by sqrt(1 + 1e-5).
    let x = tensor(&[1, 4, 1, 2], &[4.0, 6.0, 4.0, 6.0, -1.0, 1.0, -1.0, 1.0]);
    let silu = |v: f64| v / (1.0 + (-v).exp());
    let unit = 1.0 / (1.0f64 + 1e-5).sqrt();
    let expected: Vec<f64> = [(1.0, 0.0), (2.0, 0.0), (3.0, 1.0), (4.0, 1.0)]
        .iter()
        .flat_map(|&(s, b)| [silu(b - s * unit), silu(b + s * unit)])
        .collect();
    for (a, e) in run(&session, &[("x", x)]).iter().zip(expected) {
        assert!((f64::from(*a) - e).abs() < 1e-5, "{a} is not {e}");
    }
}

#[test]
fn a_look_alike_of_group_norm_is_computed_by_parts() {
    // The last reshape swaps the roles of the axes, so that the scale runs along another one.
    let session = open(&group_norm(&[2, 4, 1, 1])).unwrap();
    let x = tensor(&[1, 4, 1, 2], &[4.0, 6.0, 4.0, 6.0, -1.0, 1.0, -1.0, 1.0]);
    let silu = |v: f64| v / (1.0 + (-v).exp());
    let unit = 1.0 / (1.0f64 + 1e-5).sqrt();
    let signs = [-1.0, 1.0, -1.0, 1.0];
    let affine = [(1.0, 0.0), (2.0, 0.0), (3.0, 1.0), (4.0, 1.0)];
    let outputs = session.run_blocking(&[("x", x)]).unwrap();
    assert_eq!(outputs[0].1.shape(), &[2, 4, 1, 1]);
    for (i, a) in outputs[0].1.as_f32().unwrap().iter().enumerate() {
        let (s, b) = affine[i % 4];
        let e = silu(b + s * unit * signs[i % 4]);
        assert!((f64::from(*a) - e).abs() < 1e-5, "{a} is not {e}");
    }
}
