//! Reads and writes NumPy [`.npy`](https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html) files:
//! little-endian `f2 f4 f8 i1 i4 i8 u1 b1` in C order. `f8` is narrowed to 32 bits.

use std::sync::Arc;

use half::{bf16, f16};

use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{DType, Data, Tensor, elements};

const MAGIC: &[u8] = b"\x93NUMPY";

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Parse, what)
}

/// Parses a file.
///
/// # Errors
/// [`ErrorKind::Parse`] for a malformed file, Fortran order or an element type not listed above.
pub fn read(bytes: &[u8]) -> Result<Tensor> {
    let short = || malformed("the .npy file is cut short");
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| malformed("not a .npy file"))?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest) = if major == 1 {
        let (&n, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        (usize::from(u16::from_le_bytes(n)), rest)
    } else {
        let (&n, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        (u32::from_le_bytes(n) as usize, rest)
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| malformed("the header is not text"))?;
    if entry(header, "fortran_order")?.starts_with("True") {
        return Err(malformed(
            "the array is in Fortran order; save numpy.ascontiguousarray(array)",
        ));
    }
    let shape = shape(entry(header, "shape")?)?;
    let descr = entry(header, "descr")?;
    let descr = descr
        .trim_start_matches(['\'', '"'])
        .split(['\'', '"'])
        .next()
        .unwrap_or_default();
    let data = decode(descr, data)?;
    if data.len() != elements(&shape)? {
        return Err(malformed(format!(
            "shape {shape:?} wants {} elements, the file holds {}",
            elements(&shape)?,
            data.len()
        )));
    }
    Tensor::new(shape, data)
}

/// The text after `'key':` in the header's dictionary.
fn entry<'a>(header: &'a str, key: &str) -> Result<&'a str> {
    let start = header
        .find(&format!("'{key}'"))
        .map(|at| at + key.len() + 2)
        .ok_or_else(|| malformed(format!("the header lacks '{key}'")))?;
    header[start..]
        .trim_start()
        .strip_prefix(':')
        .map(str::trim_start)
        .ok_or_else(|| malformed(format!("the header's '{key}' has no value")))
}

fn shape(text: &str) -> Result<Vec<usize>> {
    let inside = text
        .strip_prefix('(')
        .and_then(|t| t.split_once(')'))
        .map(|(inside, _)| inside)
        .ok_or_else(|| malformed("the header's shape is not a tuple"))?;
    inside
        .split(',')
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .map(|t| {
            t.parse()
                .map_err(|_| malformed(format!("'{t}' is not a dimension")))
        })
        .collect()
}

fn decode(descr: &str, raw: &[u8]) -> Result<Data> {
    let width: usize = descr
        .get(2..)
        .and_then(|w| w.parse().ok())
        .filter(|w| (1..=8).contains(w))
        .ok_or_else(|| malformed(format!("element type '{descr}' is not supported")))?;
    if !raw.len().is_multiple_of(width) {
        return Err(malformed("the data end inside an element"));
    }
    let (b2, b4, b8) = (raw.as_chunks().0, raw.as_chunks().0, raw.as_chunks().0);
    Ok(match descr {
        "<f2" => Data::F16(Arc::new(
            b2.iter().map(|&b| f16::from_le_bytes(b)).collect(),
        )),
        // How NumPy writes the bfloat16 of ml_dtypes, which it has no name for.
        "<V2" => Data::BF16(Arc::new(
            b2.iter().map(|&b| bf16::from_le_bytes(b)).collect(),
        )),
        "<f4" => Data::F32(Arc::new(
            b4.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        )),
        "<f8" => Data::F32(Arc::new(
            b8.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        )),
        "<i4" => Data::I32(Arc::new(
            b4.iter().map(|&b| i32::from_le_bytes(b)).collect(),
        )),
        "<i8" => Data::I64(Arc::new(
            b8.iter().map(|&b| i64::from_le_bytes(b)).collect(),
        )),
        "|i1" => Data::I8(Arc::new(raw.iter().map(|&b| b as i8).collect())),
        "|u1" => Data::U8(Arc::new(raw.to_vec())),
        "|b1" => Data::Bool(Arc::new(raw.iter().map(|&b| b != 0).collect())),
        _ => {
            return Err(malformed(format!(
                "element type '{descr}' is not supported"
            )));
        }
    })
}

/// The bytes of a version 1.0 file.
pub fn write(tensor: &Tensor) -> Vec<u8> {
    let descr = match tensor.dtype() {
        DType::F32 => "<f4",
        DType::F16 => "<f2",
        DType::BF16 => "<V2",
        DType::I64 => "<i8",
        DType::I32 => "<i4",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::Bool => "|b1",
    };
    let mut dims: String = tensor.shape().iter().map(|d| format!("{d}, ")).collect();
    if dims.len() > 2 && tensor.shape().len() > 1 {
        dims.truncate(dims.len() - 2);
    }
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
        dims.trim_end()
    );
    // The data start at a multiple of 64 bytes.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.extend(std::iter::repeat_n(
        ' ',
        unpadded.next_multiple_of(64) - unpadded,
    ));
    header.push('\n');
    let mut out = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes()].concat();
    out.extend_from_slice(header.as_bytes());
    match tensor.data() {
        Data::F32(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Data::F16(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Data::BF16(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Data::I64(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Data::I32(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Data::U8(v) => out.extend_from_slice(v),
        Data::I8(v) => out.extend(v.iter().map(|&x| x as u8)),
        Data::Bool(v) => out.extend(v.iter().map(|&x| u8::from(x))),
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `numpy.save` of `numpy.arange(6, dtype='<i4').reshape(2, 3)`.
    fn by_numpy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([1, 0]);
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn reads_what_numpy_writes() {
        let data: Vec<u8> = (0..6i32).flat_map(i32::to_le_bytes).collect();
        let header = "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }          \n";
        let t = read(&by_numpy(header, &data)).unwrap();
        assert_eq!(
            (t.shape(), t.as_i32().unwrap()),
            ([2, 3].as_slice(), [0, 1, 2, 3, 4, 5].as_slice())
        );
        let fortran = header.replace("False", "True");
        assert!(read(&by_numpy(&fortran, &data)).is_err());
        assert!(read(&by_numpy(header, &data[1..])).is_err());
        assert!(read(&by_numpy(&header.replace("<i4", ">i4"), &data)).is_err());
        assert!(read(&by_numpy(header, &data)[..20]).is_err());
        let huge = header.replace("(2, 3)", "(18446744073709551615, 9)");
        assert!(read(&by_numpy(&huge, &data)).is_err());
    }

    #[test]
    fn writes_what_it_reads() {
        for shape in [vec![], vec![1], vec![2, 3], vec![0, 4]] {
            let t = Tensor::zeros(DType::F16, shape).unwrap();
            let bytes = write(&t);
            assert_eq!(bytes.len() % 64, t.len() * 2 % 64);
            assert_eq!(read(&bytes).unwrap(), t);
        }
    }
}
