//! Precompressed copies that the server sends instead of the file.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

const COMPRESSIBLE: [&str; 9] = [
    "css",
    "html",
    "ico",
    "js",
    "json",
    "svg",
    "txt",
    "wasm",
    "webmanifest",
];
const BROTLI_QUALITY: i32 = 11;
const BROTLI_WINDOW: i32 = 24;

/// Writes `FILE.br` and `FILE.gz` beside a file whose kind gains from it.
pub fn beside(file: &Path) -> Result<()> {
    if !file
        .extension()
        .is_some_and(|extension| COMPRESSIBLE.iter().any(|known| extension == *known))
    {
        return Ok(());
    }
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    create(file, "br")?.write_all(&brotli(&bytes)?)?;
    let mut encoder = GzEncoder::new(create(file, "gz")?, Compression::best());
    encoder.write_all(&bytes)?;
    encoder.finish().context("gzip")?;
    Ok(())
}

/// Brotli at its highest quality.
pub fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &parameters).context("brotli")?;
    Ok(packed)
}

fn create(file: &Path, suffix: &str) -> Result<File> {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    let path = PathBuf::from(name);
    File::create(&path).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::*;

    #[test]
    fn both_copies_unpack_to_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        let bytes = b"the same words again and again, ".repeat(500);
        fs::write(&file, &bytes).unwrap();
        beside(&file).unwrap();
        let mut plain = Vec::new();
        let packed = fs::read(folder.path().join("a.wasm.br")).unwrap();
        assert!(packed.len() < bytes.len() / 10);
        brotli::BrotliDecompress(&mut packed.as_slice(), &mut plain).unwrap();
        assert_eq!(plain, bytes);
        plain.clear();
        let packed = File::open(folder.path().join("a.wasm.gz")).unwrap();
        flate2::read::GzDecoder::new(packed)
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, bytes);
    }

    #[test]
    fn pictures_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.png"), b"x").unwrap();
        beside(&folder.path().join("a.png")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
