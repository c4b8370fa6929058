//! Names that programs of this form give their settings, and what a value of each looks like.
//!
//! Sources: `create_infotext` in `modules/processing.py` of AUTOMATIC1111/stable-diffusion-webui and
//! lllyasviel/stable-diffusion-webui-forge, `modules/processing_info.py` of vladmandic/automatic.

use super::pairs::Pair;

/// What a value must look like for the name to count as a setting's.
enum Kind {
    Integer,
    Number,
    Size,
    Hex,
    Anything,
}

const NAMES: [(&str, Kind); 26] = [
    ("steps", Kind::Integer),
    ("seed", Kind::Integer),
    ("clip skip", Kind::Integer),
    ("ensd", Kind::Integer),
    ("cfg scale", Kind::Number),
    ("guidance scale", Kind::Number),
    ("distilled cfg scale", Kind::Number),
    ("denoising strength", Kind::Number),
    ("hires upscale", Kind::Number),
    ("size", Kind::Size),
    ("model hash", Kind::Hex),
    ("model", Kind::Anything),
    ("sampler", Kind::Anything),
    ("schedule type", Kind::Anything),
    ("scheduler", Kind::Anything),
    ("vae", Kind::Anything),
    ("vae hash", Kind::Anything),
    ("version", Kind::Anything),
    ("face restoration", Kind::Anything),
    ("hires upscaler", Kind::Anything),
    ("hires steps", Kind::Anything),
    ("postprocess upscale by", Kind::Number),
    ("postprocess upscaler", Kind::Anything),
    ("lora hashes", Kind::Anything),
    ("rng", Kind::Anything),
    ("app", Kind::Anything),
];

/// How many different known names a line has, and how many of them with a value that only a program writes.
pub(super) fn count(pairs: &[Pair]) -> (u32, u32) {
    let (mut known, mut fitting) = (0_u32, 0_u32);
    for pair in pairs {
        let found = NAMES
            .iter()
            .position(|(name, _)| pair.name.eq_ignore_ascii_case(name));
        if let Some(index) = found {
            known |= 1 << index;
            if NAMES[index].1.fits(&pair.value) {
                fitting |= 1 << index;
            }
        }
    }
    (known.count_ones(), fitting.count_ones())
}

impl Kind {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::Integer => value.parse::<i128>().is_ok(),
            Self::Number => value.parse().is_ok_and(f64::is_finite),
            Self::Size => value.split_once('x').is_some_and(|(width, height)| {
                width.parse::<u32>().is_ok() && height.parse::<u32>().is_ok()
            }),
            Self::Hex => value.len() >= 8 && value.bytes().all(|b| b.is_ascii_hexdigit()),
            Self::Anything => false,
        }
    }
}
