//! Conversions between element types, with the semantics of ONNX `Cast`, and to and from GPU words.

use std::sync::Arc;

use half::{bf16, f16};

use super::{DType, Data, Tensor, with_data, wrong_type};
use crate::error::{Error, ErrorKind, Result};

/// An element that converts to every other element type as ONNX `Cast` does: integers keep their low bits, floats truncate
/// towards zero. What of a float an integer cannot hold, ONNX leaves open; as in ONNX Runtime on x86, it and NaN give the lowest
/// number of the type, of the 32 bits that 8 are taken from.
pub(crate) trait Element: Copy {
    fn f32(self) -> f32;
    fn i64(self) -> i64;
    fn i32(self) -> i32;
    fn truth(self) -> bool;
}

macro_rules! element {
    ($($t:ty => |$x:ident| $f:expr, $i:expr, $j:expr, $b:expr;)*) => {$(
        impl Element for $t {
            fn f32(self) -> f32 { let $x = self; $f }
            fn i64(self) -> i64 { let $x = self; $i }
            fn i32(self) -> i32 { let $x = self; $j }
            fn truth(self) -> bool { let $x = self; $b }
        }
    )*};
}

element! {
    f32 => |x| x, whole64(x), whole32(x), x != 0.0;
    f16 => |x| x.to_f32(), whole64(x.to_f32()), whole32(x.to_f32()), x.to_f32() != 0.0;
    bf16 => |x| x.to_f32(), whole64(x.to_f32()), whole32(x.to_f32()), x.to_f32() != 0.0;
    i64 => |x| x as f32, x, x as i32, x != 0;
    i32 => |x| x as f32, i64::from(x), x, x != 0;
    u8 => |x| f32::from(x), i64::from(x), i32::from(x), x != 0;
    i8 => |x| f32::from(x), i64::from(x), i32::from(x), x != 0;
    bool => |x| f32::from(u8::from(x)), i64::from(x), i32::from(x), x;
}

fn whole32(x: f32) -> i32 {
    if x.abs() < 2_147_483_648.0 {
        x as i32
    } else {
        i32::MIN
    }
}

fn whole64(x: f32) -> i64 {
    if x.abs() < 9_223_372_036_854_775_808.0 {
        x as i64
    } else {
        i64::MIN
    }
}

impl Tensor {
    /// Every element converted as ONNX `Cast` does; the same type shares the elements.
    pub fn cast(&self, to: DType) -> Self {
        if self.dtype() == to {
            return self.clone();
        }
        let data = with_data!(&self.data, v => convert(v, to));
        Self {
            shape: self.shape.clone(),
            data,
        }
    }

    /// The elements as `f32`, whatever their type.
    pub fn to_f32_vec(&self) -> Vec<f32> {
        with_data!(&self.data, v => v.iter().map(|x| x.f32()).collect())
    }

    /// The elements as `i64`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for floating-point tensors.
    pub fn to_i64_vec(&self) -> Result<Vec<i64>> {
        if self.dtype().is_float() {
            return Err(wrong_type(DType::I64, self.dtype()));
        }
        Ok(with_data!(&self.data, v => v.iter().map(|x| x.i64()).collect()))
    }

    /// The elements as the GPU holds them: 32-bit words, little endian.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for a 64-bit integer that does not fit 32 bits.
    pub(crate) fn to_gpu_bytes(&self) -> Result<Vec<u8>> {
        Ok(match &self.data {
            Data::F32(v) => bytemuck::cast_slice(v).to_vec(),
            Data::I32(v) => bytemuck::cast_slice(v).to_vec(),
            Data::F16(v) => words(v.iter().map(|x| x.to_f32().to_bits())),
            Data::BF16(v) => words(v.iter().map(|x| x.to_f32().to_bits())),
            Data::U8(v) => words(v.iter().map(|&x| u32::from(x))),
            Data::I8(v) => words(v.iter().map(|&x| i32::from(x) as u32)),
            Data::Bool(v) => words(v.iter().map(|&x| u32::from(x))),
            Data::I64(v) => {
                let narrow: std::result::Result<Vec<i32>, _> =
                    v.iter().map(|&x| i32::try_from(x)).collect();
                let narrow = narrow.map_err(|_| {
                    Error::new(
                        ErrorKind::Limit,
                        "an int64 value does not fit the 32 bits that the GPU computes with",
                    )
                })?;
                bytemuck::cast_slice(&narrow).to_vec()
            }
        })
    }

    /// The inverse of [`Tensor::to_gpu_bytes`].
    pub(crate) fn from_gpu_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let words = words.into_iter();
        let data = match dtype {
            DType::F32 => Data::F32(Arc::new(words.map(f32::from_bits).collect())),
            DType::F16 => Data::F16(Arc::new(
                words.map(|w| f16::from_f32(f32::from_bits(w))).collect(),
            )),
            DType::BF16 => Data::BF16(Arc::new(
                words.map(|w| bf16::from_f32(f32::from_bits(w))).collect(),
            )),
            DType::I64 => Data::I64(Arc::new(words.map(|w| i64::from(w as i32)).collect())),
            DType::I32 => Data::I32(Arc::new(words.map(|w| w as i32).collect())),
            DType::U8 => Data::U8(Arc::new(words.map(|w| w as u8).collect())),
            DType::I8 => Data::I8(Arc::new(words.map(|w| w as i8).collect())),
            DType::Bool => Data::Bool(Arc::new(words.map(|w| w != 0).collect())),
        };
        Self::new(shape, data)
    }
}

fn words(values: impl Iterator<Item = u32>) -> Vec<u8> {
    values.flat_map(u32::to_le_bytes).collect()
}

fn convert<T: Element>(v: &[T], to: DType) -> Data {
    let v = v.iter();
    match to {
        DType::F32 => Data::F32(Arc::new(v.map(|x| x.f32()).collect())),
        DType::F16 => Data::F16(Arc::new(v.map(|x| f16::from_f32(x.f32())).collect())),
        DType::BF16 => Data::BF16(Arc::new(v.map(|x| bf16::from_f32(x.f32())).collect())),
        DType::I64 => Data::I64(Arc::new(v.map(|x| x.i64()).collect())),
        DType::I32 => Data::I32(Arc::new(v.map(|x| x.i32()).collect())),
        DType::U8 => Data::U8(Arc::new(v.map(|x| x.i32() as u8).collect())),
        DType::I8 => Data::I8(Arc::new(v.map(|x| x.i32() as i8).collect())),
        DType::Bool => Data::Bool(Arc::new(v.map(|x| x.truth()).collect())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn casts_truncate_towards_zero_and_keep_the_shape() {
        let x = Tensor::f32([2, 2], vec![1.9, -1.9, 0.0, 3.0]).unwrap();
        assert_eq!(x.cast(DType::I64).as_i64().unwrap(), &[1, -1, 0, 3]);
        assert_eq!(
            x.cast(DType::Bool).as_bool().unwrap(),
            &[true, true, false, true]
        );
        assert_eq!(x.cast(DType::F16).shape(), &[2, 2]);
    }

    // Expected values: ONNX Runtime 1.32 on x86, `Cast` of each type.
    #[test]
    fn what_does_not_fit_an_integer_is_as_in_onnx_runtime() {
        let x = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            3e9,
            -3e9,
            300.0,
            -300.0,
            2_147_483_520.0,
            70_000.0,
        ];
        let x = Tensor::f32([9], x.to_vec()).unwrap();
        let (low, far) = (i32::MIN, i64::MIN);
        assert_eq!(
            x.cast(DType::I32).as_i32().unwrap(),
            &[low, low, low, low, low, 300, -300, 2_147_483_520, 70_000]
        );
        assert_eq!(
            x.cast(DType::I64).as_i64().unwrap(),
            &[
                far,
                far,
                far,
                3_000_000_000,
                -3_000_000_000,
                300,
                -300,
                2_147_483_520,
                70_000
            ]
        );
        assert_eq!(
            x.cast(DType::U8).as_u8().unwrap(),
            &[0, 0, 0, 0, 0, 44, 212, 128, 112]
        );
        assert_eq!(
            x.cast(DType::I8).as_i8().unwrap(),
            &[0, 0, 0, 0, 0, 44, -44, -128, 112]
        );
        assert!(x.cast(DType::Bool).as_bool().unwrap().iter().all(|&b| b));
    }

    #[test]
    fn gpu_words_round_trip_and_refuse_wide_integers() {
        for x in [
            Tensor::bool([3], vec![true, false, true]).unwrap(),
            Tensor::i8([2], vec![-128, 127]).unwrap(),
            Tensor::i64([2], vec![-5, i64::from(i32::MAX)]).unwrap(),
            Tensor::f16([1], vec![f16::from_f32(0.5)]).unwrap(),
        ] {
            let bytes = x.to_gpu_bytes().unwrap();
            assert_eq!(bytes.len(), x.len() * 4);
            assert_eq!(
                Tensor::from_gpu_bytes(x.dtype(), x.shape(), &bytes).unwrap(),
                x
            );
        }
        let wide = Tensor::i64([1], vec![1 << 40]).unwrap();
        assert_eq!(wide.to_gpu_bytes().unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn constructors_check_lengths() {
        assert_eq!(
            Tensor::f32([2, 3], vec![0.0; 5]).unwrap_err().kind(),
            ErrorKind::ShapeMismatch
        );
        assert_eq!(
            Tensor::zeros(DType::F32, [usize::MAX, 2])
                .unwrap_err()
                .kind(),
            ErrorKind::Limit
        );
        assert!(Tensor::f32([], vec![1.0]).is_ok());
    }
}
