//! Patterns that exporters write and the optimiser knows, and their look-alikes. Expected values are worked out by hand.

use super::encode::{attribute, floats, info, longs, model, node, node_with, raw};
use super::{open, run, tensor};

fn cast(to: i64, input: &str, output: &str) -> Vec<u8> {
    node_with("", "Cast", &[input], output, &[attribute("to", to)])
}

#[test]
fn attention_is_known_behind_casts_that_do_nothing() {
    let session = open(&model(&[
        node("MatMul", &["q", "k"], "s"),
        node("Softmax", &["s"], "p"),
        cast(1, "p", "w"),
        node("MatMul", &["w", "v"], "y"),
        info(11, "q", 1, &[1, 2, 2]),
        info(11, "k", 1, &[1, 2, 2]),
        info(11, "v", 1, &[1, 2, 2]),
        info(12, "y", 1, &[1, 2, 2]),
    ]))
    .unwrap();
    assert_eq!(session.stats().dispatches, 1);
    // The first query fits both keys alike, the second the first key by ln 3 more.
    let log = 3f32.ln();
    let y = run(
        &session,
        &[
            ("q", tensor(&[1, 2, 2], &[0.0, 0.0, 1.0, 0.0])),
            ("k", tensor(&[1, 2, 2], &[log, 0.0, 5.0, -7.0])),
            ("v", tensor(&[1, 2, 2], &[4.0, 8.0, 0.0, 16.0])),
        ],
    );
    for (a, e) in y.iter().zip([2.0, 12.0, 3.0, 10.0]) {
        assert!((a - e).abs() < 1e-5, "{a} is not {e}");
    }
}

#[test]
fn casts_that_do_something_stay() {
    // To whole numbers and back; the last one has the name of an output.
    let session = open(&model(&[
        cast(7, "x", "n"),
        cast(7, "n", "m"),
        cast(1, "m", "f"),
        cast(1, "f", "y"),
        info(11, "x", 1, &[4]),
        info(12, "y", 1, &[4]),
    ]))
    .unwrap();
    let x = tensor(&[4], &[1.5, -1.5, 2.0, 0.9]);
    assert_eq!(run(&session, &[("x", x)]), [1.0, -1.0, 2.0, 0.0]);
}

#[test]
fn a_bias_rides_on_a_product_by_blocks_of_quantised_rows() {
    let session = open(&model(&[
        raw("levels", &[4, 2], 3, &[1, 2, 3, 4, 0xff, 0xfe, 0, 10]),
        floats("scales", &[4], &[1.0, 0.5, 2.0, 0.25]),
        node_with(
            "",
            "DequantizeLinear",
            &["levels", "scales"],
            "rows",
            &[attribute("axis", 0)],
        ),
        longs("shape", &[2, 4]),
        node("Reshape", &["rows", "shape"], "w"),
        node("MatMul", &["x", "w"], "p"),
        floats("b", &[4], &[0.5, 0.0, 0.0, -1.0]),
        node("Add", &["b", "p"], "y"),
        info(11, "x", 1, &[1, 2]),
        info(12, "y", 1, &[1, 4]),
    ]))
    .unwrap();
    assert_eq!(session.stats().dispatches, 1);
    // The matrix is [[1, 2, 1.5, 2], [-2, -4, 0, 2.5]].
    let y = run(&session, &[("x", tensor(&[1, 2], &[2.0, 1.0]))]);
    assert_eq!(y, [0.5, 0.0, 3.0, 5.5]);
}

/// GroupNorm of `[1, 4, 1, 2]` in two groups as PyTorch exports it, `back` being the last reshape's target.
fn group_norm(back: Vec<u8>) -> Vec<u8> {
    model(&[
        longs("groups", &[0, 2, -1]),
        back,
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
        info(11, "x", 1, &[1, 4, 1, 2]),
        info(12, "y", 1, &[]),
    ])
}

#[test]
fn an_exported_group_norm_is_one_dispatch_and_right() {
    // Each group holds -1, 1, -1, 1 about its mean, so it is divided by sqrt(1 + 1e-5).
    let x = tensor(&[1, 4, 1, 2], &[4.0, 6.0, 4.0, 6.0, -1.0, 1.0, -1.0, 1.0]);
    let silu = |v: f64| v / (1.0 + (-v).exp());
    let unit = 1.0 / (1.0f64 + 1e-5).sqrt();
    let expected: Vec<f64> = [(1.0, 0.0), (2.0, 0.0), (3.0, 1.0), (4.0, 1.0)]
        .iter()
        .flat_map(|&(s, b)| [silu(b - s * unit), silu(b + s * unit)])
        .collect();
    for back in [longs("back", &[1, 4, 1, 2]), node("Shape", &["x"], "back")] {
        let session = open(&group_norm(back)).unwrap();
        assert_eq!(session.stats().dispatches, 1);
        for (a, e) in run(&session, &[("x", x.clone())]).iter().zip(&expected) {
            assert!((f64::from(*a) - e).abs() < 1e-5, "{a} is not {e}");
        }
    }
}

#[test]
fn a_look_alike_of_group_norm_is_computed_by_parts() {
    // The last reshape swaps the roles of the axes, so that the scale runs along another one.
    let session = open(&group_norm(longs("back", &[2, 4, 1, 1]))).unwrap();
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
