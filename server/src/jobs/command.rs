//! `demo-hub jobs`.

use std::io::Write;
use std::time::{Duration, SystemTime};

use super::{NatsQueue, Role, embedded};
use crate::config::{JobsCommand, JobsConfig};

/// Runs the command and writes what it found to `out`.
///
/// # Errors
/// A sentence when the queue cannot be reached or read.
pub async fn run(config: JobsConfig, out: &mut impl Write) -> anyhow::Result<()> {
    let JobsCommand::Dead(config) = config.command;
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
