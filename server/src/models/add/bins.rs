//! Sizes that transformers of PixArt's and SANA's kind were trained on, by which their pipelines round what is asked for.

use diffusion::manifest::ImageSize;

/// Side of the square one of [`BINS`].
const SIDE: u32 = 1024;
/// Width and height: `ASPECT_RATIO_1024_BIN` of diffusers 0.42.1; that of 512 pixels has half of each.
const BINS: [[u32; 2]; 33] = [
    [2048, 512],
    [1856, 512],
    [1792, 576],
    [1728, 576],
    [1664, 576],
    [1600, 640],
    [1536, 640],
    [1472, 704],
    [1408, 704],
    [1344, 704],
    [1344, 768],
    [1280, 768],
    [1216, 832],
    [1152, 832],
    [1152, 896],
    [1088, 896],
    [1088, 960],
    [1024, 960],
    [1024, 1024],
    [960, 1024],
    [960, 1088],
    [896, 1088],
    [896, 1152],
    [832, 1152],
    [832, 1216],
    [768, 1280],
    [768, 1344],
    [704, 1408],
    [704, 1472],
    [640, 1536],
    [640, 1600],
    [576, 1728],
    [512, 2048],
];

/// The sizes beside a square picture of 1024 or 512 pixels; none beside another, or where they are not `wanted`.
pub(super) fn of(size: ImageSize, wanted: bool) -> Vec<[u32; 2]> {
    let is_square = size.width == size.height;
    match size.width {
        side if wanted && is_square && side == SIDE => BINS.to_vec(),
        side if wanted && is_square && side == SIDE / 2 => {
            BINS.map(|sides| sides.map(|side| side / 2)).to_vec()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_of_the_training_have_others_beside_them() {
        let of = |width, height| of(ImageSize { width, height }, true);
        assert!(of(1024, 1024).contains(&[1344, 768]) && of(1024, 1024).contains(&[512, 2048]));
        assert!(of(512, 512).contains(&[672, 384]));
        assert!(of(1024, 768).is_empty() && of(768, 768).is_empty());
    }
}
