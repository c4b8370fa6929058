//! The initial noise: counter-based, so that a seed gives the same bits on every platform and device.
//!
//! PyTorch's CUDA `torch.randn` runs one cuRAND Philox stream per GPU thread: key = seed, subsequence (the
//! high half of the 128-bit counter) = global thread index, offset / 4 (the low half) = how often the
//! generator was used. A thread draws `curand_normal4` and spreads its four values over elements that lie a
//! whole grid (256 threads × blocks) apart, and the grid is one thread per element up to what the GPU holds.
//! So as long as a tensor has no more elements than the GPU has resident threads (40,960 on a T4, 270,336 on
//! an H100), each element is the *first* value of its own subsequence, whatever the GPU; beyond that the
//! order depends on the model of GPU. This crate uses the first rule for every size:
//!
//! element `i` of draw `d` = first value of `curand_normal4` at key = seed, counter = (d, 0, i, 0).
//!
//! It is the first `torch.randn` after `torch.manual_seed(seed)` on a CUDA device within that size, up to the
//! last bits: CUDA uses fast approximations of logarithm and sine, this crate the same correctly sized
//! software routines (crate `libm`, double precision, rounded once to single) natively and in wasm.

#[cfg(feature = "gpu")]
pub mod kernel;
mod philox;

pub use philox::philox4x32_10;

/// 2⁻³², cuRAND's `CURAND_2POW32_INV`.
const TWO_POW_MINUS_32: f32 = 1.0 / 4_294_967_296.0;
/// 2π · 2⁻³², cuRAND's `CURAND_2POW32_INV_2PI`.
const TWO_PI_POW_MINUS_32: f32 = std::f32::consts::TAU / 4_294_967_296.0;

/// `n` standard-normal values of `seed`; `draw` counts earlier draws from the same seed.
pub fn randn(seed: u64, draw: u32, n: usize) -> Vec<f32> {
    let key = [seed as u32, (seed >> 32) as u32];
    (0..n as u64)
        .map(|i| {
            let [x, y, ..] = philox4x32_10([draw, 0, i as u32, (i >> 32) as u32], key);
            box_muller_sine(x, y)
        })
        .collect()
}

/// Noise turned from `from` towards `to`: along the sphere between them, so that its length is kept as noise of one seed has it
/// (spherical interpolation, Shoemake 1985). `share` goes from 0, all of `from`, to 1.
pub fn turned(from: &[f32], to: &[f32], share: f32) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = libm::sqrt(dot(from, from) * dot(to, to));
    let cosine = (dot(from, to) / lengths).clamp(-1.0, 1.0);
    let (angle, share) = (libm::acos(cosine), f64::from(share));
    let sine = libm::sin(angle);
    // Between equal or opposite noises there is no one way along the sphere.
    let [a, b] = if sine.abs() < 1e-6 || !sine.is_finite() {
        [1.0 - share, share]
    } else {
        [
            libm::sin((1.0 - share) * angle) / sine,
            libm::sin(share * angle) / sine,
        ]
    };
    let mix = |(from, to): (&f32, &f32)| (a * f64::from(*from) + b * f64::from(*to)) as f32;
    from.iter().zip(to).map(mix).collect()
}

/// First value of cuRAND's `_curand_box_muller`: the uniform values in single precision as there.
fn box_muller_sine(x: u32, y: u32) -> f32 {
    let u = x as f32 * TWO_POW_MINUS_32 + TWO_POW_MINUS_32 / 2.0;
    let v = y as f32 * TWO_PI_POW_MINUS_32 + TWO_PI_POW_MINUS_32 / 2.0;
    let radius = libm::sqrt(-2.0 * libm::log(f64::from(u)));
    (radius * libm::sin(f64::from(v))) as f32
}

#[cfg(test)]
mod tests;
