//! Options of the catalogue and of the hub that it asks.

use std::time::Duration;

use clap::Args;

use super::Secret;

/// The Hugging Face Hub, or a mirror that speaks its API.
#[derive(Args, Clone, Debug)]
pub struct HubConfig {
    /// Address of the Hugging Face Hub or a mirror of it.
    #[arg(
        long,
        env = "DEMO_HUB_HUB_URL",
        default_value = "https://huggingface.co"
    )]
    pub hub_url: url::Url,

    /// Access token for it; public models need none.
    #[arg(long, env = "DEMO_HUB_HUB_TOKEN", hide_env_values = true)]
    pub hub_token: Option<Secret>,
}

/// What the catalogue asks elsewhere, and how long it waits.
#[derive(Args, Clone, Debug)]
pub struct CatalogConfig {
    /// Whether the hub and arXiv are asked at all; `false` leaves the cards of the packages.
    #[arg(long, env = "DEMO_HUB_CATALOG_ONLINE", default_value_t = true, action = clap::ArgAction::Set)]
    pub catalog_online: bool,

    /// The hub.
    #[command(flatten)]
    pub hub: HubConfig,

    /// Address of the arXiv API.
    #[arg(
        long,
        env = "DEMO_HUB_ARXIV_URL",
        default_value = "https://export.arxiv.org"
    )]
    pub arxiv_url: url::Url,

    /// Milliseconds that a page waits for them at most; what comes later is there for the next one.
    #[arg(long, env = "DEMO_HUB_CATALOG_DEADLINE_MS", default_value_t = 1500)]
    pub catalog_deadline_ms: u64,

    /// Milliseconds after which a request to them is given up.
    #[arg(long, env = "DEMO_HUB_CATALOG_TIMEOUT_MS", default_value_t = 8000)]
    pub catalog_timeout_ms: u64,

    /// Seconds after which an answer is asked for again; until a new one is there, the old one is shown.
    #[arg(long, env = "DEMO_HUB_CATALOG_TTL_SECONDS", default_value_t = 21_600)]
    pub catalog_ttl_seconds: u64,

    /// Largest answer that is read, in bytes.
    #[arg(long, env = "DEMO_HUB_CATALOG_MAX_BYTES", default_value_t = 4 << 20)]
    pub catalog_max_bytes: usize,

    /// Requests to the hub at a time.
    #[arg(long, env = "DEMO_HUB_CATALOG_CONCURRENCY", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub catalog_concurrency: u32,

    /// Milliseconds between two requests to arXiv, which asks for three seconds and one request at a time.
    #[arg(long, env = "DEMO_HUB_ARXIV_INTERVAL_MS", default_value_t = 3000)]
    pub arxiv_interval_ms: u64,
}

impl CatalogConfig {
    /// How long a page waits at most.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.catalog_deadline_ms)
    }

    /// When a request is given up.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.catalog_timeout_ms)
    }

    /// When an answer is old.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.catalog_ttl_seconds)
    }

    /// Pause between two requests to arXiv.
    pub fn arxiv_interval(&self) -> Duration {
        Duration::from_millis(self.arxiv_interval_ms)
    }
}
