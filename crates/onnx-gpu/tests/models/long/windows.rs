//! Pools and dynamic quantisation over more elements than an invocation goes over.

use super::super::encode::{attribute, field, int, ints, model, open_info};
use super::super::{open, tensor};
use super::{LONG, close, one, outputs, pattern, sum};

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
