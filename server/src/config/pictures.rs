//! Options of pictures: how long they stay, and what the operator does with them.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::S3Config;
use crate::images::moderation::Target;
use crate::images::{Expiries, ImageId, OwnerId};

/// How long pictures stay that nobody saved.
#[derive(Args, Clone, Debug)]
pub struct ExpiryConfig {
    /// Hours that a picture made on the server stays unless its owner saves or publishes it.
    #[arg(long, env = "DEMO_HUB_UNSAVED_HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..))]
    pub unsaved_hours: u32,

    /// Hours that a picture stays which the server made for a client without an owner cookie.
    #[arg(long, env = "DEMO_HUB_OWNERLESS_HOURS", default_value_t = 7 * 24, value_parser = clap::value_parser!(u32).range(1..))]
    pub ownerless_hours: u32,
}

impl ExpiryConfig {
    /// The times.
    pub fn expiries(&self) -> Expiries {
        let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3600);
        Expiries {
            unsaved: hours(self.unsaved_hours),
            ownerless: hours(self.ownerless_hours),
        }
    }
}

/// What may be stored for all clients.
#[derive(Args, Clone, Debug)]
pub struct BudgetConfig {
    /// Mebibytes of pictures that are stored for all clients; the same for every server and worker of a hub. Default: as
    /// many as the store takes.
    #[arg(long, env = "DEMO_HUB_STORED_MEBIBYTES")]
    pub stored_mebibytes: Option<NonZeroU32>,
}

/// Which store an operator's command works on.
#[derive(Args, Clone, Debug)]
pub struct OperatorConfig {
    /// Data folder of the server, for the store that it runs itself.
    #[arg(long, env = "DEMO_HUB_DATA", default_value = "data")]
    pub data: PathBuf,

    /// Print JSON, one value a line.
    #[arg(long)]
    pub json: bool,

    /// The store.
    #[command(flatten)]
    pub s3: S3Config,
}

/// Options of `demo-hub images`.
#[derive(Args, Clone, Debug)]
pub struct ImagesConfig {
    /// What to do.
    #[command(subcommand)]
    pub command: ImagesCommand,
}

/// What the operator can do with pictures.
#[derive(Subcommand, Clone, Debug)]
pub enum ImagesCommand {
    /// List pictures, newest first.
    List(ListConfig),
    /// Show the records of a picture.
    Show(TargetConfig),
    /// Take a picture down so that it can be shown again, and refuse its bytes.
    Hide(TakedownConfig),
    /// Show a hidden picture again, and accept its bytes.
    Unhide(TargetConfig),
    /// Remove a picture for good, and refuse its bytes.
    Remove(TakedownConfig),
}

/// Options of `demo-hub images list`.
#[derive(Args, Clone, Debug)]
pub struct ListConfig {
    /// Only pictures in this state.
    #[arg(long)]
    pub state: Option<StateFilter>,

    /// Only pictures of this model, `owner/name`.
    #[arg(long)]
    pub model: Option<String>,

    /// Only pictures of this owner, as `images show` names it.
    #[arg(long)]
    pub owner: Option<OwnerId>,

    /// Only pictures whose prompt holds this text, in whatever case.
    #[arg(long)]
    pub prompt: Option<String>,

    /// Most pictures listed.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,

    /// The store.
    #[command(flatten)]
    pub operator: OperatorConfig,
}

/// A state that records are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateFilter {
    /// Seen by its owner alone.
    Private,
    /// Seen by who has the link.
    Unlisted,
    /// In the gallery.
    Listed,
    /// Taken down.
    Hidden,
    /// Removed: what is left is the tombstone.
    Removed,
}

impl StateFilter {
    /// As records name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Unlisted => "unlisted",
            Self::Listed => "listed",
            Self::Hidden => "hidden",
            Self::Removed => "removed",
        }
    }
}

/// Which picture.
#[derive(Args, Clone, Debug)]
pub struct TargetConfig {
    /// Id or address of a picture, or the SHA-256 of its bytes.
    #[arg(value_name = "ID|SHA256")]
    pub target: Target,

    /// The store.
    #[command(flatten)]
    pub operator: OperatorConfig,
}

/// Which picture to take down, and why.
#[derive(Args, Clone, Debug)]
pub struct TakedownConfig {
    /// Id or address of a picture, or the SHA-256 of its bytes; every record of the same bytes is taken down.
    #[arg(value_name = "ID|SHA256")]
    pub target: Target,

    /// Why, for the operator's own records.
    #[arg(long, default_value = "")]
    pub reason: String,

    /// The store.
    #[command(flatten)]
    pub operator: OperatorConfig,
}

/// Options of `demo-hub reports`.
#[derive(Args, Clone, Debug)]
pub struct ReportsConfig {
    /// What to do.
    #[command(subcommand)]
    pub command: ReportsCommand,
}

/// What the operator can do with reports.
#[derive(Subcommand, Clone, Debug)]
pub enum ReportsCommand {
    /// List the reported pictures, the most reported first.
    List(OperatorConfig),
    /// Show what is said against a picture.
    Show(ReportedConfig),
    /// Take the reports of a picture out of the queue; `images hide` and `images remove` take the picture down.
    Resolve(ReportedConfig),
}

/// Which reported picture.
#[derive(Args, Clone, Debug)]
pub struct ReportedConfig {
    /// Id of the picture.
    #[arg(value_parser = image_id)]
    pub id: ImageId,

    /// The store.
    #[command(flatten)]
    pub operator: OperatorConfig,
}

fn image_id(text: &str) -> Result<ImageId, String> {
    let id = text.rsplit('/').next().unwrap_or(text);
    id.parse()
        .map_err(|_| format!("{text:?} is not a picture's id or address"))
}
