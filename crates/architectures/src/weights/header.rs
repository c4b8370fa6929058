//! The header of one [safetensors](https://huggingface.co/docs/safetensors) file: eight bytes with its length, then JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};

/// Largest header that is read.
pub const MAX_HEADER_BYTES: u64 = 32 << 20;

/// Bytes before the header.
const LENGTH: usize = 8;

/// How the elements of a weight are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper halves of 32-bit floats.
    BF16,
    /// What no network is computed with: indices, quantised numbers.
    Other(Dtype),
}

impl Element {
    /// Bytes of one, of those that are computed with.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Other(dtype) => dtype.bitsize().div_ceil(8) as u64,
        }
    }
}

impl From<Dtype> for Element {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            other => Self::Other(other),
        }
    }
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Type of its elements.
    pub element: Element,
    /// Its shape.
    pub shape: Vec<usize>,
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The tensors of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    tensors: BTreeMap<String, Stored>,
    extent: u64,
    file_bytes: u64,
    metadata: BTreeMap<String, String>,
}

impl Header {
    /// Bytes at the start of a file that hold its header, of the first eight of them.
    ///
    /// # Errors
    /// [`Error::Header`] where the header is larger than [`MAX_HEADER_BYTES`]: such a file is none.
    pub fn extent(file: &str, start: [u8; LENGTH]) -> Result<u64> {
        let length = u64::from_le_bytes(start);
        if length > MAX_HEADER_BYTES {
            return Err(wrong(
                file,
                format!(
                    "its header would have {length} bytes, {MAX_HEADER_BYTES} at most are read"
                ),
            ));
        }
        Ok(LENGTH as u64 + length)
    }

    /// Reads the start of a file, which is as long as [`Header::extent`] says.
    ///
    /// # Errors
    /// [`Error::Header`] for anything but a header whose tensors lie one behind the other without a gap.
    pub fn parse(file: &str, start: &[u8]) -> Result<Self> {
        let (length, json) = start
            .split_first_chunk::<LENGTH>()
            .ok_or_else(|| wrong(file, "it ends before its header"))?;
        let extent = Self::extent(file, *length)?;
        if start.len() as u64 != extent {
            return Err(wrong(file, "it ends within its header"));
        }
        let metadata: Metadata =
            serde_json::from_slice(json).map_err(|error| wrong(file, error.to_string()))?;
        // No tensor ends behind the last one.
        let file_bytes = extent
            .checked_add(metadata.data_len() as u64)
            .ok_or_else(|| wrong(file, "its tensors are larger than any file"))?;
        let mut tensors = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let (begin, end) = info.data_offsets;
            let stored = Stored {
                element: info.dtype.into(),
                shape: info.shape.clone(),
                offset: extent + begin as u64,
                length: (end - begin) as u64,
            };
            tensors.insert(name, stored);
        }
        Ok(Self {
            tensors,
            extent,
            file_bytes,
            metadata: metadata
                .metadata()
                .iter()
                .flatten()
                .map(|(name, text)| (name.clone(), text.clone()))
                .collect(),
        })
    }

    /// Reads the header of the file at `path`, and holds its length against it. Messages call it by its name.
    ///
    /// # Errors
    /// [`Error::Header`].
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let failed = |error: std::io::Error| wrong(&name, error.to_string());
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut start = Vec::new();
        file.by_ref()
            .take(LENGTH as u64)
            .read_to_end(&mut start)
            .map_err(failed)?;
        let length = start
            .first_chunk()
            .ok_or_else(|| wrong(&name, "it ends before its header"))?;
        let extent = Self::extent(&name, *length)?;
        file.take(extent - LENGTH as u64)
            .read_to_end(&mut start)
            .map_err(failed)?;
        let header = Self::parse(&name, &start)?;
        if header.file_bytes != bytes {
            return Err(wrong(
                &name,
                format!(
                    "it has {bytes} bytes, its header says {}",
                    header.file_bytes
                ),
            ));
        }
        Ok(header)
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes before the first tensor.
    pub fn header_bytes(&self) -> u64 {
        self.extent
    }

    /// What its author says of the file, by name.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Stored> {
        &self.tensors
    }
}

fn wrong(file: &str, problem: impl Into<String>) -> Error {
    Error::Header {
        file: file.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn file(json: &str) -> Vec<u8> {
        [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
    }

    /// The layout of the format's description: offsets count from behind the header.
    #[test]
    fn tensors_lie_behind_the_header() {
        let json = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[3],"data_offsets":[16,22]},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
        let header = Header::parse("x", &file(json)).unwrap();
        let at = 8 + json.len() as u64;
        assert_eq!(
            header.tensors()["a"],
            Stored {
                element: Element::F32,
                shape: vec![2, 2],
                offset: at,
                length: 16
            }
        );
        assert_eq!(
            header.tensors()["b"],
            Stored {
                element: Element::F16,
                shape: vec![3],
                offset: at + 16,
                length: 6
            }
        );
        assert_eq!(header.file_bytes(), at + 22);
    }

    #[test]
    fn hostile_headers_are_refused() {
        let tensor = |dtype: &str, shape: &str, offsets: &str| {
            file(&format!(
                r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#
            ))
        };
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("cut within the length", vec![1, 0, 0]),
            ("cut within the header", file("{}")[..9].to_vec()),
            (
                "a header of 2^60 bytes",
                (1u64 << 60).to_le_bytes().to_vec(),
            ),
            ("no JSON", file("hello")),
            ("a gap", tensor("F32", "[1]", "[4,8]")),
            ("backwards", tensor("F32", "[1]", "[8,4]")),
            (
                "another length than its shape",
                tensor("F32", "[2]", "[0,4]"),
            ),
            (
                "an overflowing shape",
                tensor("F32", "[4294967296,4294967296]", "[0,4]"),
            ),
            ("an unknown type", tensor("Q4", "[1]", "[0,1]")),
            (
                "tensors beyond the end of any file",
                file(&format!(
                    r#"{{"a":{{"dtype":"U8","shape":[{end}],"data_offsets":[0,{end}]}}}}"#,
                    end = u64::MAX
                )),
            ),
            (
                "a pickle",
                [&[0x80u8, 2, 0x8a, 10, 0, 0, 0, 0][..], b"abc"].concat(),
            ),
        ] {
            assert!(
                matches!(Header::parse("x", &bytes), Err(Error::Header { .. })),
                "{what}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::parse("x", &bytes);
            let _ = Header::parse("x", &file(&String::from_utf8_lossy(&bytes)));
        }
    }
}
