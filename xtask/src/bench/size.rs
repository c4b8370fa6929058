//! What a browser downloads.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::compress;
use crate::stamp::hex_sha256;

/// Bytes of an engine's code.
#[derive(Clone, Debug, Serialize)]
pub struct Sizes {
    /// Which engine.
    pub engine: &'static str,
    /// The WebAssembly module as it is.
    pub wasm_bytes: u64,
    /// Compressed as a server sends it.
    pub wasm_brotli_bytes: u64,
    /// Its script, compressed.
    pub script_brotli_bytes: u64,
}

/// Size of a file after brotli at its highest quality; `cache` remembers it, since that takes a minute for the largest.
pub fn brotli_bytes(file: &Path, cache: &Path) -> Result<u64> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    let copy = cache.join(format!("{}.{extension}", hex_sha256(&bytes)));
    let packed = copy.with_extension(format!("{extension}.br"));
    if !packed.is_file() {
        fs::create_dir_all(cache)?;
        fs::write(&packed, compress::brotli(&bytes)?)?;
    }
    Ok(fs::metadata(&packed)?.len())
}
