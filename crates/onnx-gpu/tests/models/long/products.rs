//! Products, convolutions, scatters and attention over more elements than an invocation goes over.

use super::super::encode::{
    attribute, field, float, floats, longs, model, model_of, node, node_with, open_info,
};
use super::super::{open, tensor};
use super::{close, one, outputs, pattern, sum};

#[test]
fn products_add_every_term() {
    let k = 70_001;
    let (a, b) = (pattern(2 * k), pattern(k * 3 + 1)[1..].to_vec());
    let product = |i: usize, j: usize| -> f64 {
        (0..k)
            .map(|t| f64::from(a[i * k + t]) * f64::from(b[t * 3 + j]))
            .sum()
    };
    let wanted: Vec<f64> = (0..6).map(|at| product(at / 3, at % 3)).collect();
    let transposed = |v: &[f32], rows: usize, cols: usize| -> Vec<f32> {
        (0..rows * cols)
            .map(|at| v[at % rows * cols + at / rows])
            .collect()
    };
    let plain = one("MatMul", &["x", "w"], &[], &[floats("w", &[k, 3], &b)]);
    let found = outputs(&plain, tensor(&[2, k], &a));
    for (&got, &wanted) in found[0].as_f32().unwrap().iter().zip(&wanted) {
        close(got, wanted, 1e-6);
    }
    let general = one(
        "Gemm",
        &["x", "w", "c"],
        &[
            attribute("transA", 1),
            attribute("transB", 1),
            float("beta", 2.0),
            float("alpha", 0.5),
        ],
        &[
            floats("w", &[3, k], &transposed(&b, k, 3)),
            floats("c", &[3], &[1.0, 2.0, 3.0]),
        ],
    );
    let found = outputs(&general, tensor(&[k, 2], &transposed(&a, 2, k)));
    for (at, &got) in found[0].as_f32().unwrap().iter().enumerate() {
        close(got, 0.5 * wanted[at] + 2.0 * (at % 3 + 1) as f64, 1e-6);
    }
    // With what fusion puts behind a product.
    let fused = model(&[
        node("MatMul", &["x", "w"], "p"),
        node("Add", &["p", "row"], "s"),
        node("Relu", &["s"], "y"),
        floats("w", &[k, 3], &b),
        floats("row", &[3], &[1.0, -1e9, 3.0]),
        open_info(11, "x"),
        open_info(12, "y"),
    ]);
    let found = outputs(&open(&fused).unwrap(), tensor(&[1, k], &a[..k]));
    let row = [1.0, -1e9, 3.0];
    for (at, &got) in found[0].as_f32().unwrap().iter().enumerate() {
        close(got, (wanted[at] + row[at]).max(0.0), 1e-6);
    }
}

#[test]
fn convolutions_add_every_channel() {
    for (channels, side, kernel) in [(7_001, 3, 3), (70_001, 2, 1)] {
        let plane = side * side;
        let (x, w) = (
            pattern(channels * plane),
            pattern(channels * kernel * kernel),
        );
        let session = one(
            "Conv",
            &["x", "w", "b"],
            &[],
            &[
                floats("w", &[1, channels, kernel, kernel], &w),
                floats("b", &[1], &[0.5]),
            ],
        );
        let found = outputs(&session, tensor(&[1, channels, side, side], &x));
        let found = found[0].as_f32().unwrap();
        // The first pixel: of a window as large as the image, or of one of its own.
        let terms = (0..channels * kernel * kernel).map(|at| {
            let (channel, tap) = (at / (kernel * kernel), at % (kernel * kernel));
            let pixel = tap / kernel * side + tap % kernel;
            f64::from(w[at]) * f64::from(x[channel * plane + pixel])
        });
        close(found[0], terms.sum::<f64>() + 0.5, 1e-6);
    }
}

#[test]
fn transposed_convolutions_add_every_channel() {
    let channels = 8_001;
    let (x, w) = (pattern(channels), pattern(channels * 2 * 9));
    let session = one(
        "ConvTranspose",
        &["x", "w", "b"],
        &[],
        &[
            floats("w", &[channels, 2, 3, 3], &w),
            floats("b", &[2], &[0.5, -0.5]),
        ],
    );
    let found = outputs(&session, tensor(&[1, channels, 1, 1], &x));
    assert_eq!(found[0].shape(), &[1, 2, 3, 3]);
    for (at, &got) in found[0].as_f32().unwrap().iter().enumerate() {
        let terms = (0..channels).map(|c| f64::from(x[c]) * f64::from(w[c * 18 + at]));
        close(got, terms.sum::<f64>() + [0.5, -0.5][at / 9], 1e-6);
    }
}

#[test]
fn scatters_combine_every_update() {
    let n = 70_001;
    let updates = pattern(2 * n);
    let text = |value: &str| {
        let value = field(4, value.as_bytes());
        [field(1, b"reduction"), value, vec![0xa0, 1, 3]].concat()
    };
    let wide = |name: &str, shape: &[i64], data: Vec<i64>| {
        let flat = format!("{name}-flat");
        let target = format!("{name}-shape");
        [
            longs(&flat, &data),
            longs(&target, shape),
            node("Reshape", &[&flat, &target], name),
        ]
        .concat()
    };
    // Rows 0 and 1 in turns; all updates of column c go to column c.
    let elements = model(&[
        node_with("", "ScatterElements", &["d", "i", "x"], "y", &[text("add")]),
        wide(
            "i",
            &[n as i64, 2],
            (0..2 * n as i64).map(|at| at / 2 % 2).collect(),
        ),
        floats("d", &[n, 2], &vec![0.25; 2 * n]),
        open_info(11, "x"),
        open_info(12, "y"),
    ]);
    let found = outputs(&open(&elements).unwrap(), tensor(&[n, 2], &updates));
    let found = found[0].as_f32().unwrap();
    for (at, &got) in found.iter().enumerate().take(4) {
        let (row, column) = (at / 2, at % 2);
        let taken = (0..n)
            .filter(|i| i % 2 == row)
            .map(|i| updates[2 * i + column]);
        assert_eq!(got, sum(&taken.collect::<Vec<_>>()) as f32 + 0.25, "{at}");
    }
    assert_eq!(found[4..8], [0.25; 4]);
    let tuples = model(&[
        node_with("", "ScatterND", &["d", "i", "x"], "y", &[text("add")]),
        wide(
            "i",
            &[n as i64, 2],
            (0..n as i64).flat_map(|i| [i % 2, i % 3]).collect(),
        ),
        floats("d", &[2, 3], &[0.25; 6]),
        open_info(11, "x"),
        open_info(12, "y"),
    ]);
    let found = outputs(&open(&tuples).unwrap(), tensor(&[n], &updates[..n]));
    for (at, &got) in found[0].as_f32().unwrap().iter().enumerate() {
        let taken = (0..n)
            .filter(|i| (i % 2, i % 3) == (at / 3, at % 3))
            .map(|i| updates[i]);
        assert_eq!(got, sum(&taken.collect::<Vec<_>>()) as f32 + 0.25, "{at}");
    }
}

#[test]
fn attention_goes_over_every_key() {
    let (keys, depth) = (5_003, 64);
    let graph = model_of(
        17,
        &[
            node("MatMul", &["q", "k"], "scores"),
            node_with(
                "",
                "Softmax",
                &["scores"],
                "weights",
                &[attribute("axis", -1)],
            ),
            node("MatMul", &["weights", "x"], "y"),
            floats("q", &[1, 2, depth], &vec![0.0; 2 * depth]),
            floats("k", &[1, depth, keys], &pattern(depth * keys)),
            open_info(11, "x"),
            open_info(12, "y"),
        ],
    );
    // Queries of nothing weigh all keys alike.
    let v = pattern(keys * depth);
    let found = outputs(&open(&graph).unwrap(), tensor(&[1, keys, depth], &v));
    for (i, &got) in found[0].as_f32().unwrap().iter().enumerate() {
        let column: Vec<f32> = v.iter().skip(i % depth).step_by(depth).copied().collect();
        assert!(
            (f64::from(got) - sum(&column) / keys as f64).abs() < 1e-4,
            "{i}: {got}"
        );
    }
}
