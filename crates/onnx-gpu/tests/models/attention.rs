//! The operator `Attention` (opset 23) over random odd geometries on this machine's default adapter, against sums in `f64`. The
//! seed is fixed.

use onnx_gpu::gpu::Limits;
use onnx_gpu::{AdapterChoice, Gpu, Options, Session, Tensor};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::encode::{attribute, model_of, node_with, open_info};
use super::options;

fn model(mask: bool, causal: bool) -> Vec<u8> {
    let inputs = &["q", "k", "v", "mask"][..if mask { 4 } else { 3 }];
    let causal = attribute("is_causal", i64::from(causal));
    let mut graph = vec![node_with("", "Attention", inputs, "y", &[causal])];
    graph.extend(inputs.iter().map(|i| open_info(11, i)));
    graph.push(open_info(12, "y"));
    model_of(23, &graph)
}

/// Repeatable values in [-1, 1).
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    kv_heads: usize,
    share: usize,
    queries: usize,
    keys: usize,
    size: usize,
    v_size: usize,
    causal: bool,
    mask: bool,
}

fn reference(c: &Case, q: &[f32], k: &[f32], v: &[f32], mask: &[f32]) -> Vec<f64> {
    let heads = c.kv_heads * c.share;
    let scale = 1.0 / (c.size as f64).sqrt();
    let mut out = Vec::new();
    for line in 0..c.batch * heads * c.queries {
        let (head, row) = (line / c.queries, line % c.queries);
        let kv = head / heads * c.kv_heads + head % heads / c.share;
        let scores: Vec<f64> = (0..c.keys)
            .map(|key| {
                let dot: f64 = (0..c.size)
                    .map(|i| {
                        f64::from(q[line * c.size + i])
                            * f64::from(k[(kv * c.keys + key) * c.size + i])
                    })
                    .sum();
                let shift = if c.mask {
                    f64::from(mask[row * c.keys + key])
                } else {
                    0.0
                };
                if c.causal && key > row {
                    f64::NEG_INFINITY
                } else {
                    dot * scale + shift
                }
            })
            .collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        out.extend((0..c.v_size).map(|col| {
            let sum: f64 = weights
                .iter()
                .enumerate()
                .map(|(key, w)| w * f64::from(v[(kv * c.keys + key) * c.v_size + col]))
                .sum();
            sum / total
        }));
    }
    out
}

#[test]
fn attention_agrees_with_the_sums() {
    let sessions: Vec<Session> = (0..4)
        .map(|i| Session::from_bytes_blocking(&model(i & 1 != 0, i & 2 != 0), options()).unwrap())
        .collect();
    let odd = || select(vec![1usize, 2, 3, 5, 7, 16, 17, 31, 33, 63, 65, 67]);
    let strategy = (
        (1usize..3, 1usize..4, 1usize..4),
        (odd(), odd()),
        (
            select(vec![1usize, 3, 8, 17, 40, 64]),
            select(vec![1usize, 5, 8, 33, 64]),
        ),
        any::<(bool, bool)>(),
    )
        .prop_map(|(heads, lengths, sizes, (causal, mask))| Case {
            batch: heads.0,
            kv_heads: heads.1,
            share: heads.2,
            queries: lengths.0,
            keys: lengths.1,
            size: sizes.0,
            v_size: sizes.1,
            causal,
            mask,
        });
    let config = Config {
        cases: 40,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_123),
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&strategy, |c| {
            let heads = c.kv_heads * c.share;
            let shapes = [
                [c.batch, heads, c.queries, c.size],
                [c.batch, c.kv_heads, c.keys, c.size],
                [c.batch, c.kv_heads, c.keys, c.v_size],
            ];
            let [q, k, v] = [0, 1, 2].map(|i| noise(shapes[i].iter().product(), i as u32 + 1));
            let mask = noise(c.queries * c.keys, 4);
            let tensor = |shape: &[usize], data: &[f32]| Tensor::f32(shape, data.to_vec()).unwrap();
            let mut inputs = vec![
                ("q", tensor(&shapes[0], &q)),
                ("k", tensor(&shapes[1], &k)),
                ("v", tensor(&shapes[2], &v)),
            ];
            if c.mask {
                inputs.push(("mask", tensor(&[c.queries, c.keys], &mask)));
            }
            let session = &sessions[usize::from(c.mask) + 2 * usize::from(c.causal)];
            let outputs = session.run_blocking(&inputs).unwrap();
            // Attention itself, a sum of two masks, and the order of the output's axes.
            prop_assert!(session.stats().dispatches <= 2 + usize::from(c.mask && c.causal));
            let got = outputs[0].1.as_f32().unwrap();
            let expected = reference(&c, &q, &k, &v, &mask);
            prop_assert_eq!(got.len(), expected.len());
            for (i, (&g, &e)) in got.iter().zip(&expected).enumerate() {
                prop_assert!(
                    (f64::from(g) - e).abs() <= 2e-5 + 1e-4 * e.abs(),
                    "element {} is {}, not {}",
                    i,
                    g,
                    e
                );
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn scores_that_no_buffer_holds_are_computed_in_blocks() {
    // Heads too long for the kernel that stores no scores; 90,000 scores where a buffer holds 65,536.
    let mut limits = Limits::unlimited();
    limits.max_storage_buffer_binding_size = 1 << 18;
    let gpu = pollster::block_on(Gpu::request_within(&AdapterChoice::Default, &limits)).unwrap();
    let options = Options::default().with_gpu(gpu);
    let c = Case {
        batch: 1,
        kv_heads: 1,
        share: 1,
        queries: 300,
        keys: 300,
        size: 161,
        v_size: 170,
        causal: false,
        mask: false,
    };
    let [q, k, v] = [c.size, c.size, c.v_size].map(|width| noise(300 * width, width as u32));
    // Every third query sees nothing.
    let hidden = |row: usize| row % 3 == 1;
    let mask: Vec<f32> = (0..300)
        .map(|row| if hidden(row) { f32::NEG_INFINITY } else { 0.0 })
        .collect();
    let tensor = |shape: &[usize], data: &[f32]| Tensor::f32(shape, data.to_vec()).unwrap();
    let session = Session::from_bytes_blocking(&model(true, false), options).unwrap();
    let outputs = session
        .run_blocking(&[
            ("q", tensor(&[1, 1, 300, c.size], &q)),
            ("k", tensor(&[1, 1, 300, c.size], &k)),
            ("v", tensor(&[1, 1, 300, c.v_size], &v)),
            ("mask", tensor(&[300, 1], &mask)),
        ])
        .unwrap();
    let got = outputs[0].1.as_f32().unwrap();
    let expected = reference(&c, &q, &k, &v, &[]);
    for (i, (&g, &e)) in got.iter().zip(&expected).enumerate() {
        let e = if hidden(i / c.v_size) { 0.0 } else { e };
        assert!(
            (f64::from(g) - e).abs() <= 2e-5,
            "element {i} is {g}, not {e}"
        );
    }
}
