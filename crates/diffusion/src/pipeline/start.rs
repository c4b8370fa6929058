//! Pictures that begin with another one: image to image (Meng et al., arXiv:2108.01073), and parts made anew under a mask.

use super::{Pipeline, run};
use crate::engine::{Model, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::ImageSize;
use crate::picture::Picture;
use crate::tensor::Tensor;

/// From this value of a mask on a pixel is made anew.
pub const MADE_ANEW: u8 = 128;

/// A picture to begin with.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The picture, of the size that is asked for.
    pub picture: Picture,
    /// How much of the way from noise is gone, 0 to 1: at 0 the picture comes back as the autoencoder has it.
    pub strength: f32,
    /// What is made anew, if not all of it: a value for each pixel, row by row, 128 to 255 where it is.
    pub mask: Option<Vec<u8>>,
    /// Put the pixels outside of the mask back in the end; without it they are what the autoencoder makes of them.
    pub keep_outside: bool,
}

impl Start {
    /// Checks it for a picture of `size`.
    pub(super) fn check(&self, size: ImageSize) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidRequest, message));
        let Picture { width, height, rgb } = &self.picture;
        let pixels = size.width as usize * size.height as usize;
        if (*width, *height) != (size.width, size.height) || rgb.len() != 3 * pixels {
            return invalid(format!(
                "the picture to begin with has {width} x {height} pixels; {} x {} are asked for",
                size.width, size.height
            ));
        }
        if !(0.0..=1.0).contains(&self.strength) {
            return invalid(format!(
                "the strength is {}; it goes from 0 to 1",
                self.strength
            ));
        }
        match &self.mask {
            Some(mask) if mask.len() != pixels => invalid(format!(
                "the mask has {} values for {pixels} pixels",
                mask.len()
            )),
            _ => Ok(()),
        }
    }

    /// How many of `steps` are left out, as diffusers counts them.
    pub(super) fn skipped(&self, steps: u32) -> u32 {
        steps - protocol::steps_taken(steps, self.strength)
    }

    /// `picture` with the pixels of the start where the mask leaves them.
    pub(super) fn finish(&self, mut picture: Picture) -> Picture {
        if let Some(mask) = self.mask.as_ref().filter(|_| self.keep_outside) {
            let pixels = picture.rgb.chunks_exact_mut(3);
            let before = self.picture.rgb.chunks_exact(3);
            for ((pixel, before), mask) in pixels.zip(before).zip(mask) {
                if *mask < MADE_ANEW {
                    pixel.copy_from_slice(before);
                }
            }
        }
        picture
    }

    /// Its pixels in [-1, 1], `[height, width, 3]`; grey under the mask, if it is to be hidden.
    fn pixels(&self, hidden: bool) -> Vec<f32> {
        let made_anew = |pixel: usize| match &self.mask {
            Some(mask) => mask.get(pixel).is_some_and(|value| *value >= MADE_ANEW),
            None => true,
        };
        let value = |(index, value): (usize, &u8)| {
            if hidden && made_anew(index / 3) {
                0.0
            } else {
                f32::from(*value) / 127.5 - 1.0
            }
        };
        self.picture.rgb.iter().enumerate().map(value).collect()
    }

    /// The mask at the size of the latents, 1 where they are made anew: the pixel at the upper left of each, as PyTorch's
    /// nearest interpolation takes it.
    fn latent_mask(&self, [_, h, w]: [usize; 3]) -> Option<Vec<f32>> {
        let mask = self.mask.as_ref()?;
        let (width, height) = (self.picture.width as usize, self.picture.height as usize);
        let at = |y: usize, x: usize| {
            let value = mask.get((y * height / h) * width + x * width / w);
            f32::from(u8::from(value.is_some_and(|value| *value >= MADE_ANEW)))
        };
        Some((0..h).flat_map(|y| (0..w).map(move |x| at(y, x))).collect())
    }
}

/// What the steps begin with, and what they keep to outside of a mask.
pub(super) struct Begun {
    /// `[C, h, w]`
    latents: Vec<f32>,
    /// `[h, w]`, 1 where latents are made anew.
    mask: Option<Vec<f32>>,
    /// Whether all is made anew under the mask: from noise alone.
    whole: bool,
    /// Whether the denoiser sees mask and picture, so that nothing has to be held to the start.
    seen: bool,
}

impl Begun {
    /// Latents at a level of noise.
    pub fn mixed(&self, [picture, noise]: [f64; 2], drawn: &[f32]) -> Vec<f32> {
        let (picture, noise) = (picture as f32, noise as f32);
        let pairs = self.latents.iter().zip(drawn);
        pairs.map(|(x, z)| picture * x + noise * z).collect()
    }

    /// Whether the first latents are noise alone.
    pub fn is_noise_first(&self) -> bool {
        self.mask.is_some() && self.whole
    }

    /// `latents` under the mask, those of the start at a level of noise outside; nothing without a mask.
    pub fn blended(&self, latents: Vec<f32>, level: [f64; 2], drawn: &[f32]) -> Option<Vec<f32>> {
        let mask = self.mask.as_ref().filter(|_| !self.seen)?;
        let outside = self.mixed(level, drawn);
        let pairs = latents.into_iter().zip(outside).zip(mask.iter().cycle());
        let blend = pairs.map(|((new, old), m)| (1.0 - m) * old + m * new);
        Some(blend.collect())
    }

    /// Whether there is a mask.
    pub fn is_masked(&self) -> bool {
        self.mask.is_some() && !self.seen
    }

    /// Its latents, as the decoder takes them back.
    pub fn latents(&self) -> &[f32] {
        &self.latents
    }
}

impl Pipeline {
    /// Encodes a picture to begin with.
    pub(super) async fn begun(&self, start: &Start, size: ImageSize) -> Result<Begun> {
        start.check(size)?;
        let shape = self.manifest.latents.shape(size);
        Ok(Begun {
            latents: self.encode_picture(start.pixels(false), size).await?,
            mask: start.latent_mask(shape),
            whole: start.strength == 1.0,
            seen: self.manifest.sees_picture()?,
        })
    }

    /// What an inpainting model sees beside the latents, `[1 + C, h, w]`: the mask, and the latents of the picture with grey
    /// under it. Without a picture all is grey and made anew.
    pub(super) async fn beside(&self, start: Option<&Start>, size: ImageSize) -> Result<Vec<f32>> {
        let shape @ [_, h, w] = self.manifest.latents.shape(size);
        let [height, width] = size.pixels();
        let pixels = match start {
            Some(start) => start.pixels(true),
            None => vec![0.0; height * width * 3],
        };
        let mask = start.and_then(|start| start.latent_mask(shape));
        let mut beside = mask.unwrap_or_else(|| vec![1.0; h * w]);
        beside.extend(self.encode_picture(pixels, size).await?);
        Ok(beside)
    }

    /// The latents of pixels `[height, width, 3]` in [-1, 1]: the mean where the encoder gives mean and variance.
    async fn encode_picture(&self, pixels: Vec<f32>, size: ImageSize) -> Result<Vec<f32>> {
        let [height, width] = size.pixels();
        let picture = Tensor::f32(&[1, 3, height, width], planes(pixels))?;
        let no_encoder = "this model cannot begin with a picture: its package has no encoder";
        let coder = self.manifest.encoder.as_ref();
        let coder = coder.ok_or_else(|| Error::new(ErrorKind::InvalidRequest, no_encoder))?;
        let graph = self.manifest.graph(&coder.graph)?;
        let ([input], [output]) = (&graph.inputs[..], &graph.outputs[..]) else {
            return Err(Error::package("the encoder has other ports"));
        };
        let encoder = self.part(&coder.graph, &[]).await?;
        let model: &dyn Model = &*encoder;
        let bindings = self.manifest.bindings(size, 1, 0);
        let inputs = vec![(&*input.name, Value::from(picture))];
        let outputs = run(model, inputs, &[output], &bindings).await?;
        let first = outputs.into_iter().next();
        let first = first.ok_or_else(|| Error::engine("the encoder gave no latents"))?;
        let mut own = first.into_tensor().await?.into_f32()?;
        own.truncate(self.manifest.latents.shape(size).iter().product());
        own.iter_mut()
            .for_each(|x| *x = (*x - coder.shift) * coder.scale);
        Ok(own)
    }
}

/// `[height, width, 3]` as `[3, height, width]`.
fn planes(pixels: Vec<f32>) -> Vec<f32> {
    let channel = |c: usize| pixels.iter().skip(c).step_by(3).copied();
    (0..3).flat_map(channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(strength: f32, mask: Option<Vec<u8>>) -> Start {
        Start {
            picture: Picture {
                width: 4,
                height: 2,
                rgb: (0..24).collect(),
            },
            strength,
            mask,
            keep_outside: true,
        }
    }

    #[test]
    fn pixels_outside_of_the_mask_come_back() {
        let mut mask = vec![255; 8];
        mask[1] = 127;
        mask[6] = 0;
        let made = Picture {
            width: 4,
            height: 2,
            rgb: vec![200; 24],
        };
        let start = start(0.5, Some(mask));
        let picture = start.finish(made);
        assert_eq!(picture.rgb[..3], [200; 3]);
        assert_eq!(picture.rgb[3..6], [3, 4, 5]);
        assert_eq!(picture.rgb[18..21], [18, 19, 20]);
        // Two latents, each with the pixel at its upper left.
        assert_eq!(start.latent_mask([1, 1, 2]), Some(vec![1.0, 1.0]));
        assert_eq!(start.latent_mask([1, 1, 4]), Some(vec![1.0, 0.0, 1.0, 1.0]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let size = ImageSize {
            width: 4,
            height: 2,
        };
        assert!(start(0.5, None).check(size).is_ok());
        for bad in [
            start(1.5, None),
            start(-0.1, None),
            start(f32::NAN, None),
            start(0.5, Some(vec![0; 7])),
        ] {
            assert!(bad.check(size).is_err());
        }
        let taller = ImageSize {
            width: 4,
            height: 4,
        };
        assert!(start(0.5, None).check(taller).is_err());
    }
}
