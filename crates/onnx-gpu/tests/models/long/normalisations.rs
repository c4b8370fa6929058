//! Soft maxima and normalisations over more elements than an invocation goes over.

use super::super::encode::{attribute, floats, longs, model, node, node_with, open_info};
use super::super::{open, tensor};
use super::{close, one, outputs, pattern, sum};

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

/// The norms of a decoder's last block at 1024 x 1024: four and eight million numbers a group, as the operator and as exporters write
/// it, with the activation behind it. Groups differ, so that one that is read in another's place shows.
#[test]
fn group_norms_of_large_pictures_see_every_element() {
    const CHANNELS: usize = 8;
    const PIXELS: usize = 1024 * 1024;
    let shape = [1, CHANNELS, 1024, 1024];
    let v: Vec<f32> = pattern(CHANNELS * PIXELS)
        .into_iter()
        .enumerate()
        .map(|(i, x)| x + (i / PIXELS) as f32)
        .collect();
    let gains: Vec<f32> = (0..CHANNELS).map(|c| c as f32 - 2.5).collect();
    let shifts: Vec<f32> = (0..CHANNELS).map(|c| 0.25 * c as f32).collect();
    for groups in [1, 2] {
        let operator = model(&[
            node_of_groups(groups),
            floats("s", &[CHANNELS], &gains),
            floats("b", &[CHANNELS], &shifts),
            open_info(11, "x"),
            open_info(12, "y"),
        ]);
        let exported = model(&[
            longs("apart", &[1, groups as i64, -1]),
            longs("whole", &shape.map(|n| n as i64)),
            floats("ones", &[groups], &vec![1.0; groups]),
            floats("zeros", &[groups], &vec![0.0; groups]),
            floats("s", &[CHANNELS, 1, 1], &gains),
            floats("b", &[CHANNELS, 1, 1], &shifts),
            node("Reshape", &["x", "apart"], "a"),
            node("InstanceNormalization", &["a", "ones", "zeros"], "n"),
            node("Reshape", &["n", "whole"], "w"),
            node("Mul", &["w", "s"], "m"),
            node("Add", &["m", "b"], "g"),
            node("Sigmoid", &["g"], "o"),
            node("Mul", &["g", "o"], "y"),
            open_info(11, "x"),
            open_info(12, "y"),
        ]);
        let per_group = CHANNELS / groups * PIXELS;
        let known: Vec<(f64, f64)> = v
            .chunks(per_group)
            .map(|group| statistics(group, 1e-5))
            .collect();
        for (graph, active) in [(operator, false), (exported, true)] {
            let session = open(&graph).unwrap();
            let found = outputs(&session, tensor(&shape, &v)).remove(0);
            let found = found.as_f32().unwrap();
            // A prime, so that every channel, row and column is looked at.
            for i in (0..v.len()).step_by(1009).chain([v.len() - 1]) {
                let (mean, inverse) = known[i / per_group];
                let channel = i / PIXELS;
                let (gain, shift) = (f64::from(gains[channel]), f64::from(shifts[channel]));
                let normal = (f64::from(v[i]) - mean) * inverse * gain + shift;
                let wanted = if active {
                    normal / (1.0 + (-normal).exp())
                } else {
                    normal
                };
                close(found[i], wanted, 1e-4);
            }
        }
    }
}

fn node_of_groups(groups: usize) -> Vec<u8> {
    node_with(
        "",
        "GroupNormalization",
        &["x", "s", "b"],
        "y",
        &[attribute("num_groups", groups as i64)],
    )
}
