//! Outputs by choice, inputs as flat slices, and errors that keep what led to them. Expected values by hand.

use std::error::Error as _;

use onnx_gpu::{DType, Dim, ErrorKind, Session, Tensor};

use super::encode::{field, floats, info, int, model, node, open_info};
use super::{options, run, tensor};

/// `a = relu(x)`, `b = a · w`, `y = b + a`, and beside them what no device computes.
fn graph() -> Vec<u8> {
    model(&[
        node("Relu", &["x"], "a"),
        node("MatMul", &["a", "w"], "b"),
        node("Add", &["b", "a"], "y"),
        node("StringNormalizer", &["side"], "words"),
        floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        info(11, "x", 1, &[1, 2]),
        info(11, "side", 1, &[3]),
        info(12, "y", 1, &[1, 2]),
        open_info(12, "words"),
    ])
}

fn choose(names: &[&str]) -> onnx_gpu::Result<Session> {
    Session::from_bytes_blocking(&graph(), options().with_outputs(names.iter().copied()))
}

#[test]
fn any_value_may_be_the_output_and_nothing_else_is_computed() {
    // The whole graph has an operator that nobody knows.
    let whole = Session::from_bytes_blocking(&graph(), options()).unwrap_err();
    assert_eq!(whole.kind(), ErrorKind::UnsupportedOp);
    let x = [("x", tensor(&[1, 2], &[-1.0, 2.0]))];
    let session = choose(&["b", "x", "w", "a"]).unwrap();
    assert_eq!(session.inputs().len(), 1);
    let outputs = session.run_blocking(&x).unwrap();
    let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "x", "w", "a"]);
    assert_eq!(outputs[0].1.as_f32().unwrap(), [6.0, 8.0]);
    assert_eq!(outputs[1].1.as_f32().unwrap(), [-1.0, 2.0]);
    assert_eq!(outputs[2].1.as_f32().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(outputs[3].1.as_f32().unwrap(), [0.0, 2.0]);
    // Only the product and what it reads.
    assert_eq!(session.stats().dispatches, 2);
    assert_eq!(choose(&["a"]).unwrap().stats().dispatches, 1);
    // An input that does not lead there may be given all the same.
    let more = [x[0].clone(), ("side", tensor(&[3], &[0.0; 3]))];
    assert_eq!(run(&session, &more), [6.0, 8.0]);
    let unknown = session.run_blocking(&[x[0].clone(), ("z", tensor(&[1], &[0.0]))]);
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn outputs_tell_what_the_file_tells() {
    let session = choose(&["y", "b", "x"]).unwrap();
    let [y, b, x] = session.outputs() else {
        panic!("three were asked for");
    };
    assert_eq!((y.name.as_str(), y.dtype), ("y", Some(DType::F32)));
    assert_eq!(
        y.shape.as_deref(),
        Some(&[Dim::Fixed(1), Dim::Fixed(2)][..])
    );
    assert_eq!((b.name.as_str(), b.dtype, &b.shape), ("b", None, &None));
    assert_eq!(x.dtype, Some(DType::F32));
}

#[test]
fn names_that_no_value_has_are_refused() {
    for names in [&["nothing"][..], &["b", "b"], &[""], &[]] {
        let error = choose(names).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{names:?}: {error}");
    }
    assert!(
        choose(&["nothing"])
            .unwrap_err()
            .to_string()
            .contains("'nothing'")
    );
}

#[test]
fn elements_alone_are_an_input_where_the_file_declares_the_shape() {
    let dims = [field(1, &field(2, b"n")), field(1, &int(1, 2))].concat();
    let kind = [int(1, 1), field(2, &dims)].concat();
    let open = field(11, &[field(1, b"x"), field(2, &field(1, &kind))].concat());
    let graph = model(&[node("Relu", &["x"], "y"), open, open_info(12, "y")]);
    let session = Session::from_bytes_blocking(&graph, options()).unwrap();
    let x = session.input("x", &[-1.0f32, 2.0, 3.0, -4.0]).unwrap();
    assert_eq!(x.shape(), &[2, 2]);
    assert_eq!(run(&session, &[("x", x)]), [0.0, 2.0, 3.0, 0.0]);
    let kind = |result: onnx_gpu::Result<Tensor>| result.unwrap_err().kind();
    assert_eq!(
        kind(session.input("x", &[1.0f32])),
        ErrorKind::ShapeMismatch
    );
    assert_eq!(
        kind(session.input("x", &[1i64, 2])),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_file_that_is_not_there_is_the_source_of_the_error() {
    let path = std::env::temp_dir().join("onnx-gpu-no-such-folder/model.onnx");
    let error = Session::open_blocking(&path, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let mut source = error.source();
    while let Some(inner) = source.and_then(|inner| inner.source()) {
        source = Some(inner);
    }
    let io = source.and_then(|inner| inner.downcast_ref::<std::io::Error>());
    assert_eq!(
        io.map(std::io::Error::kind),
        Some(std::io::ErrorKind::NotFound)
    );
}
