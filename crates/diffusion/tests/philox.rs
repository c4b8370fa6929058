//! The generator on a GPU, software ones included, against the published vectors and the CPU.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use diffusion::noise::kernel::philox_words;
use diffusion::noise::philox4x32_10;
use onnx_gpu::{AdapterChoice, Gpu};
use pollster::block_on;

/// Lines `philox4x32 10` of Random123's `kat_vectors`: counter, key, words.
const KNOWN: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
    (
        [0; 4],
        [0; 2],
        [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
    ),
    (
        [u32::MAX; 4],
        [u32::MAX; 2],
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
    ),
    (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
        [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
    ),
];

#[test]
fn the_kernel_knows_the_answers_and_equals_the_cpu_bit_for_bit() {
    let gpu = block_on(Gpu::request(&AdapterChoice::Default)).unwrap();
    let words =
        |key, low, high, count| block_on(philox_words(&gpu, key, low, high, count)).unwrap();
    for ([a, b, c, d], key, expected) in KNOWN {
        assert_eq!(words(key, [a, b], [c, d], 1), [expected]);
    }
    // Across the carry into the highest word, and in an odd number of workgroups.
    let (key, low, start) = ([7, 9], [3, 0], u32::MAX - 1_000);
    let found = words(key, low, [start, 5], 70_001);
    for (i, found) in (0u64..).zip(found) {
        let high = (u64::from(5u32) << 32 | u64::from(start)) + i;
        let counter = [low[0], low[1], high as u32, (high >> 32) as u32];
        assert_eq!(found, philox4x32_10(counter, key), "counter {high}");
    }
}
