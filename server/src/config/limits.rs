//! Options of what a client may have.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::limits::{KeyName, PictureLimits};

/// Options of what a client may have made here.
#[derive(Args, Clone, Debug)]
pub struct LimitsConfig {
    /// Pictures of one client that may wait or be made; an address may have four times as many, and neither more than
    /// three quarters of the queue.
    #[arg(long, env = "DEMO_HUB_PICTURES_IN_FLIGHT", default_value_t = NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN))]
    pub pictures_in_flight: NonZeroU32,

    /// Pictures that one client may have made here in an hour; an address may have four times as many.
    #[arg(long, env = "DEMO_HUB_PICTURES_PER_HOUR", default_value_t = NonZeroU32::new(600).unwrap_or(NonZeroU32::MIN))]
    pub pictures_per_hour: NonZeroU32,

    /// TOML list of API keys, which `demo-hub keys new` makes lines for; default: keys are not looked at.
    #[arg(long, env = "DEMO_HUB_API_KEYS")]
    pub api_keys: Option<PathBuf>,
}

impl LimitsConfig {
    /// How many pictures a client may have made here.
    pub fn pictures(&self) -> PictureLimits {
        PictureLimits {
            in_flight: self.pictures_in_flight,
            per_hour: self.pictures_per_hour,
        }
    }
}

/// Commands of `demo-hub keys`.
#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
    /// Make a key: print it once, and the line for the file of `--api-keys`.
    New {
        /// Its name: letters, digits, `.`, `-` and `_`.
        name: KeyName,
    },
}
