//! Options of queue and worker.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use onnx_gpu::AdapterChoice;

use super::folder::ModelsFolder;
use super::{
    BudgetConfig, ExpiryConfig, Placeholder, RendererChoice, S3Config, TelemetryConfig,
    is_placeholder,
};
use crate::jobs::{NatsOptions, Patience};
use crate::render::LocalOptions;

/// Options of the queue. Without `--nats-url` it is the server's own, in a file under `--data`.
#[derive(Args, Clone, Debug)]
pub struct QueueConfig {
    /// NATS servers with JetStream, separated by commas, such as `nats://user:password@queue:4222`.
    #[arg(long, env = "DEMO_HUB_NATS_URL", hide_env_values = true, value_parser = addresses)]
    pub nats_url: Option<String>,

    /// First part of all names in NATS, so that several hubs can share it: letters, digits, `-` and `_`.
    #[arg(long, env = "DEMO_HUB_NATS_PREFIX", default_value = "demo-hub", value_parser = prefix)]
    pub nats_prefix: String,

    /// Copies of every message in a NATS cluster.
    #[arg(long, env = "DEMO_HUB_NATS_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nats_replicas: u8,

    /// Seconds of a worker's silence after which its job is handed out again.
    #[arg(long, env = "DEMO_HUB_ACK_WAIT_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub ack_wait_seconds: u32,

    /// Jobs that may wait or be made; one more is refused with status 429.
    #[arg(long, env = "DEMO_HUB_QUEUE_CAPACITY", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub queue_capacity: u32,

    /// Seconds that a job can still be asked for after its end.
    #[arg(long, env = "DEMO_HUB_JOB_RETENTION_SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub job_retention_seconds: u32,

    /// Seconds without a step after which a job counts as stuck and is handed out again.
    #[arg(long, env = "DEMO_HUB_STALL_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub stall_seconds: u32,

    /// Seconds that a finished picture is held and tried to be stored again while the picture store is away.
    #[arg(long, env = "DEMO_HUB_SAVE_PATIENCE_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub save_patience_seconds: u32,
}

/// Options of `demo-hub jobs`: which queue.
#[derive(Args, Clone, Debug)]
pub struct JobsConfig {
    /// What to do.
    #[command(subcommand)]
    pub command: JobsCommand,
}

/// Commands of `demo-hub jobs`.
#[derive(Subcommand, Clone, Debug)]
pub enum JobsCommand {
    /// List what was queued, could not be read by any worker and was set aside.
    Dead(DeadConfig),
    /// Put what was set aside in NATS back into the queue, for workers that can read it by now.
    Retry(QueueConfig),
}

/// Options of `demo-hub jobs dead`.
#[derive(Args, Clone, Debug)]
pub struct DeadConfig {
    /// Data folder whose queue is looked at, where there is no NATS; no server may be using it.
    #[arg(long, env = "DEMO_HUB_DATA", default_value = "data")]
    pub data: PathBuf,

    /// The queue.
    #[command(flatten)]
    pub queue: QueueConfig,
}

/// Options of `demo-hub worker`.
#[derive(Args, Clone, Debug)]
pub struct WorkerConfig {
    /// Name of this worker; default: a random one.
    #[arg(long, env = "DEMO_HUB_WORKER_NAME")]
    pub worker_name: Option<String>,

    /// The model packages.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Engine.
    #[arg(long, env = "DEMO_HUB_RENDERER", default_value = "auto")]
    pub renderer: RendererChoice,

    /// GPU of this worker: `high` (the fastest), `default`, an index or a part of its name. A machine with several
    /// GPUs runs a worker for each.
    #[arg(long, env = "DEMO_HUB_ADAPTER", default_value = "high")]
    pub adapter: AdapterChoice,

    /// Memory for models in MiB: larger models are left to other workers, and models are dropped, those used
    /// longest ago first, to make room; default: no limit.
    #[arg(long, env = "DEMO_HUB_MEMORY_BUDGET_MIB")]
    pub memory_budget_mib: Option<u64>,

    /// Hosted endpoints: path of their TOML list, or the list itself.
    #[arg(long, env = "DEMO_HUB_ENDPOINTS", hide_env_values = true)]
    pub endpoints: Option<String>,

    /// Seconds that the job in hand gets to finish when the worker is asked to stop; then it is handed back.
    #[arg(long, env = "DEMO_HUB_DRAIN_SECONDS", default_value_t = 20)]
    pub drain_seconds: u64,

    /// The queue; `--nats-url` is needed here.
    #[command(flatten)]
    pub queue: QueueConfig,

    /// What operators see.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,

    /// How long pictures stay that nobody saved.
    #[command(flatten)]
    pub expiry: ExpiryConfig,

    /// What may be stored in all.
    #[command(flatten)]
    pub budget: BudgetConfig,

    /// The picture store; `--s3-bucket` is needed here.
    #[command(flatten)]
    pub s3: S3Config,
}

impl QueueConfig {
    /// How to use NATS, where it is used.
    pub fn nats(&self) -> Option<NatsOptions> {
        let url = self.nats_url.clone()?;
        Some(NatsOptions {
            url,
            prefix: self.nats_prefix.clone(),
            capacity: self.queue_capacity as usize,
            retention: self.retention(),
            ack_wait: Duration::from_secs(self.ack_wait_seconds.into()),
            replicas: self.nats_replicas.into(),
            unreadable: Patience::UPGRADE,
        })
    }

    /// How long a finished job can be asked for.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(self.job_retention_seconds.into())
    }

    /// Time for which a finished picture is held while the store is away.
    pub fn save_patience(&self) -> Duration {
        Duration::from_secs(self.save_patience_seconds.into())
    }

    /// Time without a step after which a job counts as stuck.
    pub fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_seconds.into())
    }
}

impl WorkerConfig {
    /// What pictures are made on here.
    pub fn local(&self) -> LocalOptions {
        LocalOptions {
            renderer: self.renderer,
            adapter: self.adapter.clone(),
            budget: self
                .memory_budget_mib
                .map(|mib| mib.saturating_mul(1 << 20)),
        }
    }
}

/// Addresses whose password is no placeholder. What they are otherwise, NATS' client says.
fn addresses(text: &str) -> Result<String, Placeholder> {
    for address in text.split(',') {
        let address = address.split_once("://").map_or(address, |(_, rest)| rest);
        let Some((user, _)) = address.rsplit_once('@') else {
            continue;
        };
        let secret = user.split_once(':').map_or(user, |(_, password)| password);
        if is_placeholder(secret) {
            return Err(Placeholder);
        }
    }
    Ok(text.to_owned())
}

fn prefix(value: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        Ok(value.to_owned())
    } else {
        Err("only letters, digits, '-' and '_' are accepted".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use clap::Parser;

    use super::*;
    use crate::config::{Cli, Command};

    fn worker(options: &[&str]) -> Result<WorkerConfig, clap::Error> {
        let line = ["demo-hub", "worker"].iter().chain(options);
        Cli::try_parse_from(line).map(|cli| match cli.command {
            Command::Worker(config) => *config,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_worker_is_given_its_gpu() {
        let adapter = |options: &[&str]| worker(options).unwrap().local().adapter;
        assert_eq!(adapter(&[]), AdapterChoice::HighPerformance);
        assert_eq!(adapter(&["--adapter", "1"]), AdapterChoice::Index(1));
        let name = AdapterChoice::Name("H100".to_owned());
        assert_eq!(adapter(&["--adapter", "H100"]), name);
        assert!(worker(&["--adapter", ""]).is_err());
    }

    #[test]
    fn a_budget_is_given_in_mib() {
        let budget = |options: &[&str]| worker(options).unwrap().local().budget;
        assert_eq!(budget(&[]), None);
        assert_eq!(budget(&["--memory-budget-mib", "3"]), Some(3 << 20));
    }
}
