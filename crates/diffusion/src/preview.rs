//! Colours of latents without a decoder.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::picture::Picture;

/// A linear map from the channels of a latent to the mean colour of the pixels that it stands for, fitted by least
/// squares: `rgb = weights · latent + bias` in [-1, 1]. One pixel per latent is cheap enough for every step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentRgb {
    /// For red, green and blue: a factor per channel.
    pub weights: [Vec<f32>; 3],
    /// For red, green and blue.
    pub bias: [f32; 3],
}

impl LatentRgb {
    /// Whether the map takes latents of `channels` channels and holds finite numbers only.
    pub fn fits(&self, channels: usize) -> bool {
        self.weights.iter().all(|w| w.len() == channels)
            && self
                .weights
                .iter()
                .flatten()
                .chain(&self.bias)
                .all(|x| x.is_finite())
    }

    /// A picture of one pixel per latent; `latents` are `[c, height, width]`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] when the number of latents is wrong, [`crate::ErrorKind::NotFinite`] when one is not.
    pub fn picture(&self, latents: &[f32], width: usize, height: usize) -> Result<Picture> {
        let pixels = width * height;
        let channels = self.weights[0].len();
        if latents.len() != channels * pixels || !self.fits(channels) {
            return Err(Error::engine(format!(
                "{} latents do not fit a map from {channels} channels of {width}x{height}",
                latents.len()
            )));
        }
        let planes: Vec<f32> = self
            .weights
            .iter()
            .zip(self.bias)
            .flat_map(|(weights, bias)| {
                (0..pixels).map(move |p| {
                    weights
                        .iter()
                        .enumerate()
                        .map(|(c, w)| w * latents[c * pixels + p])
                        .sum::<f32>()
                        + bias
                })
            })
            .collect();
        let side = |n: usize| u32::try_from(n).map_err(|e| Error::engine(e.to_string()));
        Picture::from_planar(side(width)?, side(height)?, &planes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_pixel_is_a_weighted_sum_of_its_channels() {
        let map = LatentRgb {
            weights: [vec![1.0, 0.0], vec![0.0, 0.5], vec![0.0, 0.0]],
            bias: [0.0, 0.0, 1.0],
        };
        let picture = map.picture(&[-1.0, 1.0, 2.0, -2.0], 2, 1).unwrap();
        assert_eq!(picture.rgb, [0, 255, 255, 255, 0, 255]);
    }

    #[test]
    fn latents_of_other_sizes_and_numbers_are_refused() {
        let map = LatentRgb {
            weights: [vec![1.0], vec![1.0], vec![1.0]],
            bias: [0.0; 3],
        };
        assert!(map.picture(&[0.0; 3], 2, 2).is_err());
        assert!(map.picture(&[f32::NAN], 1, 1).is_err());
        assert!(!map.fits(2));
    }
}
