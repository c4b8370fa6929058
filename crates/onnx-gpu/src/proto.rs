//! Reads ONNX files: the protobuf wire format and the messages of
//! [onnx.proto](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that an inference needs.
//!
//! Hostile input is expected: every length is checked against the bytes at hand before anything is allocated.

#![forbid(unsafe_code)]

mod model;
mod tensor;

pub use model::{Attribute, AttributeValue, Dim, Graph, Model, Node, Subgraph, ValueInfo};
pub use tensor::{Contents, Initializer, Location, Storage};

use crate::error::{Error, ErrorKind, Result};

pub(crate) fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Parse, what)
}

/// The payload of one protobuf field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Wire<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(malformed("a field that holds bytes has another wire type")),
        }
    }

    pub(crate) fn text(self) -> Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| malformed("a name is not UTF-8"))
    }

    pub(crate) fn int(self) -> Result<i64> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            _ => Err(malformed("an integer field has another wire type")),
        }
    }

    pub(crate) fn float(self) -> Result<f32> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(malformed("a float field has another wire type")),
        }
    }

    /// Appends a repeated integer field, packed or not.
    pub(crate) fn ints_into(self, out: &mut Vec<i64>) -> Result<()> {
        match self {
            Self::Varint(value) => out.push(value as i64),
            Self::Bytes(bytes) => {
                let mut reader = Reader::new(bytes);
                while !reader.done() {
                    out.push(reader.varint()? as i64);
                }
            }
            _ => return Err(malformed("an integer list has another wire type")),
        }
        Ok(())
    }

    /// Appends a repeated `float` field, packed or not.
    pub(crate) fn floats_into(self, out: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Fixed32(bytes) => out.push(f32::from_le_bytes(bytes)),
            Self::Bytes(bytes) if bytes.len() % 4 == 0 => {
                let (chunks, _) = bytes.as_chunks::<4>();
                out.extend(chunks.iter().map(|&c| f32::from_le_bytes(c)));
            }
            _ => return Err(malformed("a float list has another wire type or length")),
        }
        Ok(())
    }

    /// Appends a repeated `double` field, packed or not.
    pub(crate) fn doubles_into(self, out: &mut Vec<f64>) -> Result<()> {
        match self {
            Self::Fixed64(bytes) => out.push(f64::from_le_bytes(bytes)),
            Self::Bytes(bytes) if bytes.len() % 8 == 0 => {
                let (chunks, _) = bytes.as_chunks::<8>();
                out.extend(chunks.iter().map(|&c| f64::from_le_bytes(c)));
            }
            _ => return Err(malformed("a double list has another wire type or length")),
        }
        Ok(())
    }
}

/// A cursor over one protobuf message.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn done(&self) -> bool {
        self.rest.is_empty()
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self
                .rest
                .split_first()
                .ok_or_else(|| malformed("the file ends inside a number"))?;
            self.rest = rest;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number is longer than 64 bits"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        if len > self.rest.len() {
            return Err(malformed(format!(
                "a field claims {len} bytes where {} are left",
                self.rest.len()
            )));
        }
        let (head, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// The next field as (number, payload); `None` at the end of the message.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>> {
        if self.done() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|&n| n > 0 && n < 1 << 29)
            .ok_or_else(|| malformed("a field number is out of range"))?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.array()?),
            2 => {
                let len = usize::try_from(self.varint()?)
                    .map_err(|_| malformed("a length does not fit memory"))?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Fixed32(self.array()?),
            other => return Err(malformed(format!("wire type {other} is not in use"))),
        };
        Ok(Some((number, wire)))
    }
}

#[cfg(test)]
mod tests;
