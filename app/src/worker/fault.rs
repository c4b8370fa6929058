//! What can go wrong with a run in the browser.

use serde::{Deserialize, Serialize};

/// What a run was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bringing graphs to the device.
    Load,
    /// Reading the prompt or denoising.
    Step,
    /// Turning latents into the picture.
    Decode,
}

/// Why a run in the browser ended early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
pub enum Fault {
    /// The browser gave an adapter before and gives none now.
    NoAdapter(String),
    /// The device has too little memory, or a size exceeds its limits.
    OutOfMemory(Stage),
    /// The device went away.
    DeviceLost(String),
    /// The worker's code ended by a fault of its own.
    WorkerCrashed(String),
    /// Nothing was heard of the run for too long; seconds.
    Hung(u32),
    /// The package cannot be fetched.
    Download(String),
    /// The browser's storage failed.
    Storage(String),
    /// What was fetched is not the package.
    Package(String),
    /// The model failed in another way.
    Engine(String),
}

impl Fault {
    /// Whether the same attempt may go well when it is repeated on a fresh device or worker.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::DeviceLost(_) | Self::WorkerCrashed(_) | Self::Hung(_)
        )
    }

    /// Whether the package itself is missing, so that no engine of this browser can run it.
    pub fn is_of_package(&self) -> bool {
        matches!(
            self,
            Self::Download(_) | Self::Storage(_) | Self::Package(_)
        )
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAdapter(_) => f.write_str("the browser gave no graphics adapter"),
            Self::OutOfMemory(Stage::Load) => {
                f.write_str("the graphics memory was too small to load the model")
            }
            Self::OutOfMemory(Stage::Step) => {
                f.write_str("the graphics memory ran out while denoising")
            }
            Self::OutOfMemory(Stage::Decode) => {
                f.write_str("the graphics memory ran out while decoding the picture")
            }
            Self::DeviceLost(_) => f.write_str("the graphics device was lost"),
            Self::WorkerCrashed(detail) => f.write_str(detail),
            Self::Hung(seconds) => {
                write!(f, "nothing was heard of the run for {seconds} s")
            }
            Self::Download(detail) | Self::Package(detail) | Self::Engine(detail) => {
                f.write_str(detail)
            }
            Self::Storage(detail) => write!(f, "the browser's storage failed: {detail}"),
        }
    }
}
