use onnx_gpu::{ErrorKind, Session, Tensor};

use super::encode::{
    external, field, floats, info, int, longs, model, node, node_with, open_info, raw,
};
use super::options;

fn refused(graph: &[u8]) -> onnx_gpu::Error {
    Session::from_bytes_blocking(graph, options()).unwrap_err()
}

#[test]
fn cycles_and_duplicate_names_are_invalid() {
    let x = || info(11, "x", 1, &[2]);
    let cycle = model(&[
        node("Add", &["x", "b"], "a"),
        node("Relu", &["a"], "b"),
        x(),
        info(12, "b", 1, &[2]),
    ]);
    assert_eq!(refused(&cycle).kind(), ErrorKind::InvalidModel);
    let own = model(&[node("Relu", &["a"], "a"), x(), info(12, "a", 1, &[2])]);
    assert_eq!(refused(&own).kind(), ErrorKind::InvalidModel);
    let twice = model(&[
        node("Relu", &["x"], "y"),
        node("Abs", &["x"], "y"),
        x(),
        info(12, "y", 1, &[2]),
    ]);
    let error = refused(&twice);
    assert_eq!(error.kind(), ErrorKind::InvalidModel);
    assert!(error.to_string().contains("'y'"), "{error}");
    let initializers = model(&[
        node("Add", &["x", "w"], "y"),
        floats("w", &[2], &[1.0, 2.0]),
        floats("w", &[2], &[3.0, 4.0]),
        x(),
        info(12, "y", 1, &[2]),
    ]);
    assert_eq!(refused(&initializers).kind(), ErrorKind::InvalidModel);
}

#[test]
fn sizes_that_overflow_are_errors() {
    let huge = 1usize << 40;
    for dims in [vec![huge, huge, 4], vec![huge, 4]] {
        let graph = model(&[
            node("Relu", &["x"], "y"),
            info(11, "x", 1, &dims),
            info(12, "y", 1, &dims),
        ]);
        assert_eq!(refused(&graph).kind(), ErrorKind::Limit, "{dims:?}");
        let outside = model(&[
            node("Relu", &["w"], "y"),
            external("w", &dims, 1, "w.bin", 0),
            info(12, "y", 1, &dims),
        ]);
        let kind = refused(&outside).kind();
        assert!(
            matches!(kind, ErrorKind::Limit | ErrorKind::Io),
            "{dims:?}: {kind:?}"
        );
    }
    // Each dimension is modest, the broadcast result is not.
    let n = 1 << 20;
    let graph = model(&[
        node("Add", &["a", "b"], "y"),
        info(11, "a", 1, &[n, 1]),
        info(11, "b", 1, &[1, n]),
        info(12, "y", 1, &[0, 0]),
    ]);
    assert_eq!(refused(&graph).kind(), ErrorKind::Limit);
}

#[test]
fn raw_data_of_another_length_are_malformed() {
    for length in [0, 7, 9, 16] {
        let graph = model(&[
            node("Add", &["x", "w"], "y"),
            raw("w", &[2], 1, &vec![0; length]),
            info(11, "x", 1, &[2]),
            info(12, "y", 1, &[2]),
        ]);
        assert_eq!(refused(&graph).kind(), ErrorKind::Parse, "{length}");
    }
}

#[test]
fn nesting_costs_no_stack() {
    // Subgraphs in subgraphs, as attributes (field 6 of AttributeProto) of nodes.
    let mut graph = node("Relu", &["x"], "y");
    for _ in 0..2_000 {
        let attribute = [field(1, b"body"), field(6, &graph), vec![0xa0, 1, 5]].concat();
        let body = [field(4, b"Loop"), field(2, b"y"), field(5, &attribute)].concat();
        graph = field(1, &body);
    }
    let error = refused(&model(&[graph, info(12, "y", 1, &[1])]));
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
}

#[test]
fn every_truncation_is_refused() {
    let whole = model(&[
        node("MatMul", &["x", "w"], "y"),
        floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        info(11, "x", 1, &[1, 2]),
        info(12, "y", 1, &[1, 2]),
    ]);
    for end in 0..whole.len() {
        // Up to the operator sets, which come last.
        let result = Session::from_bytes_blocking(&whole[..end], options());
        if let Ok(session) = result {
            let x = Tensor::f32([1, 2], vec![1.0, 10.0]).unwrap();
            let y = session.run_blocking(&[("x", x)]).unwrap();
            assert_eq!(y[0].1.to_f32_vec(), [31.0, 42.0], "cut at {end}");
        }
    }
}

#[test]
fn negative_dimensions_are_malformed() {
    let tensor = [int(1, -1), int(2, 1), field(8, b"w"), field(9, &[])].concat();
    let graph = model(&[
        node("Relu", &["w"], "y"),
        field(5, &tensor),
        info(12, "y", 1, &[1]),
    ]);
    assert_eq!(refused(&graph).kind(), ErrorKind::Parse);
}

/// Found by fuzzing: 240 bytes that took gigabytes and half a minute.
#[test]
fn a_resize_to_millions_of_entries_is_refused_before_its_weights_are_made() {
    let text = |name: &str, value: &str| {
        [
            field(1, name.as_bytes()),
            field(4, value.as_bytes()),
            vec![0xa0, 1, 3],
        ]
        .concat()
    };
    let attributes = [
        text("coordinate_transformation_mode", "asymmetric"),
        text("mode", "cubic"),
    ];
    let graph = model(&[
        node_with("", "Resize", &["x", "", "", "sizes"], "y", &attributes),
        longs("sizes", &[1, 4_587_522, 9, 7]),
        info(11, "x", 1, &[1, 2, 5, 4]),
        open_info(12, "y"),
    ]);
    assert_eq!(refused(&graph).kind(), ErrorKind::Limit);
}
