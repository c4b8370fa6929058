//! Random numbers from the operating system.

use anyhow::Context;

/// `N` random bytes.
///
/// # Errors
/// When the system has no source of randomness.
pub fn bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut out = [0; N];
    getrandom::fill(&mut out).context("the system gave no random numbers")?;
    Ok(out)
}

/// A seed between 0 and [`protocol::MAX_SEED`].
///
/// # Errors
/// When the system has no source of randomness.
pub fn seed() -> anyhow::Result<u64> {
    Ok(u64::from_le_bytes(bytes()?) & protocol::MAX_SEED)
}

/// A number that is uniform in [0, 1); 1/2 where the system has no randomness.
pub fn fraction() -> f64 {
    bytes::<4>().map_or(0.5, |bytes| {
        f64::from(u32::from_le_bytes(bytes)) / 2_f64.powi(32)
    })
}
