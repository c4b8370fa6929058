//! The digests of a stored file, block by block.
//!
//! A file's SHA-256 can only be checked by reading all of it. So when a download is complete and its digest is the
//! manifest's, the digest of every block is written down; from then on each read checks the blocks that it touches, and a
//! damaged one is fetched again by itself.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of a block; the last one of a file may be shorter.
pub const BLOCK: u64 = 1 << 20;

/// What is known of a stored file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// SHA-256 of the file in hex.
    pub sha256: String,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of each block in hex, one after the other.
    blocks: String,
}

impl Seal {
    /// Whether this is the seal of a file of that digest and length, and whole.
    pub fn fits(&self, sha256: &str, bytes: u64) -> bool {
        self.sha256 == sha256
            && self.bytes == bytes
            && self.blocks.len() as u64 == bytes.div_ceil(BLOCK) * 64
    }

    /// Digest of a block in hex.
    pub fn block(&self, index: u64) -> Option<&str> {
        let start = usize::try_from(index.checked_mul(64)?).ok()?;
        self.blocks.get(start..start.checked_add(64)?)
    }

    /// Start and length of a block.
    pub fn span(&self, index: u64) -> (u64, usize) {
        let start = index * BLOCK;
        let length = self.bytes.saturating_sub(start).min(BLOCK);
        (start, length as usize)
    }
}

/// Digests of a file that arrives from its beginning.
#[derive(Clone, Default)]
pub struct Sealing {
    file: Sha256,
    block: Sha256,
    /// Bytes in the block that is not full yet.
    filled: u64,
    bytes: u64,
    blocks: String,
}

impl Sealing {
    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.file.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = (BLOCK - self.filled).min(bytes.len() as u64) as usize;
            let (now, rest) = bytes.split_at(room);
            self.block.update(now);
            self.filled += room as u64;
            if self.filled == BLOCK {
                self.close_block();
            }
            bytes = rest;
        }
    }

    /// Bytes taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file has ended.
    pub fn finish(mut self) -> Seal {
        if self.filled > 0 {
            self.close_block();
        }
        Seal {
            sha256: hex::encode(self.file.finalize()),
            bytes: self.bytes,
            blocks: self.blocks,
        }
    }

    fn close_block(&mut self) {
        self.blocks
            .push_str(&hex::encode(self.block.finalize_reset()));
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seal(bytes: &[u8], pieces: usize) -> Seal {
        let mut sealing = Sealing::default();
        for piece in bytes.chunks(pieces) {
            sealing.update(piece);
        }
        assert_eq!(sealing.bytes(), bytes.len() as u64);
        sealing.finish()
    }

    /// FIPS 180-2, appendix B.1 and B.3: SHA-256 of "abc" and of a million times "a".
    #[test]
    fn digests_are_sha_256() {
        let abc = seal(b"abc", 1);
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(abc.sha256, expected);
        assert_eq!(abc.block(0), Some(expected));
        assert_eq!(abc.block(1), None);
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(seal(&vec![b'a'; 1_000_000], 7_919).sha256, million);
    }

    #[test]
    fn blocks_are_digested_apart_however_the_bytes_arrive() {
        let bytes: Vec<u8> = (0..BLOCK * 2 + 5).map(|i| (i % 251) as u8).collect();
        let sealed = seal(&bytes, 65_537);
        assert_eq!(sealed, seal(&bytes, usize::MAX));
        for index in 0..3 {
            let (start, length) = sealed.span(index);
            let block = &bytes[start as usize..start as usize + length];
            assert_eq!(
                sealed.block(index).unwrap(),
                hex::encode(Sha256::digest(block))
            );
        }
        assert_eq!(sealed.span(2).1, 5);
        assert_eq!(sealed.block(3), None);
        assert_eq!(sealed.block(u64::MAX), None);
    }

    #[test]
    fn a_seal_fits_one_file_only() {
        let mut sealed = seal(&[7; 100], 100);
        let digest = sealed.sha256.clone();
        assert!(sealed.fits(&digest, 100));
        assert!(!sealed.fits(&digest, 99));
        assert!(!sealed.fits("other", 100));
        sealed.blocks.truncate(10);
        assert!(!sealed.fits(&digest, 100));
    }
}
