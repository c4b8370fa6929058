//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// The four random words of a counter under a key.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    (0..ROUNDS).fold(counter, |[a, b, c, d], round| {
        let round_key = [0, 1].map(|i| key[i].wrapping_add(WEYL[i].wrapping_mul(round)));
        let (high0, low0) = wide_product(MULTIPLIERS[0], a);
        let (high1, low1) = wide_product(MULTIPLIERS[1], c);
        [
            high1 ^ b ^ round_key[0],
            low1,
            high0 ^ d ^ round_key[1],
            low0,
        ]
    })
}

fn wide_product(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}
