//! Pictures made larger by a network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest side of a picture that was made larger, in pixels.
pub const MAX_UPSCALED_SIDE: u32 = 4096;

/// How many times as large a side becomes; in JSON the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum UpscaleFactor {
    /// Twice.
    Two,
    /// Four times.
    Four,
}

impl UpscaleFactor {
    /// All of them, the smallest first.
    pub const ALL: [Self; 2] = [Self::Two, Self::Four];

    /// The number.
    pub fn times(self) -> u32 {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Width and height of a picture of this size made larger; nothing where a side would be longer than
    /// [`MAX_UPSCALED_SIDE`].
    pub fn of(self, width: u32, height: u32) -> Option<(u32, u32)> {
        let larger = |side: u32| {
            let side = side.checked_mul(self.times())?;
            (side <= MAX_UPSCALED_SIDE).then_some(side)
        };
        Some((larger(width)?, larger(height)?))
    }
}

/// Another number than those that pictures are made larger by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pictures are made 2 or 4 times as large")]
pub struct NoFactor;

impl TryFrom<u32> for UpscaleFactor {
    type Error = NoFactor;

    fn try_from(times: u32) -> Result<Self, NoFactor> {
        let mut all = Self::ALL.into_iter();
        all.find(|factor| factor.times() == times).ok_or(NoFactor)
    }
}

impl From<UpscaleFactor> for u32 {
    fn from(factor: UpscaleFactor) -> Self {
        factor.times()
    }
}

impl FromStr for UpscaleFactor {
    type Err = NoFactor;

    fn from_str(text: &str) -> Result<Self, NoFactor> {
        text.parse::<u32>().map_err(|_| NoFactor)?.try_into()
    }
}

impl fmt::Display for UpscaleFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.times().fmt(f)
    }
}

/// The network that made a picture larger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsedUpscaler {
    /// Its package, `owner/name`.
    pub model: String,
    /// SHA-256 (hex) of the package's manifest.
    pub weights_digest: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn factors_are_the_numbers_two_and_four() {
        let read = |json: &str| serde_json::from_str::<UpscaleFactor>(json);
        assert_eq!(read("2").unwrap(), UpscaleFactor::Two);
        assert_eq!(serde_json::to_string(&UpscaleFactor::Four).unwrap(), "4");
        for bad in [
            "0",
            "1",
            "3",
            "8",
            "-2",
            "2.0",
            "\"2\"",
            "null",
            "4294967298",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!("4".parse(), Ok(UpscaleFactor::Four));
        assert_eq!("x4".parse::<UpscaleFactor>(), Err(NoFactor));
    }

    #[test]
    fn no_side_becomes_longer_than_4096() {
        assert_eq!(UpscaleFactor::Two.of(2048, 1), Some((4096, 2)));
        assert_eq!(UpscaleFactor::Two.of(2049, 1), None);
        assert_eq!(UpscaleFactor::Four.of(1024, 1025), None);
        assert_eq!(UpscaleFactor::Four.of(u32::MAX, 1), None);
    }
}
