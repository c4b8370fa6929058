//! `demo-hub storage setup|check|sweep`.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;

use super::check::{self, Verdict};
use super::setup::{self, Part};
use super::{Store, StoreSettings};
use crate::catalog::Catalog;
use crate::config::{StorageCommand, StorageConfig};
use crate::images::{Images, SweepOptions};

/// Runs the command and writes what it found to `out`.
///
/// # Errors
/// A sentence when an option is missing, the store refuses, or the check found something bad.
pub async fn run(command: StorageCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        StorageCommand::Setup(config) => {
            let store = Store::new(&settings(&config)?)?;
            let prepared = setup::prepare(&store, origin(&config)).await?;
            for (what, part) in [
                ("bucket", prepared.bucket),
                ("cross-origin uploads", prepared.cors),
                ("lifecycle", prepared.lifecycle),
            ] {
                let word = match part {
                    Part::Done => "set",
                    Part::AlreadyThere => "was there",
                    Part::Unsupported => "not supported by this store",
                };
                writeln!(out, "{what}: {word}")?;
            }
            Ok(())
        }
        StorageCommand::Check(config) => {
            let store = Store::new(&settings(&config)?)?;
            let findings = check::inspect(&store, origin(&config)).await;
            for finding in &findings {
                let mark = match finding.verdict {
                    Verdict::Good => "ok",
                    Verdict::Note => "note",
                    Verdict::Bad => "BAD",
                };
                writeln!(out, "{mark:4} {}: {}", finding.what, finding.detail)?;
            }
            let bad = findings
                .iter()
                .filter(|f| f.verdict == Verdict::Bad)
                .count();
            anyhow::ensure!(
                bad == 0,
                "the store is not fit: {bad} of {} checks",
                findings.len()
            );
            Ok(())
        }
        StorageCommand::Sweep(config) => {
            let store = Store::new(&settings(&config.storage)?)?;
            let images = Images::new(store, Catalog::default().into(), Duration::from_secs(60));
            let options = SweepOptions {
                force: config.force,
                ..SweepOptions::older_than(Duration::from_secs(config.older_than_seconds))
            };
            let swept = images.sweep(options).await?;
            writeln!(out, "{}", serde_json::to_string(&swept)?)?;
            Ok(())
        }
    }
}

fn settings(config: &StorageConfig) -> anyhow::Result<StoreSettings> {
    crate::serve::other_store(&config.s3)?.context(
        "the store that a server runs itself needs none of this; --s3-bucket names another",
    )
}

fn origin(config: &StorageConfig) -> &str {
    let url = config.public_url.as_deref();
    url.map_or("*", |url| url.trim_end_matches('/'))
}
