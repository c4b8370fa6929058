//! Sums, maxima and orders over more elements than an invocation of a software adapter goes over (65,535 turns of its loops, all
//! together). Expected values by arithmetic.

#[path = "long/normalisations.rs"]
mod normalisations;
#[path = "long/orders.rs"]
mod orders;
#[path = "long/products.rs"]
mod products;
#[path = "long/reductions.rs"]
mod reductions;
#[path = "long/windows.rs"]
mod windows;

use onnx_gpu::{Session, Tensor};

use super::encode::{model, node_with, open_info};
use super::open;

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
