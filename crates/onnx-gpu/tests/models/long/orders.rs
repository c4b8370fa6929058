//! Running sums and orders over more elements than an invocation goes over.

use super::super::encode::{attribute, field, longs, model, node_with, open_info};
use super::super::{open, tensor};
use super::{one, outputs, pattern};

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
