//! Sums, maxima and orders over more elements than an invocation of a software adapter goes over (65,535 turns of its loops, all
//! together). Expected values by arithmetic.

use onnx_gpu::{Session, Tensor};

use super::encode::{
    attribute, field, float, floats, info, int, ints, longs, model, model_of, node, node_with,
    open_info,
};
use super::{open, tensor};

/// What is beyond one invocation even where 64 share a row: it was wrong from 2,097,151 on.
const LONG: usize = 2_200_003;

/// Small integers, whose sums of any part are exact.
fn pattern(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7 % 11) as f32 - 5.0).collect()
}

fn sum(v: &[f32]) -> f64 {
    v.iter().map(|&x| f64::from(x)).sum()
}

fn outputs(session: &Session, x: Tensor) -> Vec<Tensor> {
    let outputs = session.run_blocking(&[("x", x)]).unwrap();
    outputs.into_iter().map(|(_, t)| t).collect()
}

/// A session of one node from `x` to `y`.
fn one(op: &str, inputs: &[&str], attributes: &[Vec<u8>], constants: &[Vec<u8>]) -> Session {
    let graph = [
        vec![
            node_with("", op, inputs, "y", attributes),
            open_info(11, "x"),
            open_info(12, "y"),
        ],
        constants.to_vec(),
    ]
    .concat();
    open(&model(&graph)).unwrap()
}

#[track_caller]
fn close(got: f32, wanted: f64, share: f64) {
    assert!(
        (f64::from(got) - wanted).abs() <= share * wanted.abs().max(1.0),
        "{got}, not {wanted}"
    );
}

#[test]
fn reductions_see_every_element() {
    let all = |name: &str, code: i64| {
        let kind = field(2, &field(1, &int(1, code)));
        field(12, &[field(1, name.as_bytes()), kind].concat())
    };
    let ops = [
        "Sum",
        "Mean",
        "L1",
        "L2",
        "SumSquare",
        "LogSum",
        "LogSumExp",
        "Max",
        "Min",
    ];
    let mut graph = vec![open_info(11, "x")];
    for op in ops {
        graph.push(node_with(
            "",
            &format!("Reduce{op}"),
            &["x"],
            op,
            &[attribute("keepdims", 0)],
        ));
        graph.push(open_info(12, op));
    }
    for op in ["ArgMax", "ArgMin"] {
        let flat = [attribute("axis", 0), attribute("keepdims", 0)];
        graph.push(node_with("", op, &["x"], op, &flat));
        graph.push(all(op, 7));
    }
    let session = open(&model(&graph)).unwrap();
    let mut v = pattern(LONG);
    (v[LONG - 2], v[LONG - 7]) = (9.0, -9.0);
    let found = outputs(&session, tensor(&[LONG], &v));
    let total = sum(&v);
    let squares: f64 = v.iter().map(|&x| f64::from(x * x)).sum();
    let powers: f64 = v.iter().map(|&x| f64::from(x).exp()).sum();
    let wanted = [
        total,
        total / LONG as f64,
        v.iter().map(|&x| f64::from(x.abs())).sum(),
        squares.sqrt(),
        squares,
        total.ln(),
        powers.ln(),
        9.0,
        -9.0,
    ];
    for (i, op) in ops.into_iter().enumerate() {
        let got = found[i].as_f32().unwrap()[0];
        let near = (f64::from(got) - wanted[i]).abs() <= 1e-6 * wanted[i].abs();
        assert!(
            near || (got.is_nan() && wanted[i].is_nan()),
            "{op}: {got}, not {}",
            wanted[i]
        );
    }
    assert_eq!(found[9].as_i64().unwrap(), &[LONG as i64 - 2]);
    assert_eq!(found[10].as_i64().unwrap(), &[LONG as i64 - 7]);
}

#[test]
fn so_do_reductions_across_rows_and_of_integers() {
    let n = 70_001;
    let v = pattern(3 * n);
    let columns = [0, 1, 2].map(|c| v.iter().skip(c).step_by(3).copied().collect::<Vec<f32>>());
    let totals = one("ReduceSum", &["x", "a"], &[], &[longs("a", &[0])]);
    let found = outputs(&totals, tensor(&[n, 3], &v));
    let wanted: Vec<f32> = columns.iter().map(|c| sum(c) as f32).collect();
    assert_eq!(found[0].as_f32().unwrap(), wanted);

    let mut w = v;
    (w[3 * (n - 1)], w[3 * (n - 5) + 1], w[3 * 40_000 + 2]) = (8.0, 8.0, 8.0);
    // Of equal ones the first and the last.
    w[3 * 100 + 2] = 8.0;
    for (last, third) in [(0, 100), (1, 40_000)] {
        let attributes = [attribute("axis", 0), attribute("select_last_index", last)];
        let graph = model(&[
            node_with("", "ArgMax", &["x"], "i", &attributes),
            node_with("", "Cast", &["i"], "y", &[attribute("to", 1)]),
            open_info(11, "x"),
            open_info(12, "y"),
        ]);
        let found = outputs(&open(&graph).unwrap(), tensor(&[n, 3], &w));
        let wanted = [n - 1, n - 5, third].map(|i| i as f32);
        assert_eq!(found[0].as_f32().unwrap(), wanted);
    }

    let whole = model(&[
        node("ReduceSum", &["x"], "y"),
        info(11, "x", 6, &[LONG]),
        info(12, "y", 6, &[1]),
    ]);
    let v: Vec<i32> = (0..LONG as i32).collect();
    let wanted = v.iter().fold(0i32, |a, &b| a.wrapping_add(b));
    let x = Tensor::i32([LONG], v).unwrap();
    let found = outputs(&open(&whole).unwrap(), x);
    assert_eq!(found[0].as_i32().unwrap(), &[wanted]);
}

#[test]
fn places_beyond_2_to_the_24th_are_exact() {
    let n = (1 << 24) + 4099;
    let mut v = vec![0.0; n];
    v[n - 2] = 1.0;
    let graph = model(&[
        node_with("", "ArgMax", &["x"], "i", &[attribute("axis", 0)]),
        node("Sub", &["i", "far"], "near"),
        node_with("", "Cast", &["near"], "y", &[attribute("to", 1)]),
        longs("far", &[1 << 24]),
        open_info(11, "x"),
        open_info(12, "y"),
    ]);
    let found = outputs(&open(&graph).unwrap(), tensor(&[n], &v));
    assert_eq!(found[0].as_f32().unwrap(), &[4097.0]);
}

#[test]
fn soft_maxima_see_every_element() {
    let n = 1_500_001;
    let v = pattern(n);
    let total: f64 = v.iter().map(|&x| f64::from(x).exp()).sum();
    for (op, log) in [("Softmax", false), ("LogSoftmax", true)] {
        let found = outputs(&one(op, &["x"], &[], &[]), tensor(&[1, n], &v));
        let found = found[0].as_f32().unwrap();
        for i in [0, 1, 70_000, n / 2, n - 1] {
            let x = f64::from(v[i]);
            let wanted = if log { x - total.ln() } else { x.exp() / total };
            let share = (f64::from(found[i]) - wanted).abs() / wanted.abs();
            assert!(share < 1e-5, "{op} {i}: {} not {wanted}", found[i]);
        }
    }
    let rows = 30_011;
    let v = pattern(2 * rows);
    let found = outputs(
        &one("Softmax", &["x"], &[attribute("axis", 0)], &[]),
        tensor(&[rows, 2], &v),
    );
    let found = found[0].as_f32().unwrap();
    for column in 0..2 {
        close(
            sum(&found[column..]
                .iter()
                .step_by(2)
                .copied()
                .collect::<Vec<_>>()) as f32,
            1.0,
            1e-4,
        );
    }
}

/// The mean and the inverse deviation of numbers.
fn statistics(v: &[f32], epsilon: f64) -> (f64, f64) {
    let n = v.len() as f64;
    let mean = sum(v) / n;
    let variance = v
        .iter()
        .map(|&x| (f64::from(x) - mean).powi(2))
        .sum::<f64>()
        / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[track_caller]
fn normalised(found: &[f32], v: &[f32], gain: f64, shift: f64) {
    let (mean, inverse) = statistics(v, 1e-5);
    for i in [0, 1, v.len() / 3, v.len() - 2, v.len() - 1] {
        close(
            found[i],
            (f64::from(v[i]) - mean) * inverse * gain + shift,
            1e-4,
        );
    }
}

#[test]
fn normalisations_see_every_element() {
    let n = 2_000_003;
    let v = pattern(n);
    let scale = |name: &str, v: &[f32]| floats(name, &[v.len()], v);
    let instance = one(
        "InstanceNormalization",
        &["x", "s", "b"],
        &[],
        &[scale("s", &[3.0]), scale("b", &[0.5])],
    );
    normalised(
        outputs(&instance, tensor(&[1, 1, n], &v))[0]
            .as_f32()
            .unwrap(),
        &v,
        3.0,
        0.5,
    );

    let channels = n / 2;
    let v = pattern(2 * channels);
    let groups = one(
        "GroupNormalization",
        &["x", "s", "b"],
        &[attribute("num_groups", 1)],
        &[scale("s", &[3.0, -2.0]), scale("b", &[0.5, 0.25])],
    );
    let found = outputs(&groups, tensor(&[1, 2, channels], &v));
    let found = found[0].as_f32().unwrap();
    let (mean, inverse) = statistics(&v, 1e-5);
    for (i, gain, shift) in [
        (5, 3.0, 0.5),
        (channels + 7, -2.0, 0.25),
        (2 * channels - 1, -2.0, 0.25),
    ] {
        close(
            found[i],
            (f64::from(v[i]) - mean) * inverse * gain + shift,
            1e-4,
        );
    }

    // One row to a workgroup, and 64 to one invocation each.
    for (rows, cols) in [(1, 1_400_001), (64, 20_011)] {
        let v = pattern(rows * cols);
        let s: Vec<f32> = (0..cols).map(|i| (i % 3) as f32).collect();
        let layer = one("LayerNormalization", &["x", "s"], &[], &[scale("s", &s)]);
        let found = outputs(&layer, tensor(&[rows, cols], &v));
        let found = &found[0].as_f32().unwrap()[(rows - 1) * cols..];
        let row = &v[(rows - 1) * cols..];
        let (mean, inverse) = statistics(row, 1e-5);
        for i in [0, 1, 2, cols - 2, cols - 1] {
            close(
                found[i],
                (f64::from(row[i]) - mean) * inverse * f64::from(s[i]),
                1e-4,
            );
        }
    }
}

#[test]
fn pools_see_every_element() {
    let side = 1500;
    let v = pattern(side * side);
    let mean = sum(&v) / v.len() as f64;
    let average = one("GlobalAveragePool", &["x"], &[], &[]);
    let found = outputs(&average, tensor(&[1, 1, side, side], &v));
    close(found[0].as_f32().unwrap()[0], mean, 1e-6);

    // A window of 300 by 300 that hangs over the edge by one.
    let side = 301;
    let mut v = pattern(side * side);
    v[side * side - 1] = 50.0;
    for (op, padded) in [("AveragePool", 0), ("AveragePool", 1), ("MaxPool", 0)] {
        let mut attributes = vec![
            ints("kernel_shape", &[300, 300]),
            ints("pads", &[1, 1, 0, 0]),
        ];
        if padded == 1 {
            attributes.push(attribute("count_include_pad", 1));
        }
        let found = outputs(
            &one(op, &["x"], &attributes, &[]),
            tensor(&[1, 1, side, side], &v),
        );
        assert_eq!(found[0].shape(), &[1, 1, 3, 3]);
        let found = found[0].as_f32().unwrap();
        for (at, got) in found.iter().enumerate() {
            let range = |place: usize| (place.max(1) - 1)..(place + 299);
            let (rows, columns) = (range(at / 3), range(at % 3));
            let window: Vec<f32> = rows
                .flat_map(|r| v[r * side..][columns.clone()].to_vec())
                .collect();
            let wanted = match (op, padded) {
                ("MaxPool", _) => f64::from(window.iter().copied().fold(f32::MIN, f32::max)),
                (_, 1) => sum(&window) / 90_000.0,
                _ => sum(&window) / window.len() as f64,
            };
            assert!(
                (f64::from(*got) - wanted).abs() < 1e-5,
                "{op} {padded} {at}: {got}, not {wanted}"
            );
        }
    }
}

#[test]
fn dynamic_quantisation_sees_every_element() {
    let byte = |number: u8, name: &str| {
        let kind = field(2, &field(1, &int(1, 2)));
        field(number, &[field(1, name.as_bytes()), kind].concat())
    };
    let mut body: Vec<u8> = field(1, b"x");
    for name in ["y", "scale", "zero"] {
        body.extend(field(2, name.as_bytes()));
    }
    body.extend(field(4, b"DynamicQuantizeLinear"));
    let graph = model(&[
        field(1, &body),
        open_info(11, "x"),
        byte(12, "y"),
        open_info(12, "scale"),
        byte(12, "zero"),
    ]);
    let mut v = pattern(LONG);
    (v[LONG - 2], v[LONG - 9]) = (45.0, -6.0);
    let found = outputs(&open(&graph).unwrap(), tensor(&[LONG], &v));
    // 51 in 255 steps from -6 on.
    close(found[1].as_f32().unwrap()[0], 0.2, 1e-6);
    assert_eq!(found[2].as_u8().unwrap(), &[30]);
    let y = found[0].as_u8().unwrap();
    assert_eq!([y[LONG - 2], y[LONG - 9], y[0]], [255, 0, 5]);
}

#[test]
fn running_sums_go_on() {
    for (length, inner) in [(70_001, 1), (65_536, 3)] {
        let v = pattern(2 * length * inner);
        for (exclusive, reverse) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let attributes = [
                attribute("exclusive", exclusive),
                attribute("reverse", reverse),
            ];
            let session = one("CumSum", &["x", "a"], &attributes, &[longs("a", &[1])]);
            let found = outputs(&session, tensor(&[2, length, inner], &v));
            let found = found[0].as_f32().unwrap();
            for line in 0..2 * inner {
                let start = line / inner * length * inner + line % inner;
                let mut total = 0.0;
                for step in 0..length {
                    let place = if reverse == 1 {
                        length - 1 - step
                    } else {
                        step
                    };
                    let at = start + place * inner;
                    let before = total;
                    total += v[at];
                    let wanted = if exclusive == 1 { before } else { total };
                    assert_eq!(found[at], wanted, "{exclusive}{reverse} {line} {place}");
                }
            }
        }
    }
}

#[test]
fn orders_go_over_every_element() {
    let n = 66_001;
    let mut v = pattern(n);
    (v[65_999], v[16_384], v[3]) = (20.0, 20.0, 30.0);
    let graph = model(&[
        {
            let mut body: Vec<u8> = [field(1, b"x"), field(1, b"k")].concat();
            body.extend([field(2, b"y"), field(2, b"i"), field(4, b"TopK")].concat());
            field(1, &body)
        },
        node_with("", "Cast", &["i"], "places", &[attribute("to", 1)]),
        longs("k", &[4]),
        open_info(11, "x"),
        open_info(12, "y"),
        open_info(12, "places"),
    ]);
    let found = outputs(&open(&graph).unwrap(), tensor(&[1, n], &v));
    assert_eq!(found[0].as_f32().unwrap(), &[30.0, 20.0, 20.0, 5.0]);
    let first_five = v.iter().position(|&x| x == 5.0).unwrap() as f32;
    assert_eq!(
        found[1].as_f32().unwrap(),
        &[3.0, 16_384.0, 65_999.0, first_five]
    );
}

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
