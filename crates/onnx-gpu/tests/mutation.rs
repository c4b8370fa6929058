//! Models with damaged bytes: the parser and the planner answer or refuse, they never panic.
//!
//! The same entry points as in `fuzz/`, driven on stable Rust by seeded mutations of the ONNX project's cases. The number of
//! models is `ONNX_GPU_MUTATIONS`, 20000 by default.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use onnx_gpu::dry_run;
use onnx_gpu::kernels::AdapterClass;

/// The models of a pack: records are a line "CASE/FILE BYTES" and that many bytes.
fn models(pack: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(pack);
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
        let header = std::str::from_utf8(&rest[..end]).unwrap();
        let (path, size) = header.rsplit_once(' ').unwrap();
        let (body, tail) = rest[end + 1..].split_at(size.parse().unwrap());
        if path.ends_with("/model.onnx") && body.len() < 4096 {
            found.push(body.to_vec());
        }
        rest = tail;
    }
    found
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Bytes that matter to a parser of protobuf: the ends of ranges, and long numbers.
const NUMBERS: [&[u8]; 8] = [
    &[0],
    &[1],
    &[0x7f],
    &[0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0x80, 0x80, 0x80, 0x80, 0x10],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
];

fn mutate(model: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        if model.is_empty() {
            return;
        }
        let at = random.below(model.len());
        // Mostly changes that keep every length, so that the planner is reached.
        match random.below(16) {
            0..4 => model[at] ^= 1 << random.below(8),
            4..6 => model[at] = random.below(256) as u8,
            6..9 => model[at] = random.below(9) as u8,
            9..12 => model[at] = model[at].wrapping_add(1),
            12 => model.truncate(at),
            13 => {
                let number = NUMBERS[random.below(NUMBERS.len())];
                let end = (at + 1).min(model.len());
                model.splice(at..end, number.iter().copied());
            }
            14 => {
                let end = (at + 1 + random.below(16)).min(model.len());
                let copy = model[at..end].to_vec();
                let to = random.below(model.len());
                model.splice(to..to, copy);
            }
            _ => {
                let end = (at + 1 + random.below(16)).min(model.len());
                model.drain(at..end);
            }
        }
    }
}

#[test]
fn damaged_models_never_panic() {
    let mut seeds = models("node_cases.pack");
    seeds.extend(models("quantised.pack"));
    assert!(seeds.len() > 100);
    let count: usize = std::env::var("ONNX_GPU_MUTATIONS").map_or(20_000, |n| {
        n.parse().expect("ONNX_GPU_MUTATIONS is a number")
    });
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused) = (0, 0);
    let mut panics = Vec::new();
    for i in 0..count {
        let mut model = seeds[random.below(seeds.len())].clone();
        mutate(&mut model, &mut random);
        let class = if i % 2 == 0 {
            AdapterClass::Software
        } else {
            AdapterClass::Hardware
        };
        match catch_unwind(AssertUnwindSafe(|| dry_run(&model, class))) {
            Ok(Ok(_)) => accepted += 1,
            Ok(Err(_)) => refused += 1,
            Err(_) => panics.push(i),
        }
    }
    println!("{accepted} models planned, {refused} refused");
    assert!(panics.is_empty(), "models that panic: {panics:?}");
    // Mutations that break every model would prove nothing.
    assert!(accepted > count / 50 && refused > count / 50);
}
