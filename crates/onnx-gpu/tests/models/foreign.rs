//! What other programs write and this crate once refused or took too kindly. Expected values by hand.

use onnx_gpu::weights::{Bytes, skeleton};
use onnx_gpu::{DType, ErrorKind, Session, Tensor};

use super::encode::{
    attribute, field, float, floats, info, int, ints, longs, model, model_of, node, node_with,
    open_info, raw,
};
use super::{open, options, run, tensor};

fn refused(graph: &[u8]) -> onnx_gpu::Error {
    open(graph).unwrap_err()
}

#[test]
fn nodes_may_stand_in_any_order() {
    let graph = model(&[
        node("Relu", &["c"], "y"),
        node("Sub", &["a", "b"], "c"),
        node("Abs", &["x"], "a"),
        node("Neg", &["a"], "b"),
        info(11, "x", 1, &[2]),
        info(12, "y", 1, &[2]),
    ]);
    let session = open(&graph).unwrap();
    assert_eq!(
        run(&session, &[("x", tensor(&[2], &[-1.0, 3.0]))]),
        [2.0, 6.0]
    );
}

/// A tensor of floats with raw data and more fields, before and behind them.
fn placed(before: &[u8], behind: &[u8], data: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    let head = [int(1, data.len() as i64), int(2, 1), field(8, b"w")].concat();
    field(5, &[before, &head, &field(9, &bytes), behind].concat())
}

#[test]
fn a_tensor_may_say_that_its_data_lie_where_they_are() {
    let entry = |key: &[u8], value: &[u8]| field(13, &[field(1, key), field(2, value)].concat());
    let stale = [entry(b"location", b"gone.bin"), entry(b"offset", b"9")].concat();
    let here = int(14, 0);
    for length in [4, 512, 70_000] {
        let data: Vec<f32> = (0..length).map(|i| i as f32).collect();
        for (before, behind) in [
            (vec![], here.clone()),
            (here.clone(), vec![]),
            (stale.clone(), here.clone()),
            (here.clone(), stale.clone()),
            ([int(14, 1), stale.clone()].concat(), here.clone()),
        ] {
            let file = model(&[
                node("Add", &["x", "w"], "y"),
                placed(&before, &behind, &data),
                info(11, "x", 1, &[1]),
                info(12, "y", 1, &[length]),
            ]);
            let files = Bytes::new().file("m.onnx", &file);
            let session = pollster::block_on(Session::open(&files, "m.onnx", options())).unwrap();
            let wanted: Vec<f32> = data.iter().map(|x| x + 1.0).collect();
            assert_eq!(run(&session, &[("x", tensor(&[1], &[1.0]))]), wanted);
        }
    }
}

#[test]
fn data_that_lie_elsewhere_are_not_taken_from_the_file() {
    let data: Vec<f32> = (0..600).map(|i| i as f32).collect();
    let wrong = field(9, &vec![1; 2400]);
    let entry = [field(1, b"location"), field(2, b"w.bin")].concat();
    let behind = [wrong, int(14, 1), field(13, &entry)].concat();
    let head = [int(1, 600), int(2, 1), field(8, b"w")].concat();
    let file = model(&[
        node("Identity", &["w"], "y"),
        field(5, &[head, behind].concat()),
        info(12, "y", 1, &[600]),
    ]);
    let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    let files = Bytes::new().file("m.onnx", &file).file("w.bin", &bytes);
    let graph = pollster::block_on(skeleton(&files, "m.onnx")).unwrap();
    assert!(graph.len() < 300);
    let session = pollster::block_on(Session::open(&files, "m.onnx", options())).unwrap();
    assert_eq!(run(&session, &[]), data);
}

#[test]
fn unknown_sizes_are_not_one_size() {
    let dims = |names: &[&str]| -> Vec<u8> {
        names
            .iter()
            .flat_map(|n| field(1, &field(2, n.as_bytes())))
            .collect()
    };
    let input = |names: &[&str]| {
        let kind = [int(1, 1), field(2, &dims(names))].concat();
        field(11, &[field(1, b"x"), field(2, &field(1, &kind))].concat())
    };
    let of = |names: &[&str]| {
        open(&model(&[
            node("Relu", &["x"], "y"),
            input(names),
            open_info(12, "y"),
        ]))
        .unwrap()
    };
    let x = tensor(&[1, 2], &[-1.0, 2.0]);
    for names in [
        ["?", "?"],
        ["-1", "-1"],
        ["", ""],
        ["None", "None"],
        ["*", "*"],
        ["Unknown", "unknown"],
    ] {
        assert_eq!(
            run(&of(&names), &[("x", x.clone())]),
            [0.0, 2.0],
            "{names:?}"
        );
    }
    let error = of(&["n", "n"]).run_blocking(&[("x", x)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShapeMismatch);
}

#[test]
fn what_became_an_input_is_no_attribute_any_more() {
    let x = || [info(11, "x", 1, &[1, 2]), open_info(12, "y")].concat();
    type Case<'a> = (&'a str, &'a [&'a str], Vec<Vec<u8>>, i64);
    let cases: [Case<'_>; 8] = [
        ("Pad", &["x"], vec![ints("pads", &[0, 1, 0, 1])], 11),
        ("ReduceSum", &["x"], vec![ints("axes", &[1])], 13),
        ("ReduceMax", &["x"], vec![ints("axes", &[1])], 18),
        ("Squeeze", &["x"], vec![ints("axes", &[0])], 13),
        ("Unsqueeze", &["x"], vec![ints("axes", &[0])], 13),
        (
            "Slice",
            &["x"],
            vec![ints("starts", &[0]), ints("ends", &[1])],
            10,
        ),
        (
            "Split",
            &["x"],
            vec![ints("split", &[1]), attribute("axis", 0)],
            13,
        ),
        ("TopK", &["x"], vec![attribute("k", 1)], 10),
    ];
    for (op, inputs, attributes, since) in cases {
        let of = |opset| model_of(opset, &[node_with("", op, inputs, "y", &attributes), x()]);
        open(&of(since - 1)).unwrap();
        let error = refused(&of(since));
        let kinds = [ErrorKind::UnsupportedOp, ErrorKind::InvalidModel];
        assert!(kinds.contains(&error.kind()), "{op}: {error}");
    }
    // The pad's value too, where its pads are an input.
    let pads = longs("p", &[0, 1, 0, 1]);
    let valued = [
        node_with("", "Pad", &["x", "p"], "y", &[float("value", 7.0)]),
        pads,
        x(),
    ];
    assert_eq!(
        refused(&model_of(13, &valued)).kind(),
        ErrorKind::UnsupportedOp
    );
    let axis = model(&[node("Concat", &["x", "x"], "y"), x()]);
    let error = refused(&axis);
    assert_eq!(error.kind(), ErrorKind::InvalidModel);
    assert!(error.to_string().contains("'axis'"), "{error}");
}

#[test]
fn types_that_do_not_go_together_are_invalid_and_no_matter_of_shapes() {
    let wrong = floats("f", &[2], &[0.0, 1.0]);
    for op in ["Gather", "GatherElements", "GatherND", "Add", "Max", "Less"] {
        let graph = model(&[
            node(op, &["n", "f"], "y"),
            wrong.clone(),
            info(11, "n", 7, &[2]),
            open_info(12, "y"),
        ]);
        let error = refused(&graph);
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{op}: {error}");
    }
    let joined = model(&[
        node_with("", "Concat", &["n", "f"], "y", &[attribute("axis", 0)]),
        wrong,
        info(11, "n", 7, &[2]),
        open_info(12, "y"),
    ]);
    assert_eq!(refused(&joined).kind(), ErrorKind::InvalidModel);
}

#[test]
fn operator_set_6_is_read() {
    let x = || [info(11, "x", 1, &[1, 2, 2]), open_info(12, "y")].concat();
    let values = tensor(&[1, 2, 2], &[-1.0, 2.0, -3.0, 4.0]);
    let of = |graph: &[Vec<u8>]| open(&model_of(6, graph));
    let relu = of(&[node("Relu", &["x"], "y"), x()]).unwrap();
    assert_eq!(run(&relu, &[("x", values.clone())]), [0.0, 2.0, 0.0, 4.0]);
    // Broadcasting from axis 1 on, and to the end.
    let row = || floats("b", &[2], &[10.0, 20.0]);
    let broadcast = |axis: &[Vec<u8>]| {
        let attributes = [&[attribute("broadcast", 1)], axis].concat();
        node_with("", "Add", &["x", "b"], "y", &attributes)
    };
    let along = of(&[broadcast(&[attribute("axis", 1)]), row(), x()]).unwrap();
    assert_eq!(
        run(&along, &[("x", values.clone())]),
        [9.0, 12.0, 17.0, 24.0]
    );
    let last = of(&[broadcast(&[]), row(), x()]).unwrap();
    assert_eq!(run(&last, &[("x", values.clone())]), [9.0, 22.0, 7.0, 24.0]);
    let slopes = of(&[node("PRelu", &["x", "b"], "y"), row(), x()]).unwrap();
    assert_eq!(run(&slopes, &[("x", values)]), [-10.0, 2.0, -60.0, 4.0]);
    // Unasked, nothing is broadcast.
    let unasked = of(&[node("Add", &["x", "b"], "y"), row(), x()]).unwrap_err();
    assert_eq!(unasked.kind(), ErrorKind::ShapeMismatch);
    let training = of(&[node("Dropout", &["x"], "y"), x()]).unwrap_err();
    assert_eq!(training.kind(), ErrorKind::UnsupportedOp);
    let older = open(&model_of(5, &[node("Relu", &["x"], "y"), x()])).unwrap_err();
    assert_eq!(older.kind(), ErrorKind::UnsupportedOp);
}

/// A session whose second input says a shape, and what it gives for several of them.
fn shaped(op: &str, attributes: &[Vec<u8>], x: &Tensor, by: &[(Tensor, &[usize])]) {
    let code = |t: &Tensor| match t.dtype() {
        DType::I64 => 7,
        _ => 1,
    };
    let open_of = |number: u8, name: &str, code: i64| {
        field(
            number,
            &[
                field(1, name.as_bytes()),
                field(2, &field(1, &int(1, code))),
            ]
            .concat(),
        )
    };
    let graph = model(&[
        node_with("", op, &["x", "by"], "y", attributes),
        open_of(11, "x", code(x)),
        open_of(11, "by", 7),
        open_of(12, "y", code(x)),
    ]);
    let session = Session::from_bytes_blocking(&graph, options()).unwrap();
    for _ in 0..2 {
        for (by, shape) in by {
            let y = session
                .run_blocking(&[("x", x.clone()), ("by", by.clone())])
                .unwrap();
            assert_eq!(y[0].1.shape(), *shape, "{op}");
        }
    }
}

#[test]
fn inputs_that_say_shapes_are_read_before_the_run() {
    let x = tensor(&[2, 6], &[1.0; 12]);
    let by = |v: &[i64]| Tensor::i64([v.len()], v.to_vec()).unwrap();
    shaped(
        "Reshape",
        &[],
        &x,
        &[(by(&[3, 4]), &[3, 4]), (by(&[-1]), &[12])],
    );
    shaped(
        "Expand",
        &[],
        &x,
        &[(by(&[3, 1, 1]), &[3, 2, 6]), (by(&[2, 6]), &[2, 6])],
    );
    shaped(
        "Tile",
        &[],
        &x,
        &[(by(&[2, 1]), &[4, 6]), (by(&[1, 3]), &[2, 18])],
    );
    shaped(
        "ReduceSum",
        &[attribute("keepdims", 0)],
        &x,
        &[(by(&[0]), &[6]), (by(&[1]), &[2])],
    );
    shaped(
        "Unsqueeze",
        &[],
        &x,
        &[(by(&[0]), &[1, 2, 6]), (by(&[0, 3]), &[1, 2, 6, 1])],
    );
}

#[test]
fn the_classes_of_one_hot_may_be_an_input_and_their_number_is_bounded() {
    let graph = |depth: Vec<u8>| {
        model(&[
            node("OneHot", &["i", "depth", "values"], "y"),
            floats("values", &[2], &[0.0, 1.0]),
            depth,
            info(11, "i", 7, &[2]),
            open_info(12, "y"),
        ])
    };
    let session = open(&graph(info(11, "depth", 7, &[1]))).unwrap();
    let i = Tensor::i64([2], vec![0, 2]).unwrap();
    let of = |depth: i64| {
        let depth = Tensor::i64([1], vec![depth]).unwrap();
        session.run_blocking(&[("i", i.clone()), ("depth", depth)])
    };
    assert_eq!(
        of(3).unwrap()[0].1.as_f32().unwrap(),
        &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    );
    assert_eq!(of(4).unwrap()[0].1.shape(), &[2, 4]);
    for depth in [1 << 27, 1 << 40, i64::MAX] {
        assert_eq!(of(depth).unwrap_err().kind(), ErrorKind::Limit, "{depth}");
        assert_eq!(
            refused(&graph(longs("depth", &[depth]))).kind(),
            ErrorKind::Limit
        );
    }
}

#[test]
fn sizes_beyond_memory_are_refused_before_anything_is_allocated() {
    let huge = 1i64 << 40;
    let x = || [info(11, "x", 1, &[1, 2, 2, 2]), open_info(12, "y")].concat();
    let scalar = |name: &str, v: i64| raw(name, &[], 7, &v.to_le_bytes());
    let kind = |graph: &[Vec<u8>]| {
        let error = refused(&model(&[graph, &[x()]].concat()));
        assert!(error.to_string().len() < 300, "{error}");
        error.kind()
    };
    let with = |op: &str, inputs: &[&str], constants: &[Vec<u8>]| {
        let used = node("Mul", &["z", "z"], "y");
        kind(&[&[node(op, inputs, "z"), used], constants].concat())
    };
    assert_eq!(
        with("ConstantOfShape", &["s"], &[longs("s", &[huge])]),
        ErrorKind::Limit
    );
    assert_eq!(
        with("Expand", &["x", "s"], &[longs("s", &[huge, 1, 1, 1, 1])]),
        ErrorKind::Limit
    );
    assert_eq!(
        with(
            "Expand",
            &["k", "s"],
            &[floats("k", &[1], &[1.0]), longs("s", &[huge])]
        ),
        ErrorKind::Limit
    );
    assert_eq!(
        with("Tile", &["x", "r"], &[longs("r", &[huge, 1, 1, 1])]),
        ErrorKind::Limit
    );
    assert_eq!(
        with(
            "Tile",
            &["k", "r"],
            &[floats("k", &[1], &[1.0]), longs("r", &[huge])]
        ),
        ErrorKind::Limit
    );
    assert_eq!(
        with(
            "Pad",
            &["x", "p"],
            &[longs("p", &[0, 0, 0, huge, 0, 0, 0, 0])]
        ),
        ErrorKind::Limit
    );
    assert_eq!(
        with(
            "Pad",
            &["e", "p"],
            &[floats("e", &[0], &[]), longs("p", &[0, huge])]
        ),
        ErrorKind::Limit
    );
    assert_eq!(
        with(
            "Range",
            &["a", "b", "c"],
            &[scalar("a", 0), scalar("b", huge), scalar("c", 1)]
        ),
        ErrorKind::Limit
    );
    assert_eq!(
        with(
            "Resize",
            &["x", "", "", "s"],
            &[longs("s", &[1, 2, huge, 2])]
        ),
        ErrorKind::Limit
    );
    // Of nothing, with a long axis beside it.
    let nothing = || floats("e", &[0, 1 << 40], &[]);
    assert_eq!(
        with("ReduceSum", &["e", "a"], &[nothing(), longs("a", &[0])]),
        ErrorKind::Limit
    );
    assert_eq!(
        with(
            "MatMul",
            &["l", "r"],
            &[
                floats("l", &[1 << 20, 0], &[]),
                floats("r", &[0, 1 << 20], &[])
            ]
        ),
        ErrorKind::Limit
    );
}

/// Operators of every family, with attributes that they need.
const EVERY: &str = "Abs Add ArgMax Attention AveragePool BatchNormalization Cast Clip Concat Conv ConvInteger ConvTranspose CumSum
    DepthToSpace DequantizeLinear Dropout DynamicQuantizeLinear Einsum Equal Expand EyeLike Flatten Gather GatherElements GatherND Gemm
    GlobalAveragePool GlobalMaxPool GroupNormalization InstanceNormalization LayerNormalization LogSoftmax MatMul MatMulInteger Max MaxPool
    Mean NonZero OneHot PRelu Pad QLinearMatMul QuantizeLinear RMSNormalization Range ReduceMax ReduceSum Reshape Resize RotaryEmbedding
    ScatterElements ScatterND Shape Size Slice Softmax SpaceToDepth Split Squeeze Tile TopK Transpose Trilu Unsqueeze Upsample Where";

#[test]
fn no_shape_of_an_input_makes_an_operator_panic_or_take_memory_and_time() {
    let start = std::time::Instant::now();
    let mut panics = Vec::new();
    for op in EVERY.split_whitespace() {
        for shape in [
            &[1 << 62, 0][..],
            &[0, 1 << 62],
            &[1 << 40],
            &[1 << 30, 1 << 30],
            &[1, 1, 1 << 30, 1],
            &[1 << 31, 1, 1],
            &[1, 1 << 32, 0, 3],
            &[1 << 20, 1 << 10],
        ] {
            for (code, inputs) in [
                (1, &["x"][..]),
                (1, &["x", "x"]),
                (1, &["x", "x", "x"]),
                (1, &["x", "e"]),
                (1, &["x", "e", "e"]),
                (3, &["x", "x"]),
                (3, &["x", "s", "z", "x", "s", "z", "s", "z"]),
                (7, &["x", "x"]),
                (1, &["x", "n"]),
                (1, &["x", "n", "e"]),
                (7, &["x", "n", "e"]),
            ] {
                let mut attributes = vec![];
                match op {
                    "Concat" | "ArgMax" => attributes.push(attribute("axis", 0)),
                    "AveragePool" | "MaxPool" => attributes.push(ints("kernel_shape", &[2, 2])),
                    "DepthToSpace" | "SpaceToDepth" => attributes.push(attribute("blocksize", 2)),
                    "Cast" => attributes.push(attribute("to", 7)),
                    "GroupNormalization" => attributes.push(attribute("num_groups", 1)),
                    "Attention" => attributes.extend([
                        attribute("q_num_heads", 1),
                        attribute("kv_num_heads", 1),
                        attribute("is_causal", 1),
                    ]),
                    _ => {}
                }
                let graph = model(&[
                    node_with("", op, inputs, "y", &attributes),
                    floats("e", &[0, 1 << 40], &[]),
                    floats("s", &[], &[0.5]),
                    raw("z", &[], 3, &[1]),
                    longs("n", &[0]),
                    info(11, "x", code, shape),
                    open_info(12, "y"),
                ]);
                let planned = std::panic::catch_unwind(|| {
                    drop(onnx_gpu::dry_run(
                        &graph,
                        onnx_gpu::kernels::AdapterClass::Software,
                    ));
                });
                if planned.is_err() {
                    panics.push(format!("{op} {inputs:?} of type {code} {shape:?}"));
                }
            }
        }
    }
    assert!(panics.is_empty(), "{panics:#?}");
    // Some thousands of plans, each refused or of a few dispatches.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
