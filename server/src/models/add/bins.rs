//! Sizes that transformers of PixArt's and SANA's kind were trained on, by which their pipelines round what is asked for.

use diffusion::manifest::ImageSize;

/// Side of the square one of [`BINS`].
const SIDE: u32 = 1024;
/// Width and height: `ASPECT_RATIO_1024_BIN` of diffusers 0.42.1; those of 256, 512 and 2048 pixels have a quarter,
/// half and double of each, and the last one more beside them.
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

/// The sizes beside a square picture of 256, 512, 1024 or 2048 pixels; none beside another, or where they are not `wanted`.
pub(super) fn of(size: ImageSize, wanted: bool) -> Vec<[u32; 2]> {
    let is_square = size.width == size.height;
    let is_known = [SIDE / 4, SIDE / 2, SIDE, 2 * SIDE].contains(&size.width);
    if wanted && is_square && is_known {
        BINS.map(|sides| sides.map(|side| side * size.width / SIDE))
            .to_vec()
    } else {
        Vec::new()
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
        assert!(of(256, 256).contains(&[464, 128]) && of(256, 256).contains(&[240, 272]));
        assert!(of(2048, 2048).contains(&[2688, 1408]) && of(2048, 2048).contains(&[3584, 1152]));
        assert!(of(1024, 768).is_empty() && of(768, 768).is_empty());
    }
}
