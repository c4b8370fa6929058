//! How far two pictures are apart.

/// Decoded pixels: rows from the top, red, green, blue and alpha of 8 bits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 4` bytes.
    pub rgba: Vec<u8>,
}

/// The difference of two pictures of one size; alpha does not count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Peak signal-to-noise ratio in decibels over all colour values, `10 log10(255² / MSE)`; `None` for equal pictures,
    /// whose ratio is infinite.
    pub psnr_db: Option<f64>,
    /// Largest difference of a colour value, of 255.
    pub max: u8,
    /// Pixels that differ in a colour.
    pub differing: usize,
    /// Pixels in all.
    pub pixels: usize,
}

impl Difference {
    /// `None` when the sizes differ or there are no pixels.
    pub fn between(a: &Pixels, b: &Pixels) -> Option<Self> {
        let pixels = a.rgba.len() / 4;
        if (a.width, a.height, a.rgba.len()) != (b.width, b.height, b.rgba.len()) || pixels == 0 {
            return None;
        }
        let (mut squares, mut max, mut differing) = (0_u64, 0, 0);
        for (x, y) in a.rgba.chunks_exact(4).zip(b.rgba.chunks_exact(4)) {
            let mut differs = false;
            for (p, q) in x.iter().zip(y).take(3) {
                let difference = p.abs_diff(*q);
                squares += u64::from(difference).pow(2);
                max = max.max(difference);
                differs |= difference > 0;
            }
            differing += usize::from(differs);
        }
        let mean = squares as f64 / (pixels * 3) as f64;
        Some(Self {
            psnr_db: (squares > 0).then(|| 10.0 * (255.0 * 255.0 / mean).log10()),
            max,
            differing,
            pixels,
        })
    }

    /// In a sentence. From 40 dB on, as between two engines, differences of 8-bit pictures are not seen.
    pub fn sentence(&self) -> String {
        let Some(psnr) = self.psnr_db else {
            return format!("The same picture: all {} pixels are equal.", self.pixels);
        };
        let verdict = if psnr >= 40.0 {
            "The same picture to the eye"
        } else if psnr >= 20.0 {
            "A similar picture"
        } else {
            "Another picture"
        };
        format!(
            "{verdict}: PSNR {psnr:.1} dB; {} of {} pixels differ, by {} of 255 at most.",
            self.differing, self.pixels, self.max
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pixels(rgb: &[u8], alpha: u8) -> Pixels {
        let rgba = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], alpha]);
        Pixels {
            width: (rgb.len() / 3) as u32,
            height: 1,
            rgba: rgba.collect(),
        }
    }

    fn between(a: &[u8], b: &[u8]) -> Difference {
        Difference::between(&pixels(a, 255), &pixels(b, 9)).unwrap()
    }

    /// 20 log10(255) = 48.1308036 dB, where every value is off by one.
    #[test]
    fn off_by_one_everywhere_is_48_db() {
        let found = between(&[0, 9, 255, 4, 5, 6], &[1, 8, 254, 5, 4, 7]);
        assert!((found.psnr_db.unwrap() - 48.130_803_6).abs() < 1e-6);
        assert_eq!((found.max, found.differing, found.pixels), (1, 2, 2));
        assert_eq!(
            found.sentence(),
            "The same picture to the eye: PSNR 48.1 dB; 2 of 2 pixels differ, by 1 of 255 at most."
        );
    }

    #[test]
    fn the_ends_of_the_scale() {
        let opposite = between(&[0; 6], &[255; 6]);
        assert_eq!(opposite.psnr_db, Some(0.0));
        assert!(
            opposite
                .sentence()
                .starts_with("Another picture: PSNR 0.0 dB")
        );
        let equal = between(&[1, 2, 3], &[1, 2, 3]);
        assert_eq!((equal.psnr_db, equal.max, equal.differing), (None, 0, 0));
        assert_eq!(
            equal.sentence(),
            "The same picture: all 1 pixels are equal."
        );
        let (short, long) = (pixels(&[0; 3], 0), pixels(&[0; 6], 0));
        assert_eq!(Difference::between(&short, &long), None);
    }

    /// One of twelve values off by 51: MSE 216.75, 255² / 216.75 = 300, 10 log10(300) = 24.7712125.
    #[test]
    fn one_value_among_many() {
        let (a, mut b) = ([100; 12], [100; 12]);
        b[7] = 151;
        let found = between(&a, &b);
        assert!((found.psnr_db.unwrap() - 24.771_212_547).abs() < 1e-8);
        assert_eq!((found.max, found.differing), (51, 1));
        assert!(found.sentence().starts_with("A similar picture: "));
    }
}
