//! The finished picture.

use crate::error::{Error, ErrorKind, Result};

/// Largest difference of a channel value, of 255, between pictures that two engines make of one request.
///
/// Engines add in different orders, so their results agree to about 1e-6 per operation, not bit for bit. Measured
/// between `rten` and `onnx-gpu` on a software Vulkan adapter, ten requests of up to 50 steps and guidance 15: at most
/// 1, in at most 6 of 12,288 values.
pub const TOLERANCE: u8 = 2;

/// An 8-bit RGB picture, rows from the top, three bytes per pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Converts a decoder's planar output, `[3, height, width]` in [-1, 1], to bytes:
    /// `round(255 (x + 1) / 2)`, values outside clamped.
    ///
    /// # Errors
    /// [`ErrorKind::Engine`] when the number of values is wrong, [`ErrorKind::NotFinite`] when one is not finite.
    pub fn from_planar(width: u32, height: u32, planes: &[f32]) -> Result<Self> {
        let mut picture = Self::black(width, height);
        picture.put([0, 0], [height as usize, width as usize], planes)?;
        Ok(picture)
    }

    pub(crate) fn black(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            rgb: vec![0; width as usize * height as usize * 3],
        }
    }

    /// Converts a part as [`Self::from_planar`] does the whole, to the place from row `top` and column `left` on.
    pub(crate) fn put(
        &mut self,
        [top, left]: [usize; 2],
        [height, width]: [usize; 2],
        planes: &[f32],
    ) -> Result<()> {
        let pixels = height * width;
        let inside = left + width <= self.width as usize && top + height <= self.height as usize;
        if planes.len() != pixels * 3 || !inside {
            return Err(Error::engine(format!(
                "the decoder gave {} values for {width}x{height} pixels at {left}, {top} of a picture of {}x{}",
                planes.len(),
                self.width,
                self.height
            )));
        }
        if let Some(bad) = planes.iter().find(|x| !x.is_finite()) {
            return Err(Error::new(
                ErrorKind::NotFinite,
                format!("the decoder gave the value {bad}"),
            ));
        }
        for y in 0..height {
            let start = ((top + y) * self.width as usize + left) * 3;
            let line = &mut self.rgb[start..start + width * 3];
            for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
                for (c, value) in pixel.iter_mut().enumerate() {
                    *value = byte(planes[c * pixels + y * width + x]);
                }
            }
        }
        Ok(())
    }

    /// Largest absolute difference of a channel value; `None` when the sizes differ.
    pub fn max_difference(&self, other: &Self) -> Option<u8> {
        if (self.width, self.height, self.rgb.len()) != (other.width, other.height, other.rgb.len())
        {
            return None;
        }
        let pairs = self.rgb.iter().zip(&other.rgb);
        Some(pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0))
    }

    /// Mean square of the differences of the bytes; `None` for two sizes.
    pub fn mean_square_error(&self, other: &Self) -> Option<f64> {
        if (self.width, self.height, self.rgb.len()) != (other.width, other.height, other.rgb.len())
        {
            return None;
        }
        let pairs = self.rgb.iter().zip(&other.rgb);
        let squares = pairs.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2));
        Some(squares.sum::<u64>() as f64 / self.rgb.len().max(1) as f64)
    }
}

fn byte(x: f32) -> u8 {
    ((x * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn differences_are_squared_before_they_are_counted() {
        let mut other = Picture::black(2, 1);
        assert_eq!(other.mean_square_error(&Picture::black(2, 1)), Some(0.0));
        other.rgb = vec![0, 3, 0, 0, 0, 3];
        assert_eq!(other.mean_square_error(&Picture::black(2, 1)), Some(3.0));
        assert_eq!(other.mean_square_error(&Picture::black(1, 2)), None);
    }

    #[test]
    fn planes_become_interleaved_bytes() {
        let planes = [-1.0, 1.0, 0.0, -3.0, 7.0, 1.0 / 255.0];
        let picture = Picture::from_planar(2, 1, &planes).unwrap();
        assert_eq!(picture.rgb, [0, 128, 255, 255, 0, 128]);
    }

    #[test]
    fn bad_values_are_errors_not_black_pixels() {
        for (planes, kind) in [
            (&[0.0; 5][..], ErrorKind::Engine),
            (&[0.0, 0.0, f32::NAN], ErrorKind::NotFinite),
            (&[f32::INFINITY, 0.0, 0.0], ErrorKind::NotFinite),
        ] {
            let error = Picture::from_planar(1, 1, planes).unwrap_err();
            assert_eq!(*error.kind(), kind);
        }
    }

    #[test]
    fn differences_need_equal_sizes() {
        let a = Picture::from_planar(1, 1, &[-1.0, 0.0, 1.0]).unwrap();
        let b = Picture::from_planar(1, 1, &[1.0, 0.0, 1.0]).unwrap();
        let c = Picture::from_planar(1, 2, &[0.0; 6]).unwrap();
        assert_eq!(a.max_difference(&b), Some(255));
        assert_eq!(a.max_difference(&c), None);
    }
}
