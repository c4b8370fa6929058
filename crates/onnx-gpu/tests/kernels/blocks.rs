//! Products with quantised blocks and gathers of them, over odd shapes, against what the definition says.

use onnx_gpu::kernels::gather_blocks::{GatherBlocks, Integers, ZeroPoint, gather_blocks};
use onnx_gpu::kernels::matmul::{MatMul, matmul};
use onnx_gpu::kernels::operand::{Blocks, Format, Scales, Zeros};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};

use crate::harness::{Data, assert_close, floats, noise, run_words, tables};

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_201),
        ..Config::default()
    }
}

/// Bytes that repeat for no short period.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let noise = noise(len, seed);
    noise.iter().map(|x| (x * 127.0) as i32 as u8).collect()
}

fn words(bytes: &[u8]) -> Vec<i32> {
    let whole = bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        i32::from_le_bytes(word)
    });
    whole.collect()
}

/// Integer `at` of `bits` bits each, the lowest bit of the first byte first.
fn element(bytes: &[u8], at: usize, bits: usize) -> u32 {
    (0..bits).fold(0, |sum, bit| {
        let place = at * bits + bit;
        sum | u32::from(bytes[place / 8] >> (place % 8) & 1) << bit
    })
}

/// Numbers that 16 bits hold, and how they are stored.
fn stored(values: &[f32], halves: bool) -> Vec<i32> {
    if !halves {
        return values.iter().map(|x| x.to_bits().cast_signed()).collect();
    }
    let raw: Vec<u8> = values
        .iter()
        .flat_map(|&x| half::f16::from_f32(x).to_le_bytes())
        .collect();
    words(&raw)
}

fn of_16_bits(len: usize, seed: u64, above: f32) -> Vec<f32> {
    let noise = noise(len, seed);
    noise
        .iter()
        .map(|x| half::f16::from_f32(x + above).to_f32())
        .collect()
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn products_of_blocks(bits in select(vec![2usize, 3, 4, 8]), size in select(vec![16usize, 32, 64, 256]), m in select(vec![1usize, 2, 5, 9, 17]),
                          n in select(vec![1usize, 3, 7, 33]), k in select(vec![1usize, 15, 31, 70, 96, 301]), halves in any::<bool>(),
                          zeros in select(vec![Zeros::Middle, Zeros::Packed, Zeros::F32, Zeros::F16])) {
        let per_row = k.div_ceil(size);
        let q = bytes(n * per_row * size * bits / 8, 1);
        let scales = of_16_bits(n * per_row, 2, 1.5);
        let zero_row = (per_row * bits).div_ceil(8);
        let zero_bytes = bytes(n * zero_row, 3);
        let zero_floats = of_16_bits(n * per_row, 4, 5.0);
        let a = noise(m * k, 5);
        let zero = |row: usize, block: usize| match zeros {
            Zeros::Middle => f64::from(1 << (bits - 1)),
            Zeros::Packed => f64::from(element(&zero_bytes[row * zero_row..], block, bits)),
            Zeros::F32 | Zeros::F16 => f64::from(zero_floats[row * per_row + block]),
        };
        let mut expected = Vec::with_capacity(m * n);
        for row in 0..m {
            for column in 0..n {
                let mut sum = 0.0;
                for i in 0..k {
                    let level = f64::from(element(&q, column * per_row * size + i, bits));
                    let step = f64::from(scales[column * per_row + i / size]);
                    sum += f64::from(a[row * k + i]) * (level - zero(column, i / size)) * step;
                }
                expected.push(sum);
            }
        }
        let largest = expected.iter().fold(1f64, |most, x| most.max(x.abs()));
        let kind = if halves { Scales::F16 } else { Scales::F32 };
        let mut g = MatMul::new(m, n, k);
        (g.trans_b, g.b_pitch) = (true, Some(per_row * size));
        g.b_format = Format::Scaled(Blocks { bits: bits as u32, size: size as u32 }, kind, zeros);
        let (q, scales) = (words(&q), stored(&scales, halves));
        let zero_words = match zeros {
            Zeros::Packed => words(&zero_bytes),
            _ => stored(&zero_floats, zeros == Zeros::F16),
        };
        let mut inputs = vec![Data::F(&a), Data::I(&q), Data::I(&scales)];
        if zeros != Zeros::Middle {
            inputs.push(Data::I(&zero_words));
        }
        for table in tables() {
            let got = floats(&run_words(matmul(&g, table).unwrap(), &inputs, m * n));
            assert_close(&got, &expected, 2e-6 * largest, 1e-5, &format!("{:?}", g.b_format));
        }
    }

    #[test]
    fn gathers_of_blocks(kind in select(vec![(4u32, false), (4, true), (8, false), (8, true)]), outer in 1usize..4, axis in 1usize..6,
                         row in select(vec![1usize, 7, 16, 33, 50]), block in select(vec![16usize, 32]), halves in any::<bool>(),
                         zeros in any::<bool>(), count in 1usize..5) {
        let (bits, signed) = kind;
        let elements = Integers { bits, signed };
        let blocks = row.div_ceil(block);
        let q = bytes((outer * axis * row * bits as usize).div_ceil(8), 1);
        let scales = of_16_bits(outer * axis * blocks, 2, 1.5);
        // Rows of zero points start a byte.
        let zero_row = blocks.next_multiple_of(8 / bits as usize);
        let points = bytes(outer * axis * zero_row, 3);
        let number = |bytes: &[u8], at: usize| {
            let value = element(bytes, at, bits as usize);
            let sign = 1 << (bits - 1);
            if signed && value & sign > 0 { f64::from(value) - f64::from(2 * sign) } else { f64::from(value) }
        };
        let indices: Vec<i32> = (0..count).map(|i| (i * 7 % axis) as i32 - if i % 2 == 1 { axis as i32 } else { 0 }).collect();
        let mut expected = Vec::new();
        for o in 0..outer {
            for index in &indices {
                let line = o * axis + index.rem_euclid(axis as i32) as usize;
                for i in 0..row {
                    let zero = if zeros { number(&points, line * zero_row + i / block) } else { 8.0 };
                    let step = f64::from(scales[line * blocks + i / block]);
                    expected.push((number(&q, line * row + i) - zero) * step);
                }
            }
        }
        let launch = gather_blocks(&GatherBlocks {
            outer,
            axis,
            inner: row,
            indices: count,
            q_axis: row,
            q_inner: 1,
            block,
            elements,
            scales: if halves { Scales::F16 } else { Scales::F32 },
            scale_row: blocks,
            zero_row,
            zeros: if zeros { ZeroPoint::Stored(elements) } else { ZeroPoint::Number(8) },
        });
        let (q, scales, points) = (words(&q), stored(&scales, halves), words(&points));
        let mut inputs = vec![Data::I(&q), Data::I(&indices), Data::I(&scales)];
        if zeros {
            inputs.push(Data::I(&points));
        }
        let got = floats(&run_words(launch.unwrap(), &inputs, expected.len()));
        assert_close(&got, &expected, 0.0, 1e-6, "gathered");
    }
}
