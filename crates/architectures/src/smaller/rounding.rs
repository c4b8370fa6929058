//! Numbers in few bits: what each of them becomes.

use half::f16;

use super::Blocks;

/// Largest float16.
const LARGEST: f32 = 65504.0;
/// Smallest step of a channel: its multiples are float16s.
const SMALLEST_STEP: f32 = 1.0 / (1 << 21) as f32;
/// Largest whole number of a channel.
const TOP: f32 = 127.0;

/// A number that is not finite, or none in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoNumber;

/// A number in 16 bits.
pub(super) fn halved(x: f32) -> Result<f16, NoNumber> {
    let half = f16::from_f32(x);
    if half.is_finite() {
        Ok(half)
    } else {
        Err(NoNumber)
    }
}

impl Blocks {
    /// Half the range: the whole number that stands for 0.
    fn middle(self) -> f32 {
        (1u32 << (self.bits - 1)) as f32
    }

    /// Whole numbers of a block, each a byte, of which [`Self::middle`] is taken off and which are multiplied by the step.
    ///
    /// The number farthest from 0 lies at the lower end of the range, so that all of it is used. The step is then fitted to the whole
    /// numbers by least squares, and kept where that brings them nearer.
    pub(super) fn rounded(self, block: &[f32], whole: &mut [u8]) -> Result<f16, NoNumber> {
        let mut farthest = 0.0f32;
        for &x in block {
            if !x.is_finite() {
                return Err(NoNumber);
            }
            if x.abs() > farthest.abs() {
                farthest = x;
            }
        }
        let first = halved(farthest / -self.middle())?;
        let mut fitted = [0.0f64; 2];
        let before = self.error(block, first, |x, q| {
            fitted[0] += x * q;
            fitted[1] += q * q;
        });
        let mut step = first;
        if fitted[1] > 0.0 {
            let second = f16::from_f32((fitted[0] / fitted[1]) as f32);
            if second.is_finite() && self.error(block, second, |_, _| ()) < before {
                step = second;
            }
        }
        for (whole, &x) in whole.iter_mut().zip(block) {
            *whole = (self.steps(x, step.to_f32()) + self.middle()) as u8;
        }
        Ok(step)
    }

    /// Sum of the squares of what is lost; `each` is told every number and its steps.
    fn error(self, block: &[f32], step: f16, mut each: impl FnMut(f64, f64)) -> f64 {
        let step = step.to_f32();
        let mut sum = 0.0;
        for &x in block {
            let q = self.steps(x, step);
            each(f64::from(x), f64::from(q));
            let off = f64::from(x) - f64::from(q) * f64::from(step);
            sum += off * off;
        }
        sum
    }

    /// The nearest whole number of steps in the range; of two, the even one.
    fn steps(self, x: f32, step: f32) -> f32 {
        if step == 0.0 {
            return 0.0;
        }
        nearest((x / step).clamp(-self.middle(), self.middle() - 1.0))
    }
}

/// Whole numbers of a channel, and their step: one of four significant bits, so that their products are float16s and every engine
/// computes with the same weights.
pub(super) fn channel(numbers: &[f32], whole: &mut [i8]) -> Result<f32, NoNumber> {
    let mut farthest = 0.0f32;
    for &x in numbers {
        if !x.is_finite() {
            return Err(NoNumber);
        }
        farthest = farthest.max(x.abs());
    }
    let step = four_bits(farthest / TOP).max(SMALLEST_STEP);
    if TOP * step > LARGEST {
        return Err(NoNumber);
    }
    for (whole, &x) in whole.iter_mut().zip(numbers) {
        *whole = nearest((x / step).clamp(-TOP, TOP)) as i8;
    }
    Ok(step)
}

/// The nearest whole number of a small one, of two the even one: what is left of a sum whose last bit is 1. On many processors
/// [`f32::round_ties_even`] is a call.
fn nearest(x: f32) -> f32 {
    const ONES: f32 = (3 << 22) as f32;
    (x + ONES) - ONES
}

/// The next number up that has four significant bits; 0 for what is too small for its last one to be a number.
fn four_bits(x: f32) -> f32 {
    const MANTISSA: u32 = 23;
    let last = f32::from_bits((x.to_bits() >> MANTISSA << MANTISSA).saturating_sub(3 << MANTISSA));
    if last == 0.0 {
        return 0.0;
    }
    (x / last).ceil() * last
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const FOUR: Blocks = Blocks { bits: 4, size: 16 };
    const EIGHT: Blocks = Blocks { bits: 8, size: 16 };

    fn back(blocks: Blocks, numbers: &[f32]) -> Vec<f32> {
        let mut whole = vec![0; numbers.len()];
        let step = blocks.rounded(numbers, &mut whole).unwrap().to_f32();
        let widened = |&q: &u8| (f32::from(q) - blocks.middle()) * step;
        whole.iter().map(widened).collect()
    }

    #[test]
    fn what_is_on_the_steps_stays_as_it_is() {
        let numbers: Vec<f32> = (-8..8).map(|i| i as f32 * 0.25).collect();
        assert_eq!(back(FOUR, &numbers), numbers);
        let turned: Vec<f32> = numbers.iter().map(|x| -x).collect();
        assert_eq!(back(FOUR, &turned), turned);
        assert_eq!(back(EIGHT, &[0.0; 16]), [0.0; 16]);
        let mut whole = [0; 4];
        assert_eq!(channel(&[127.0, -127.0, 1.0, 0.0], &mut whole), Ok(1.0));
        assert_eq!(whole, [127, -127, 1, 0]);
        assert_eq!(channel(&[0.0; 4], &mut whole), Ok(SMALLEST_STEP));
        assert_eq!(whole, [0; 4]);
    }

    #[test]
    fn the_nearest_is_the_even_one_of_two() {
        for eighths in -1100..1100 {
            let x = eighths as f32 / 8.0;
            assert_eq!(nearest(x), x.round_ties_even(), "{x}");
        }
    }

    #[test]
    fn what_has_no_steps_is_no_number() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            let numbers = [bad; 16];
            assert_eq!(FOUR.rounded(&numbers, &mut [0; 16]), Err(NoNumber), "{bad}");
            assert_eq!(channel(&numbers, &mut [0; 16]), Err(NoNumber), "{bad}");
            assert_eq!(halved(bad), Err(NoNumber), "{bad}");
        }
        assert_eq!(halved(1e5), Err(NoNumber));
    }

    proptest! {
        /// No number is farther off than the definition allows: half a step of the range that the farthest one asks for, more for one at
        /// the end that the range lacks, and what 16 bits of the step lose.
        #[test]
        fn numbers_are_near(numbers in proptest::collection::vec(-3.0f32..3.0, 16), factor in 1e-3f32..1e3) {
            let numbers: Vec<f32> = numbers.iter().map(|x| x * factor).collect();
            let farthest = numbers.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            for blocks in [FOUR, EIGHT] {
                let worst = (16.0 * farthest / blocks.middle()).powi(2);
                let off: f32 = numbers.iter().zip(back(blocks, &numbers)).map(|(x, y)| (x - y).powi(2)).sum();
                // Fifteen by half a step, and one by a whole step.
                prop_assert!(off <= worst / 256.0 * (15.0 / 4.0 + 1.0) * 1.1, "{off} {worst}");
            }
            let mut whole = [0i8; 16];
            let step = channel(&numbers, &mut whole).unwrap();
            for (x, q) in numbers.iter().zip(whole) {
                let y = f32::from(q) * step;
                prop_assert!((x - y).abs() <= step * 0.5001);
                prop_assert_eq!(f16::from_f32(y).to_f32(), y);
            }
            prop_assert!(step <= farthest / TOP * 1.126 || step == SMALLEST_STEP);
        }
    }
}
