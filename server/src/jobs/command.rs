//! `demo-hub jobs`.

use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use super::{NatsQueue, Role, embedded};
use crate::config::{DeadConfig, JobsCommand, JobsConfig, QueueConfig};

/// Runs the command and writes what it found to `out`.
///
/// # Errors
/// A sentence when the queue cannot be reached or read.
pub async fn run(config: JobsConfig, out: &mut impl Write) -> anyhow::Result<()> {
    match config.command {
        JobsCommand::Dead(config) => dead(config, out).await,
        JobsCommand::Retry(config) => retry(&config, out).await,
    }
}

async fn retry(config: &QueueConfig, out: &mut impl Write) -> anyhow::Result<()> {
    let options = config
        .nats()
        .context("without NATS, what was set aside is tried at every start; else --nats-url")?;
    let queue = NatsQueue::connect(options, Role::Worker).await?;
    writeln!(out, "{} put back", queue.retry_dead().await?)?;
    Ok(())
}

async fn dead(config: DeadConfig, out: &mut impl Write) -> anyhow::Result<()> {
    let dead = match config.queue.nats() {
        Some(options) => {
            NatsQueue::connect(options, Role::Worker)
                .await?
                .dead()
                .await?
        }
        None => {
            let file = config.data.join(embedded::FILE);
            anyhow::ensure!(file.exists(), "there is no job queue in {}", file.display());
            tokio::task::spawn_blocking(move || embedded::dead(&file)).await??
        }
    };
    for order in &dead {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(order.at);
        writeln!(
            out,
            "{}  {}  {} bytes  {}",
            httpdate::fmt_http_date(at),
            order.id,
            order.bytes,
            order.reason
        )?;
    }
    writeln!(out, "{} set aside", dead.len())?;
    Ok(())
}
