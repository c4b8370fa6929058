//! Reductions over more elements than an invocation goes over.

use onnx_gpu::Tensor;

use super::super::encode::{attribute, field, info, int, longs, model, node, node_with, open_info};
use super::super::{open, tensor};
use super::{LONG, one, outputs, pattern, sum};

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
