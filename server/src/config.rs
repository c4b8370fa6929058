//! Every option of the server: flag, environment variable and default in one place.

mod catalog;
mod folder;
mod jobs;
mod limits;
mod models;
mod pictures;
mod serving;
mod telemetry;
mod weights;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::UpscaleFactor;

use crate::images::{StorageLimits, UploadLimits};

pub use catalog::{CatalogConfig, HubConfig};
pub use folder::ModelsFolder;
pub use jobs::{DeadConfig, JobsCommand, JobsConfig, QueueConfig, WorkerConfig};
pub use limits::{KeysCommand, LimitsConfig};
pub use models::{
    AddConfig, AddUpscalerConfig, FromHub, LoraOf, ModelsCommand, ModelsConfig, PackagesConfig,
    Predicts, ProgressForm, RemoveConfig, SelectConfig, WeightsOf,
};
pub use pictures::{
    BudgetConfig, ExpiryConfig, ImagesCommand, ImagesConfig, ListConfig, OperatorConfig,
    ReportedConfig, ReportsCommand, ReportsConfig, StateFilter, TakedownConfig, TargetConfig,
};
pub use serving::ServingConfig;
pub use telemetry::TelemetryConfig;
pub use weights::{HostSource, WeightsConfig, WeightsFirst};

/// Demo Hub: text-to-image models in the browser, with a server behind them.
#[derive(Parser, Debug)]
#[command(name = "demo-hub", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands of the binary.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve pages, API, jobs and pictures.
    Serve(Box<ServeConfig>),
    /// Make pictures of jobs from NATS; any number of workers on any machines.
    Worker(Box<WorkerConfig>),
    /// Look into the job queue.
    Jobs(JobsConfig),
    /// Set up, check or put in order the bucket of another S3 store.
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Make one picture with the server's pipeline and write it as PNG.
    Generate(GenerateConfig),
    /// Make a picture larger and write it as PNG.
    Upscale(UpscaleConfig),
    /// Add, list, check and remove model packages.
    Models(ModelsConfig),
    /// List pictures and take them down.
    Images(ImagesConfig),
    /// What visitors reported.
    Reports(ReportsConfig),
    /// Make API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// Commands of `demo-hub storage`.
#[derive(Subcommand, Debug)]
pub enum StorageCommand {
    /// Create the bucket where it is missing and set its CORS and lifecycle rules.
    Setup(StorageConfig),
    /// Try everything that the hub needs of the store.
    Check(StorageConfig),
    /// Remove what was never committed, and what nothing refers to and an earlier sweep marked, as the server does
    /// every hour.
    Sweep(SweepConfig),
}

/// Which store, and whose pages use it.
#[derive(Args, Clone, Debug)]
pub struct StorageConfig {
    /// Origin of the hub as visitors see it; default: any may upload who holds a presigned URL.
    #[arg(long, env = "DEMO_HUB_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// The store.
    #[command(flatten)]
    pub s3: S3Config,
}

/// Options of `demo-hub storage sweep`.
#[derive(Args, Clone, Debug)]
pub struct SweepConfig {
    /// Age in seconds from which an announced upload is forgotten.
    #[arg(long, env = "DEMO_HUB_OLDER_THAN_SECONDS", default_value_t = 24 * 3600)]
    pub older_than_seconds: u64,

    /// Remove what nothing needs even where it is so much that the bucket seems to be restored in part only.
    #[arg(long)]
    pub force: bool,

    /// The store.
    #[command(flatten)]
    pub storage: StorageConfig,
}

/// Options of `demo-hub serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeConfig {
    /// Address and port of the pages and the API; port 0 takes a free one.
    #[arg(long, env = "DEMO_HUB_LISTEN", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,

    /// Folder for everything that must survive a restart.
    #[arg(long, env = "DEMO_HUB_DATA", default_value = "data")]
    pub data: PathBuf,

    /// Folder of the built client (`cargo xtask build` makes it).
    #[arg(long, env = "DEMO_HUB_SITE_DIR", default_value = "dist")]
    pub site_dir: PathBuf,

    /// The model packages.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Origin of this hub as visitors see it, such as `https://hub.example`; default: `http://` and the listen address.
    #[arg(long, env = "DEMO_HUB_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Token of who looks after this hub, 16 characters or more: models are added and removed on the page /models/add with it.
    /// Without one there is no such page.
    #[arg(long, env = "DEMO_HUB_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<Secret>,

    /// Engine of the server's own pictures.
    #[arg(long, env = "DEMO_HUB_RENDERER", default_value = "auto")]
    pub renderer: RendererChoice,

    /// Whether this process makes pictures itself; default: only without NATS.
    #[arg(long, env = "DEMO_HUB_EMBEDDED_WORKER", action = clap::ArgAction::Set)]
    pub embedded_worker: Option<bool>,

    /// Hosted endpoints: path of their TOML list, or the list itself.
    #[arg(long, env = "DEMO_HUB_ENDPOINTS", hide_env_values = true)]
    pub endpoints: Option<String>,

    /// Seconds that a presigned URL is valid, 300 at most.
    #[arg(long, env = "DEMO_HUB_UPLOAD_EXPIRY_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub upload_expiry_seconds: u32,

    /// Uploads that one client may announce per hour; an address may announce four times as many.
    #[arg(long, env = "DEMO_HUB_UPLOADS_PER_HOUR", default_value_t = NonZeroU32::new(120).unwrap_or(NonZeroU32::MIN))]
    pub uploads_per_hour: NonZeroU32,

    /// Mebibytes that one client may upload per day; an address may upload four times as many.
    #[arg(long, env = "DEMO_HUB_UPLOAD_MEBIBYTES_PER_DAY", default_value_t = NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN))]
    pub upload_mebibytes_per_day: NonZeroU32,

    /// Mebibytes that may be stored within a day for all clients; default: no limit.
    #[arg(long, env = "DEMO_HUB_STORED_MEBIBYTES_PER_DAY")]
    pub stored_mebibytes_per_day: Option<NonZeroU32>,

    /// Seconds that the job in hand and open requests get to finish when the server is asked to stop.
    #[arg(long, env = "DEMO_HUB_SHUTDOWN_GRACE_SECONDS", default_value_t = 10)]
    pub shutdown_grace_seconds: u64,

    /// The ports.
    #[command(flatten)]
    pub serving: ServingConfig,

    /// How long pictures stay that nobody saved.
    #[command(flatten)]
    pub expiry: ExpiryConfig,

    /// What may be stored in all.
    #[command(flatten)]
    pub budget: BudgetConfig,

    /// The queue.
    #[command(flatten)]
    pub queue: QueueConfig,

    /// What a client may have.
    #[command(flatten)]
    pub limits: LimitsConfig,

    /// The catalogue.
    #[command(flatten)]
    pub catalog: CatalogConfig,

    /// Where browsers fetch weights.
    #[command(flatten)]
    pub weights: WeightsConfig,

    /// What operators see.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,

    /// The picture store.
    #[command(flatten)]
    pub s3: S3Config,
}

/// Options of the picture store. Without a bucket name the server runs a store of its own under `--data`.
#[derive(Args, Clone, Debug)]
pub struct S3Config {
    /// Address and port of the store that the server runs itself; port 0 takes a free one.
    #[arg(long, env = "DEMO_HUB_S3_LISTEN", default_value = "127.0.0.1:9000")]
    pub s3_listen: SocketAddr,

    /// Endpoint of another S3 store as this server reaches it; absent with a bucket: AWS itself.
    #[arg(long, env = "DEMO_HUB_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,

    /// Endpoint of the store as browsers reach it; default: the same as the server's.
    #[arg(long, env = "DEMO_HUB_S3_PUBLIC_ENDPOINT")]
    pub s3_public_endpoint: Option<String>,

    /// Bucket of another S3 store; it must exist.
    #[arg(long, env = "DEMO_HUB_S3_BUCKET")]
    pub s3_bucket: Option<String>,

    /// Region that requests are signed for.
    #[arg(long, env = "DEMO_HUB_S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,

    /// Access key id for the other store.
    #[arg(long, env = "DEMO_HUB_S3_ACCESS_KEY_ID")]
    pub s3_access_key_id: Option<String>,

    /// Secret access key for the other store.
    #[arg(long, env = "DEMO_HUB_S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub s3_secret_access_key: Option<Secret>,

    /// Bucket name in the path (`true`, most stores) or in the host name (`false`, AWS).
    #[arg(long, env = "DEMO_HUB_S3_PATH_STYLE", default_value_t = true, action = clap::ArgAction::Set)]
    pub s3_path_style: bool,
}

/// Options of `demo-hub generate`.
#[derive(Args, Clone, Debug)]
pub struct GenerateConfig {
    /// What the picture should show.
    #[arg(long, env = "DEMO_HUB_PROMPT")]
    pub prompt: String,

    /// What it should not show, where the model takes that.
    #[arg(long, env = "DEMO_HUB_NEGATIVE_PROMPT")]
    pub negative_prompt: Option<String>,

    /// Width of the picture in pixels; default: the model's.
    #[arg(long, env = "DEMO_HUB_WIDTH")]
    pub width: Option<u32>,

    /// Height of the picture in pixels; default: the model's.
    #[arg(long, env = "DEMO_HUB_HEIGHT")]
    pub height: Option<u32>,

    /// Read weights, BREAK and long prompts as AUTOMATIC1111's web UI does.
    #[arg(long, env = "DEMO_HUB_WEIGHTED_PROMPTS")]
    pub weighted_prompts: bool,

    /// Another sampler than the model's own, by the name of A1111 or the class of diffusers.
    #[arg(long, env = "DEMO_HUB_SAMPLER")]
    pub sampler: Option<String>,

    /// Which layer of the text encoders is read, as AUTOMATIC1111's web UI counts: 2 is the one before the usual one.
    #[arg(long, env = "DEMO_HUB_CLIP_SKIP")]
    pub clip_skip: Option<u32>,

    /// How many times as large each side of the finished picture is made, 2 or 4.
    #[arg(long, env = "DEMO_HUB_UPSCALE")]
    pub upscale: Option<UpscaleFactor>,

    /// Another seed whose noise is mixed in: a variation.
    #[arg(long, env = "DEMO_HUB_VARIATION_SEED", requires = "variation_strength")]
    pub variation_seed: Option<u64>,

    /// How far the noise turns towards that of the other seed, 0 to 1.
    #[arg(long, env = "DEMO_HUB_VARIATION_STRENGTH", requires = "variation_seed")]
    pub variation_strength: Option<f32>,

    /// A picture to begin with (PNG, JPEG or WebP), brought to the size that is asked for.
    #[arg(long, env = "DEMO_HUB_IMAGE")]
    pub image: Option<PathBuf>,

    /// How much of the way from noise is gone where a picture is begun with, 0 to 1.
    #[arg(
        long,
        env = "DEMO_HUB_STRENGTH",
        default_value_t = 0.8,
        requires = "image"
    )]
    pub strength: f32,

    /// What is made anew of that picture, if not all of it: white where it is. The rest stays as it is.
    #[arg(long, env = "DEMO_HUB_MASK", requires = "image")]
    pub mask: Option<PathBuf>,

    /// Where the mask is transparent the picture is made anew, instead of where it is white.
    #[arg(long, env = "DEMO_HUB_MASK_BY_TRANSPARENCY", requires = "mask")]
    pub mask_by_transparency: bool,

    /// Package id; default: the first package of the models folder.
    #[arg(long, env = "DEMO_HUB_MODEL")]
    pub model: Option<String>,

    /// Seed of the noise; default: a random one, which is printed.
    #[arg(long, env = "DEMO_HUB_SEED")]
    pub seed: Option<u64>,

    /// Denoising steps; default: the package's.
    #[arg(long, env = "DEMO_HUB_STEPS")]
    pub steps: Option<u32>,

    /// Guidance scale; default: the package's.
    #[arg(long, env = "DEMO_HUB_GUIDANCE")]
    pub guidance: Option<f32>,

    /// PNG file to write.
    #[arg(long, env = "DEMO_HUB_OUT")]
    pub out: PathBuf,

    /// Folder whose subfolders are model packages.
    #[arg(long, env = "DEMO_HUB_MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,

    /// Engine.
    #[arg(long, env = "DEMO_HUB_RENDERER", default_value = "auto")]
    pub renderer: RendererChoice,
}

/// Options of `demo-hub upscale`.
#[derive(Args, Clone, Debug)]
pub struct UpscaleConfig {
    /// The picture: PNG, JPEG or WebP. What of it is transparent loses that.
    pub picture: PathBuf,

    /// PNG file to write.
    pub out: PathBuf,

    /// How many times as large a side becomes, 2 or 4; no side becomes longer than 4096 pixels.
    #[arg(long = "factor", env = "DEMO_HUB_UPSCALE", default_value = "2")]
    pub upscale: UpscaleFactor,

    /// Package id; default: the first one of the models folder that makes pictures so many times as large.
    #[arg(long = "model", env = "DEMO_HUB_UPSCALER")]
    pub upscaler: Option<String>,

    /// Folder whose subfolders are model packages.
    #[arg(long, env = "DEMO_HUB_MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,

    /// Engine.
    #[arg(long, env = "DEMO_HUB_RENDERER", default_value = "auto")]
    pub renderer: RendererChoice,
}

/// Which engine makes the server's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RendererChoice {
    /// A hardware GPU where there is one, else the CPU.
    Auto,
    /// `rten`.
    Cpu,
    /// `onnx-gpu`, also on a software adapter.
    Gpu,
}

/// A value that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl std::str::FromStr for Secret {
    type Err = Placeholder;

    fn from_str(value: &str) -> Result<Self, Placeholder> {
        if is_placeholder(value) {
            return Err(Placeholder);
        }
        Ok(Self::new(value))
    }
}

/// A secret that everybody knows, since examples print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is a placeholder of an example; put a secret of your own there")]
pub struct Placeholder;

/// Whether `value` is what the examples in `deploy/` have in a secret's place, now or before.
pub fn is_placeholder(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    ["change-me", "changeme", "replace-me", "replaceme"]
        .iter()
        .any(|placeholder| value.starts_with(placeholder))
}

impl ServeConfig {
    /// Time that the job in hand and open requests get when the server stops.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds)
    }

    /// How much one client may upload.
    pub fn upload_limits(&self) -> UploadLimits {
        UploadLimits {
            per_hour: self.uploads_per_hour,
            mebibytes_per_day: self.upload_mebibytes_per_day,
        }
    }

    /// How much may be stored for all clients.
    pub fn storage_limits(&self) -> StorageLimits {
        StorageLimits::of_mebibytes(self.budget.stored_mebibytes, self.stored_mebibytes_per_day)
    }

    /// How long presigned URLs are valid.
    pub fn upload_expiry(&self) -> Duration {
        Duration::from_secs(self.upload_expiry_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_option_is_documented_and_has_a_variable() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        let mut seen = 0;
        for command in cli.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                let id = arg.get_id();
                assert!(arg.get_help().is_some(), "{id} has no help text");
                // What stands without a name on the command line is given anew with every run.
                if arg.is_positional() {
                    continue;
                }
                let env = arg.get_env().and_then(|e| e.to_str());
                let expected = format!("DEMO_HUB_{}", id.as_str().to_uppercase());
                assert_eq!(env, Some(expected.as_str()), "{id}");
                seen += 1;
            }
        }
        assert!(seen > 20, "only {seen} options found");
    }

    #[test]
    fn secrets_are_not_printed() {
        let cli = Cli::parse_from([
            "demo-hub",
            "serve",
            "--s3-secret-access-key",
            "correct horse",
        ]);
        assert!(!format!("{cli:?}").contains("horse"));
    }

    #[test]
    fn secrets_of_the_examples_are_refused() {
        for arguments in [
            ["--s3-secret-access-key", "replace-me"],
            [
                "--s3-secret-access-key",
                "change-me-to-something-long-and-random",
            ],
            ["--nats-url", "nats://hub:replace-me@nats:4222"],
            ["--nats-url", "nats://a:4222,nats://hub:change-me@b:4222"],
        ] {
            let given = ["demo-hub", "serve"].into_iter().chain(arguments);
            let refused = Cli::try_parse_from(given).unwrap_err().to_string();
            assert!(refused.contains("placeholder"), "{refused}");
        }
        for url in ["nats://queue:4222", "nats://token@queue:4222", "queue:4222"] {
            assert!(Cli::try_parse_from(["demo-hub", "serve", "--nats-url", url]).is_ok());
        }
    }

    #[test]
    fn expiry_is_bounded() {
        for (seconds, ok) in [("0", false), ("1", true), ("300", true), ("301", false)] {
            let parsed =
                Cli::try_parse_from(["demo-hub", "serve", "--upload-expiry-seconds", seconds]);
            assert_eq!(parsed.is_ok(), ok, "{seconds}");
        }
    }
}
