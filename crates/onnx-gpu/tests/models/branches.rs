//! `If`, whose branch follows from shapes, constants or inputs that are known before the run. Expected values by hand.

use onnx_gpu::{ErrorKind, Tensor};

use super::encode::{
    attribute, field, floats, info, longs, model, node, node_with, open_info, raw,
};
use super::{open, run, tensor};

/// A branch: nodes and constants of a graph, and the names of its outputs, whose types are not declared.
fn branch(name: &str, graph: &[Vec<u8>], outputs: &[&str]) -> Vec<u8> {
    let outputs = outputs
        .iter()
        .flat_map(|o| field(12, &field(1, o.as_bytes())));
    let body: Vec<u8> = graph.concat().into_iter().chain(outputs).collect();
    [field(1, name.as_bytes()), field(6, &body), vec![0xa0, 1, 5]].concat()
}

fn choose(condition: &str, outputs: &[&str], then: Vec<u8>, other: Vec<u8>) -> Vec<u8> {
    let mut body = field(1, condition.as_bytes());
    body.extend(outputs.iter().flat_map(|o| field(2, o.as_bytes())));
    body.extend(field(3, b"choice"));
    body.extend(field(4, b"If"));
    body.extend([field(5, &then), field(5, &other)].concat());
    field(1, &body)
}

/// `squeeze(x, 1) · 2` where axis 1 has one entry, else `x · 2`, as exporters write `squeeze(1)` of an unknown shape.
fn squeezed() -> Vec<u8> {
    model(&[
        node("Shape", &["x"], "shape"),
        node("Gather", &["shape", "place"], "length"),
        node("Equal", &["length", "one"], "is_one"),
        choose(
            "is_one",
            &["picked"],
            branch(
                "then_branch",
                &[
                    node("Squeeze", &["x", "axis"], "inner"),
                    longs("axis", &[1]),
                ],
                &["inner"],
            ),
            branch(
                "else_branch",
                &[node("Identity", &["x"], "inner")],
                &["inner"],
            ),
        ),
        node("Mul", &["picked", "two"], "y"),
        raw("place", &[], 7, &1i64.to_le_bytes()),
        raw("one", &[], 7, &1i64.to_le_bytes()),
        raw("two", &[], 1, &2f32.to_le_bytes()),
        open_info(11, "x"),
        open_info(12, "y"),
    ])
}

#[test]
fn a_shape_decides_and_the_branches_differ_in_rank() {
    let session = open(&squeezed()).unwrap();
    for (shape, wanted) in [(vec![2, 1, 2], vec![2, 2]), (vec![2, 2, 1], vec![2, 2, 1])] {
        let x = tensor(&shape, &[1.0, 2.0, 3.0, 4.0]);
        let y = &session.run_blocking(&[("x", x)]).unwrap()[0].1;
        assert_eq!(y.shape(), wanted);
        assert_eq!(y.as_f32().unwrap(), &[2.0, 4.0, 6.0, 8.0]);
    }
}

fn bool_constant(name: &str, value: bool) -> Vec<u8> {
    raw(name, &[], 9, &[u8::from(value)])
}

/// Branches with constants of one name and an operator that does not exist where it is not taken.
fn by_constant(holds: bool) -> Vec<u8> {
    let conjure = |taken: bool| {
        let op = if taken { "Add" } else { "Conjure" };
        node(op, &["x", "k"], "r")
    };
    model(&[
        choose(
            "c",
            &["y"],
            branch(
                "then_branch",
                &[conjure(holds), floats("k", &[1], &[10.0])],
                &["r"],
            ),
            branch(
                "else_branch",
                &[conjure(!holds), floats("k", &[1], &[20.0])],
                &["r"],
            ),
        ),
        bool_constant("c", holds),
        info(11, "x", 1, &[2]),
        info(12, "y", 1, &[2]),
    ])
}

#[test]
fn a_constant_decides_and_the_other_branch_may_be_anything() {
    for (holds, wanted) in [(true, [11.0, 12.0]), (false, [21.0, 22.0])] {
        let session = open(&by_constant(holds)).unwrap();
        assert_eq!(run(&session, &[("x", tensor(&[2], &[1.0, 2.0]))]), wanted);
        // The branch has taken the node's place before anything was fused.
        assert_eq!(session.stats().dispatches, 1);
    }
}

#[test]
fn branches_lie_in_branches_and_read_what_is_around_them() {
    let innermost = |name: &str, op: &str| branch(name, &[node(op, &["scaled", "x"], "z")], &["z"]);
    let outer = branch(
        "then_branch",
        &[
            // Out of order, as the nodes of any graph may be.
            choose(
                "wide",
                &["r"],
                innermost("then_branch", "Add"),
                innermost("else_branch", "Sub"),
            ),
            node("Mul", &["x", "big"], "scaled"),
            floats("big", &[1], &[100.0]),
        ],
        &["r", "scaled"],
    );
    // An outer value may be returned as it is.
    let other = branch("else_branch", &[], &["x", "x"]);
    let graph = model(&[
        choose("long", &["y", "s"], outer, other),
        node("Shape", &["x"], "shape"),
        node("Size", &["shape"], "rank"),
        node("Size", &["x"], "count"),
        node("Greater", &["count", "two"], "long"),
        node("Greater", &["rank", "one"], "wide"),
        raw("one", &[], 7, &1i64.to_le_bytes()),
        raw("two", &[], 7, &2i64.to_le_bytes()),
        open_info(11, "x"),
        open_info(12, "y"),
        open_info(12, "s"),
    ]);
    let session = open(&graph).unwrap();
    let of = |shape: &[usize]| {
        let x: Vec<f32> = (1..=shape.iter().product()).map(|i| i as f32).collect();
        let outputs = session.run_blocking(&[("x", tensor(shape, &x))]).unwrap();
        outputs
            .into_iter()
            .map(|(_, t)| t.as_f32().unwrap().to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&[1, 3]), [[101.0, 202.0, 303.0], [100.0, 200.0, 300.0]]);
    assert_eq!(of(&[3]), [[99.0, 198.0, 297.0], [100.0, 200.0, 300.0]]);
    assert_eq!(of(&[2]), [[1.0, 2.0], [1.0, 2.0]]);
}

#[test]
fn large_weights_lie_in_branches_too() {
    let n = 40_000;
    let weight = |shift: f32| {
        floats(
            "w",
            &[n],
            &(0..n).map(|i| i as f32 + shift).collect::<Vec<_>>(),
        )
    };
    let graph = model(&[
        node("Size", &["x"], "count"),
        node("Equal", &["count", "one"], "c"),
        choose(
            "c",
            &["y"],
            branch(
                "then_branch",
                &[node("Mul", &["x", "w"], "r"), weight(0.5)],
                &["r"],
            ),
            branch(
                "else_branch",
                &[node("Add", &["x", "w"], "r"), weight(0.0)],
                &["r"],
            ),
        ),
        raw("one", &[], 7, &1i64.to_le_bytes()),
        open_info(11, "x"),
        open_info(12, "y"),
    ]);
    let session = open(&graph).unwrap();
    let one = run(&session, &[("x", tensor(&[1], &[2.0]))]);
    assert_eq!(
        one,
        (0..n).map(|i| 2.0 * (i as f32 + 0.5)).collect::<Vec<_>>()
    );
    let all = run(&session, &[("x", tensor(&[n], &vec![-1.0; n]))]);
    assert_eq!(all, (0..n).map(|i| i as f32 - 1.0).collect::<Vec<_>>());
}

/// `x · 2` or `x + 10`, by an input.
fn by_input(code: i64, test: Vec<Vec<u8>>, shape: &[usize]) -> Vec<u8> {
    let fields = [
        test,
        vec![
            choose(
                "c",
                &["y"],
                branch(
                    "then_branch",
                    &[node("Mul", &["x", "k"], "r"), floats("k", &[1], &[2.0])],
                    &["r"],
                ),
                branch(
                    "else_branch",
                    &[node("Add", &["x", "k"], "r"), floats("k", &[1], &[10.0])],
                    &["r"],
                ),
            ),
            info(11, "x", 1, &[2]),
            info(11, "by", code, shape),
            info(12, "y", 1, &[2]),
        ],
    ]
    .concat();
    model(&fields)
}

#[test]
fn an_input_decides_before_the_run() {
    // A sample rate, as speech models take it, and a truth value.
    let rate = by_input(
        7,
        vec![
            node("Equal", &["by", "rate"], "c"),
            raw("rate", &[], 7, &16_000i64.to_le_bytes()),
        ],
        &[],
    );
    let session = open(&rate).unwrap();
    let x = tensor(&[2], &[1.0, 2.0]);
    let at = |rate: i64| {
        let by = Tensor::i64([], vec![rate]).unwrap();
        run(&session, &[("x", x.clone()), ("by", by)])
    };
    for _ in 0..2 {
        assert_eq!(at(16_000), [2.0, 4.0]);
        assert_eq!(at(8_000), [11.0, 12.0]);
    }
    let truth = by_input(9, vec![node("Identity", &["by"], "c")], &[1]);
    let session = open(&truth).unwrap();
    for (by, wanted) in [(true, [2.0, 4.0]), (false, [11.0, 12.0])] {
        let by = Tensor::bool([1], vec![by]).unwrap();
        assert_eq!(run(&session, &[("x", x.clone()), ("by", by)]), wanted);
    }
}

#[test]
fn what_only_the_run_decides_is_refused_with_the_reason() {
    let graph = by_input(
        1,
        vec![
            node("MatMul", &["by", "by"], "product"),
            node_with(
                "",
                "ReduceSum",
                &["product"],
                "sum",
                &[attribute("keepdims", 0)],
            ),
            node("Greater", &["sum", "zero"], "c"),
            raw("zero", &[], 1, &0f32.to_le_bytes()),
        ],
        &[64, 64],
    );
    let session = open(&graph).unwrap();
    let inputs = [
        ("x", tensor(&[2], &[1.0, 2.0])),
        ("by", tensor(&[64, 64], &[1.0; 4096])),
    ];
    let error = session.run_blocking(&inputs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
    assert_eq!(error.node(), Some(("choice", "If")));
    assert!(
        error.to_string().contains("only known during the run"),
        "{error}"
    );
}

#[test]
fn broken_branches_are_refused() {
    let graph = |condition: Vec<u8>, then: Vec<u8>, other: Vec<u8>| {
        let x = [info(11, "x", 1, &[2]), info(12, "y", 1, &[2])].concat();
        open(&model(&[choose("c", &["y"], then, other), condition, x])).unwrap_err()
    };
    let fine = |name: &str| branch(name, &[node("Identity", &["x"], "r")], &["r"]);
    let (then, other) = (|| fine("then_branch"), || fine("else_branch"));
    let truth = || bool_constant("c", true);
    let unknown = branch("then_branch", &[node("Identity", &["nobody"], "r")], &["r"]);
    let two = branch("then_branch", &[node("Identity", &["x"], "r")], &["r", "r"]);
    let fed = branch(
        "then_branch",
        &[node("Identity", &["x"], "r"), field(11, &field(1, b"own"))],
        &["r"],
    );
    let cycle = branch(
        "then_branch",
        &[node("Add", &["x", "r"], "s"), node("Relu", &["s"], "r")],
        &["r"],
    );
    for error in [
        graph(truth(), fine("else_branch"), other()),
        graph(truth(), unknown, other()),
        graph(truth(), two, other()),
        graph(truth(), fed, other()),
        graph(truth(), cycle, other()),
        // Two truth values, and a number.
        graph(raw("c", &[2], 9, &[1, 1]), then(), other()),
        graph(longs("c", &[1]), then(), other()),
        graph(node("Identity", &["y"], "c"), then(), other()),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
    }
    // What a branch reads of its own is not seen outside.
    let leak = model(&[
        choose("c", &["z"], then(), other()),
        node("Relu", &["r"], "y"),
        truth(),
        info(11, "x", 1, &[2]),
        info(12, "y", 1, &[2]),
    ]);
    assert_eq!(open(&leak).unwrap_err().kind(), ErrorKind::InvalidModel);
}

#[test]
fn branches_too_deep_in_each_other_are_refused() {
    let mut inner = node("Identity", &["x"], "y");
    for _ in 0..1000 {
        inner = choose(
            "c",
            &["y"],
            branch("then_branch", &[inner], &["y"]),
            branch("else_branch", &[node("Identity", &["x"], "y")], &["y"]),
        );
    }
    let graph = model(&[
        inner,
        bool_constant("c", true),
        info(11, "x", 1, &[2]),
        info(12, "y", 1, &[2]),
    ]);
    let error = open(&graph).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
}
