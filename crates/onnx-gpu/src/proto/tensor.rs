//! `TensorProto`.

use std::sync::Arc;

use half::f16;

use super::{Reader, malformed};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{DType, Data, Tensor, elements};

/// Parses a tensor with its name.
pub(super) fn parse_tensor(bytes: &[u8]) -> Result<(String, Tensor)> {
    let (mut name, mut dims, mut code, mut raw) = (String::new(), vec![], 0, None);
    let (mut floats, mut doubles, mut ints, mut longs) = (vec![], vec![], vec![], vec![]);
    let mut external = false;
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
            14 => external = wire.int()? == 1,
            _ => {}
        }
    }
    if external {
        return Err(Error::new(
            ErrorKind::UnsupportedOp,
            format!("tensor '{name}' keeps its data in another file; export with the data inside"),
        ));
    }
    let dtype = DType::from_onnx(code)
        .map_err(|e| Error::new(e.kind(), format!("tensor '{name}': {e}")))?;
    let shape: Vec<usize> = dims
        .iter()
        .map(|&d| usize::try_from(d))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| {
            malformed(format!(
                "tensor '{name}' has a negative dimension in {dims:?}"
            ))
        })?;
    let wanted = elements(&shape)?;
    let data = match raw {
        Some(raw) => from_raw(code, dtype, raw),
        None => from_fields(code, dtype, floats, doubles, &ints, longs),
    };
    let data = data.filter(|data| data.len() == wanted).ok_or_else(|| {
        malformed(format!(
            "tensor '{name}': the data does not fill shape {shape:?} of {dtype}"
        ))
    })?;
    Ok((name, Tensor::new(shape, data)?))
}

const DOUBLE: i64 = 11;

fn from_raw(code: i64, dtype: DType, raw: &[u8]) -> Option<Data> {
    let width = if code == DOUBLE { 8 } else { dtype.size() };
    if !raw.len().is_multiple_of(width) {
        return None;
    }
    let (b2, b4, b8) = (
        raw.as_chunks::<2>().0,
        raw.as_chunks::<4>().0,
        raw.as_chunks::<8>().0,
    );
    Some(match dtype {
        DType::F32 if code == DOUBLE => Data::F32(Arc::new(
            b8.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        )),
        DType::F32 => Data::F32(Arc::new(
            b4.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        )),
        DType::F16 => Data::F16(Arc::new(
            b2.iter().map(|&b| f16::from_le_bytes(b)).collect(),
        )),
        DType::I64 => Data::I64(Arc::new(
            b8.iter().map(|&b| i64::from_le_bytes(b)).collect(),
        )),
        DType::I32 => Data::I32(Arc::new(
            b4.iter().map(|&b| i32::from_le_bytes(b)).collect(),
        )),
        DType::U8 => Data::U8(Arc::new(raw.to_vec())),
        DType::I8 => Data::I8(Arc::new(raw.iter().map(|&b| b as i8).collect())),
        DType::Bool => Data::Bool(Arc::new(raw.iter().map(|&b| b != 0).collect())),
    })
}

fn from_fields(
    code: i64,
    dtype: DType,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    ints: &[i64],
    longs: Vec<i64>,
) -> Option<Data> {
    Some(match dtype {
        DType::F32 if code == DOUBLE => {
            Data::F32(Arc::new(doubles.iter().map(|&x| x as f32).collect()))
        }
        DType::F32 => Data::F32(Arc::new(floats)),
        DType::I64 => Data::I64(Arc::new(longs)),
        DType::F16 => Data::F16(Arc::new(narrow(ints, |x| {
            u16::try_from(x).ok().map(f16::from_bits)
        })?)),
        // Protobuf widens negative int32 values to 64 bits.
        DType::I32 => Data::I32(Arc::new(narrow(ints, |x| i32::try_from(x).ok())?)),
        DType::U8 => Data::U8(Arc::new(narrow(ints, |x| u8::try_from(x).ok())?)),
        DType::I8 => Data::I8(Arc::new(narrow(ints, |x| i8::try_from(x).ok())?)),
        DType::Bool => Data::Bool(Arc::new(ints.iter().map(|&x| x != 0).collect())),
    })
}

fn narrow<T>(ints: &[i64], f: impl Fn(i64) -> Option<T>) -> Option<Vec<T>> {
    ints.iter().map(|&x| f(x)).collect()
}
