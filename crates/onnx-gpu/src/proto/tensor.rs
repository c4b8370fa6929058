//! `TensorProto`.

use std::sync::Arc;

use half::{bf16, f16};

use super::{Reader, malformed};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{DType, Data, Tensor, elements};

/// How the elements of an initializer lie in a file, little endian and without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Storage {
    F32,
    F64,
    F16,
    BF16,
    I64,
    I32,
    U8,
    I8,
    Bool,
    /// Two elements per byte, the first in the low half.
    U4,
    /// Two elements per byte, the first in the low half.
    I4,
}

impl Storage {
    fn from_onnx(code: i64) -> Result<Self> {
        Ok(match code {
            11 => Self::F64,
            21 => Self::U4,
            22 => Self::I4,
            _ => match DType::from_onnx(code)? {
                DType::F32 => Self::F32,
                DType::F16 => Self::F16,
                DType::BF16 => Self::BF16,
                DType::I64 => Self::I64,
                DType::I32 => Self::I32,
                DType::U8 => Self::U8,
                DType::I8 => Self::I8,
                DType::Bool => Self::Bool,
            },
        })
    }

    /// The element type that the crate computes with: `double` is narrowed, 4-bit integers are widened.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 | Self::F64 => DType::F32,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            Self::I64 => DType::I64,
            Self::I32 => DType::I32,
            Self::U8 | Self::U4 => DType::U8,
            Self::I8 | Self::I4 => DType::I8,
            Self::Bool => DType::Bool,
        }
    }

    /// Bits of one element.
    pub fn bits(self) -> u64 {
        match self {
            Self::F64 | Self::I64 => 64,
            Self::F32 | Self::I32 => 32,
            Self::F16 | Self::BF16 => 16,
            Self::U8 | Self::I8 | Self::Bool => 8,
            Self::U4 | Self::I4 => 4,
        }
    }

    /// Bytes that `elements` elements take.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when that does not fit 64 bits.
    pub fn bytes(self, elements: usize) -> Result<u64> {
        (elements as u64)
            .checked_mul(self.bits())
            .map(|bits| bits.div_ceil(8))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Limit,
                    format!("{elements} elements are too many"),
                )
            })
    }

    /// The elements in `raw` as a tensor.
    ///
    /// # Errors
    /// [`ErrorKind::Parse`] unless `raw` fills the shape.
    pub fn tensor(self, shape: &[usize], raw: &[u8]) -> Result<Tensor> {
        let wanted = elements(shape)?;
        if raw.len() as u64 != self.bytes(wanted)? {
            return Err(malformed(format!(
                "{} bytes do not fill shape {shape:?} of {self:?}",
                raw.len()
            )));
        }
        let (b2, b4, b8) = (
            raw.as_chunks::<2>().0,
            raw.as_chunks::<4>().0,
            raw.as_chunks::<8>().0,
        );
        let nibbles = || raw.iter().flat_map(|&b| [b & 15, b >> 4]).take(wanted);
        let data = match self {
            Self::F64 => Data::F32(Arc::new(
                b8.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
            )),
            Self::F32 => Data::F32(Arc::new(
                b4.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            )),
            Self::F16 => Data::F16(Arc::new(
                b2.iter().map(|&b| f16::from_le_bytes(b)).collect(),
            )),
            Self::BF16 => Data::BF16(Arc::new(
                b2.iter().map(|&b| bf16::from_le_bytes(b)).collect(),
            )),
            Self::I64 => Data::I64(Arc::new(
                b8.iter().map(|&b| i64::from_le_bytes(b)).collect(),
            )),
            Self::I32 => Data::I32(Arc::new(
                b4.iter().map(|&b| i32::from_le_bytes(b)).collect(),
            )),
            Self::U8 => Data::U8(Arc::new(raw.to_vec())),
            Self::I8 => Data::I8(Arc::new(raw.iter().map(|&b| b as i8).collect())),
            Self::Bool => Data::Bool(Arc::new(raw.iter().map(|&b| b != 0).collect())),
            Self::U4 => Data::U8(Arc::new(nibbles().collect())),
            // The sign is bit 3.
            Self::I4 => Data::I8(Arc::new(nibbles().map(|b| (b << 4) as i8 >> 4).collect())),
        };
        Tensor::new(shape, data)
    }
}

/// Where a range of bytes lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Path of the file relative to the model's folder, as the model gives it; `None` for the model file itself.
    pub file: Option<String>,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// The elements of an initializer.
#[derive(Clone, Debug)]
pub enum Contents {
    /// Parsed already: written in the file as a list of numbers.
    Known(Tensor),
    /// Raw bytes to be read.
    Stored(Location),
}

/// A named constant of a graph.
#[derive(Clone, Debug)]
pub struct Initializer {
    /// Name.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// How raw bytes are to be read.
    pub storage: Storage,
    /// The elements.
    pub contents: Contents,
}

impl Initializer {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        match &self.contents {
            Contents::Known(tensor) => (tensor.len() * tensor.dtype().size()) as u64,
            Contents::Stored(location) => location.length,
        }
    }
}

/// Parses a tensor without copying raw data out of `file`, the bytes of the whole model.
pub(super) fn parse_tensor(bytes: &[u8], file: &[u8]) -> Result<Initializer> {
    let (mut name, mut dims, mut code, mut raw) = (String::new(), vec![], 0, None);
    let (mut floats, mut doubles, mut ints, mut longs) = (vec![], vec![], vec![], vec![]);
    let (mut external, mut entries) = (false, vec![]);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => wire.ints_into(&mut dims)?,
            2 => code = wire.int()?,
            4 => wire.floats_into(&mut floats)?,
            5 => wire.ints_into(&mut ints)?,
            7 => wire.ints_into(&mut longs)?,
            8 => name = wire.text()?,
            9 => raw = Some(wire.bytes()?),
            10 => wire.doubles_into(&mut doubles)?,
            13 => entries.push(parse_entry(wire.bytes()?)?),
            14 => external = wire.int()? == 1,
            _ => {}
        }
    }
    let fail = |e: Error| e.about(format_args!("tensor '{name}'"));
    let storage = Storage::from_onnx(code).map_err(fail)?;
    let shape: Vec<usize> = dims
        .iter()
        .map(|&d| usize::try_from(d))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| {
            malformed(format!(
                "tensor '{name}' has a negative dimension in {dims:?}"
            ))
        })?;
    let wanted = elements(&shape).map_err(fail)?;
    let length = storage.bytes(wanted).map_err(fail)?;
    let contents = if external {
        Contents::Stored(external_location(&entries, length).map_err(fail)?)
    } else if let Some(raw) = raw {
        if raw.len() as u64 != length {
            return Err(malformed(format!(
                "tensor '{name}': {} bytes do not fill shape {shape:?} of {storage:?}",
                raw.len()
            )));
        }
        Contents::Stored(Location {
            file: None,
            offset: (raw.as_ptr().addr() - file.as_ptr().addr()) as u64,
            length,
        })
    } else {
        let data = from_fields(storage, wanted, floats, doubles, &ints, longs)
            .filter(|data| data.len() == wanted)
            .ok_or_else(|| {
                malformed(format!(
                    "tensor '{name}': the data does not fill shape {shape:?} of {storage:?}"
                ))
            })?;
        Contents::Known(Tensor::new(shape.clone(), data)?)
    };
    Ok(Initializer {
        name,
        shape,
        storage,
        contents,
    })
}

/// `StringStringEntryProto`.
fn parse_entry(bytes: &[u8]) -> Result<(String, String)> {
    let (mut key, mut value) = (String::new(), String::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => key = wire.text()?,
            2 => value = wire.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The keys `location`, `offset` and `length` of
/// [external data](https://onnx.ai/onnx/repo-docs/ExternalData.html); `wanted` bytes fill the shape.
fn external_location(entries: &[(String, String)], wanted: u64) -> Result<Location> {
    let text = |key: &str| {
        entries
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    };
    let number = |key: &str| {
        text(key)
            .map(|value| {
                value
                    .parse::<u64>()
                    .map_err(|_| malformed(format!("external data has {key} '{value}'")))
            })
            .transpose()
    };
    let file = text("location").ok_or_else(|| malformed("external data has no location"))?;
    check_path(file)?;
    let length = number("length")?.unwrap_or(wanted);
    if length != wanted {
        return Err(malformed(format!(
            "external data has {length} bytes where the shape takes {wanted}"
        )));
    }
    let offset = number("offset")?.unwrap_or(0);
    if offset.checked_add(length).is_none() {
        return Err(malformed(format!("external data has offset {offset}")));
    }
    Ok(Location {
        file: Some(file.to_owned()),
        offset,
        length,
    })
}

/// Refuses a path that could leave the model's folder on any operating system, or change its meaning in a URL.
fn check_path(path: &str) -> Result<()> {
    let part_is_plain = |part: &str| !matches!(part, "" | "..");
    let plain = path.split('/').all(part_is_plain)
        && !path.contains(['\\', ':', '?', '#', '%'])
        && !path.chars().any(char::is_control);
    if plain {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::InvalidModel,
            format!("external data at {path:?}, which is not a path inside the model's folder"),
        ))
    }
}

fn from_fields(
    storage: Storage,
    wanted: usize,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    ints: &[i64],
    longs: Vec<i64>,
) -> Option<Data> {
    Some(match storage {
        Storage::F64 => Data::F32(Arc::new(doubles.iter().map(|&x| x as f32).collect())),
        Storage::F32 => Data::F32(Arc::new(floats)),
        Storage::I64 => Data::I64(Arc::new(longs)),
        Storage::F16 => Data::F16(Arc::new(narrow(ints, |x| {
            u16::try_from(x).ok().map(f16::from_bits)
        })?)),
        Storage::BF16 => Data::BF16(Arc::new(narrow(ints, |x| {
            u16::try_from(x).ok().map(bf16::from_bits)
        })?)),
        // Protobuf widens negative int32 values to 64 bits.
        Storage::I32 => Data::I32(Arc::new(narrow(ints, |x| i32::try_from(x).ok())?)),
        Storage::U8 => Data::U8(Arc::new(narrow(ints, |x| u8::try_from(x).ok())?)),
        Storage::I8 => Data::I8(Arc::new(narrow(ints, |x| i8::try_from(x).ok())?)),
        Storage::Bool => Data::Bool(Arc::new(ints.iter().map(|&x| x != 0).collect())),
        // Each entry is a byte of two elements.
        Storage::U4 | Storage::I4 => {
            let bytes = narrow(ints, |x| u8::try_from(x & 255).ok())?;
            storage.tensor(&[wanted], &bytes).ok()?.data().clone()
        }
    })
}

fn narrow<T>(ints: &[i64], f: impl Fn(i64) -> Option<T>) -> Option<Vec<T>> {
    ints.iter().map(|&x| f(x)).collect()
}
