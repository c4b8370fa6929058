//! NumPy's file format, version 1, for the types that inputs and outputs have here.

use crate::Failure;

/// Elements in C order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `float32`
    F32(Vec<f32>),
    /// `int64`
    I64(Vec<i64>),
}

/// A tensor in main memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Data,
}

/// Reads a file.
///
/// # Errors
/// For another element type, Fortran order, or a file that is cut off.
pub fn read(file: &[u8]) -> Result<Array, Failure> {
    let length = file.get(8..10).ok_or("no .npy file")?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = std::str::from_utf8(file.get(10..start).ok_or("a .npy file is cut off")?)?;
    if !header.contains("'fortran_order': False") {
        return Err("only C order is read".into());
    }
    let tuple = header
        .split_once("'shape': (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .ok_or("no shape")?
        .0;
    let shape = tuple
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(str::parse)
        .collect::<Result<Vec<usize>, _>>()?;
    let body = &file[start..];
    let data = if header.contains("'<f4'") {
        Data::F32(
            body.as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
        )
    } else if header.contains("'<i8'") {
        Data::I64(
            body.as_chunks::<8>()
                .0
                .iter()
                .map(|b| i64::from_le_bytes(*b))
                .collect(),
        )
    } else {
        return Err(format!("an array like {header} is not read here").into());
    };
    Ok(Array { shape, data })
}

/// A file of version 1.
pub fn write(array: &Array) -> Vec<u8> {
    let sizes: String = array.shape.iter().map(|size| format!("{size},")).collect();
    let (descr, body): (&str, Vec<u8>) = match &array.data {
        Data::F32(v) => ("<f4", v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::I64(v) => ("<i8", v.iter().flat_map(|x| x.to_le_bytes()).collect()),
    };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    header.push_str(&" ".repeat(63 - (header.len() + 10) % 64));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(body);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numpys() {
        // numpy.save of numpy.array([[1, -2]], dtype="<i8"), NumPy 2.4.
        let mut file =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (1, 2), }"
                .to_vec();
        file.resize(127, b' ');
        file.push(b'\n');
        file.extend(1i64.to_le_bytes());
        file.extend((-2i64).to_le_bytes());
        let array = read(&file).unwrap();
        assert_eq!(
            array,
            Array {
                shape: vec![1, 2],
                data: Data::I64(vec![1, -2])
            }
        );
        assert_eq!(read(&write(&array)).unwrap(), array);
    }
}
