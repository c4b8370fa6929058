//! Sessions on hand-encoded models, on this machine's default adapter. Expected values are worked out by hand.

use onnx_gpu::{AdapterChoice, DType, ErrorKind, Gpu, Options, Session, Tensor, dry_cost};

use super::encode::{attribute, field, floats, info, longs, model, node, node_with};
use super::{open, run, tensor};

/// `relu(x · w + b)` for any number of rows.
fn layer() -> Vec<u8> {
    model(&[
        node("MatMul", &["x", "w"], "p"),
        node("Add", &["p", "b"], "s"),
        node("Relu", &["s"], "y"),
        floats("w", &[2, 3], &[1.0, 0.0, 2.0, 0.0, 1.0, -1.0]),
        floats("b", &[3], &[0.5, 0.0, -0.5]),
        info(11, "x", 1, &[0, 2]),
        info(12, "y", 1, &[0, 3]),
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
fn costs_are_known_before_a_run_and_its_memory_can_be_given_back() {
    let options = Options::default()
        .with_gpu(pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap());
    let session = Session::from_bytes_blocking(&layer(), options).unwrap();
    let held = || session.gpu().stats().buffer_bytes;
    let before = held();
    let cost = session.cost(&[("x", &[1000, 2])]).unwrap();
    assert_eq!(held(), before);
    let class = session.gpu().class();
    let dry = dry_cost(&layer(), class, &|_, _| 1000).unwrap();
    assert_eq!(cost, dry);
    assert_eq!(cost.flops, 2 * 1000 * 2 * 3);
    assert_eq!(cost.largest_buffer, 1000 * 3 * 4);

    let x = tensor(&[1000, 2], &[0.5; 2000]);
    let first = run(&session, &[("x", x.clone())]);
    let stats = session.stats();
    assert_eq!(stats.peak_bytes + stats.weight_bytes, cost.total_bytes);
    let kept = held();
    session.forget_plans();
    assert!(with_parameters(kept - held(), stats.peak_bytes));
    assert_eq!(run(&session, &[("x", x)]), first);

    let kind = |inputs: &[(&str, &[usize])]| session.cost(inputs).unwrap_err().kind();
    assert_eq!(kind(&[]), ErrorKind::InvalidInput);
    assert_eq!(kind(&[("x", &[1, 3])]), ErrorKind::ShapeMismatch);
}

#[test]
fn dispatches_are_counted_without_a_device() {
    let graph = model(&[
        node("MatMul", &["x", "w"], "h"),
        node("Softmax", &["h"], "y"),
        floats("w", &[8, 4], &[0.5; 32]),
        info(11, "x", 1, &[16, 8]),
        info(12, "y", 1, &[16, 4]),
    ]);
    let class = onnx_gpu::kernels::AdapterClass::Hardware;
    let nothing = onnx_gpu::weights::Bytes::new();
    let counted = onnx_gpu::dry_dispatches(&graph, &nothing, class, &|_, _| 1).unwrap();
    let [product, softmax] = &counted[..] else {
        panic!("{counted:?}");
    };
    assert_eq!((product.label, product.flops), ("matmul", 2 * 16 * 8 * 4));
    assert_eq!(product.bytes, 4 * (16 * 8 + 8 * 4 + 16 * 4));
    assert_eq!(
        (softmax.label, softmax.flops, softmax.bytes),
        ("softmax", 0, 4 * 2 * 16 * 4)
    );
}

#[test]
fn memory_between_dispatches_is_counted_for_as_long_as_a_plan_holds_it() {
    let products = model(&[
        node("MatMul", &["x", "w"], "p"),
        node("MatMul", &["p", "v"], "y"),
        floats("w", &[2, 3], &[1.0, 0.0, 2.0, 0.0, 1.0, -1.0]),
        floats("v", &[3, 1], &[1.0, 2.0, 3.0]),
        info(11, "x", 1, &[0, 2]),
        info(12, "y", 1, &[0, 1]),
    ]);
    let options = Options::default()
        .with_gpu(pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap());
    let session = Session::from_bytes_blocking(&products, options).unwrap();
    run(&session, &[("x", tensor(&[1000, 2], &[0.5; 2000]))]);
    assert_eq!(session.stats().dispatches, 2);
    let kept = session.gpu().stats().buffer_bytes;
    session.forget_plans();
    let freed = kept - session.gpu().stats().buffer_bytes;
    assert!(with_parameters(freed, 1000 * (2 + 3 + 1) * 4), "{freed}");
}

/// A plan also holds the parameters of its dispatches, some hundred bytes each, which no cost counts.
fn with_parameters(held: u64, counted: u64) -> bool {
    (counted..counted + 1024).contains(&held)
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
    let node = [
        field(1, b"x"),
        field(2, b"y"),
        field(3, b"make_y"),
        field(4, b"Conjure"),
    ]
    .concat();
    let bytes = model(&[
        field(1, &node),
        info(11, "x", 1, &[2]),
        info(12, "y", 1, &[2]),
    ]);
    let error = open(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
    assert_eq!(error.node(), Some(("make_y", "Conjure")));
}

#[test]
fn an_unread_attribute_is_refused() {
    let bytes = model(&[
        node_with("", "Relu", &["x"], "y", &[attribute("secret", 1)]),
        info(11, "x", 1, &[2]),
        info(12, "y", 1, &[2]),
    ]);
    let error = open(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
    assert!(error.to_string().contains("'secret' = 1"), "{error}");
}

#[test]
fn broken_graphs_are_refused() {
    let x = || info(11, "x", 1, &[2]);
    let y = || info(12, "y", 1, &[2]);
    let cycle = [
        node("Add", &["x", "b"], "a"),
        node("Relu", &["a"], "b"),
        x(),
        info(12, "b", 1, &[2]),
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
