//! Sizes of pictures.

use protocol::ModelSizes;
use serde::{Deserialize, Serialize};

use super::ensure;
use crate::error::Result;

/// Longest side of a picture and of latents.
const MAX_SIDE: u32 = 1 << 14;

/// Size of the picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSize {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl ImageSize {
    /// Height and width.
    pub fn pixels(self) -> [usize; 2] {
        [self.height as usize, self.width as usize]
    }
}

/// Sizes that a package makes pictures of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// The size where a request leaves it open.
    pub default: ImageSize,
    /// Others; absent: only [`Self::default`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<ModelSizes>,
}

impl Sizes {
    /// One size.
    pub fn only(default: ImageSize) -> Self {
        Self {
            default,
            others: None,
        }
    }

    pub(super) fn check(&self, stride: usize) -> Result<()> {
        let whole = |side: u32| side > 0 && (side as usize).is_multiple_of(stride);
        let ImageSize { width, height } = self.default;
        ensure(
            whole(width) && whole(height) && width <= MAX_SIDE && height <= MAX_SIDE,
            || {
                format!(
                    "pictures of {width} x {height} are no whole number of latents of {stride} pixels, or a side is beyond {MAX_SIDE}"
                )
            },
        )?;
        let Some(others) = &self.others else {
            return Ok(());
        };
        ensure(
            whole(others.multiple_of)
                && others.min_side >= 1
                && (others.min_side..=MAX_SIDE).contains(&others.max_side)
                && others.allows(width, height)
                && others
                    .buckets
                    .iter()
                    .all(|&[w, h]| whole(w) && whole(h) && w <= MAX_SIDE && h <= MAX_SIDE),
            || format!("the sizes {others:?} contradict each other or the default"),
        )
    }
}
