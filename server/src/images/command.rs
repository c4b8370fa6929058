//! `demo-hub images` and `demo-hub reports`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Images;
use super::moderation::{Seen, Takedown};
use crate::catalog::Catalog;
use crate::config::{
    ImagesCommand, ListConfig, OperatorConfig, ReportsCommand, S3Config, TakedownConfig,
};
use crate::serving::Limits;
use crate::storage::{Store, StoreSettings, credentials, embedded};

/// Longest prompt in a line for people, in characters.
const PROMPT_CHARS: usize = 60;

/// Runs `demo-hub images` and writes what it found or did to `out`.
///
/// # Errors
/// A sentence when an option is missing, the store cannot be reached or there is no such picture.
pub async fn images(command: ImagesCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        ImagesCommand::List(config) => list(config, out).await,
        ImagesCommand::Show(config) => {
            let opened = Opened::of(&config.operator).await?;
            let records = opened.images.records_of(&config.target).await?;
            anyhow::ensure!(!records.is_empty(), "there is no picture of these bytes");
            for seen in records {
                show(&seen, config.operator.json, out)?;
            }
            Ok(())
        }
        ImagesCommand::Hide(config) => take_down(config, Takedown::Hide, out).await,
        ImagesCommand::Remove(config) => take_down(config, Takedown::Remove, out).await,
        ImagesCommand::Unhide(config) => {
            let opened = Opened::of(&config.operator).await?;
            let ids = opened.images.put_back(&config.target).await?;
            done("shown again", &ids, config.operator.json, out)
        }
    }
}

async fn list(config: ListConfig, out: &mut impl Write) -> anyhow::Result<()> {
    let opened = Opened::of(&config.operator).await?;
    let owner = config.owner.as_ref().map(ToString::to_string);
    let wanted = config.prompt.as_ref().map(|text| text.to_lowercase());
    let holds = |prompt: Option<&String>| match &wanted {
        Some(wanted) => prompt.is_some_and(|prompt| prompt.to_lowercase().contains(wanted)),
        None => true,
    };
    let mut left = config.limit;
    let mut all = std::pin::pin!(opened.images.all_records());
    while let Some(seen) = all.next().await {
        if left == 0 {
            break;
        }
        let seen = seen?;
        let belongs = config.state.is_none_or(|state| state.name() == seen.state)
            && (config.model.is_none() || config.model == seen.model)
            && (owner.is_none() || owner == seen.owner)
            && holds(seen.prompt.as_ref());
        if belongs {
            show(&seen, config.operator.json, out)?;
            left -= 1;
        }
    }
    Ok(())
}

async fn take_down(
    config: TakedownConfig,
    how: Takedown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let opened = Opened::of(&config.operator).await?;
    let ids = opened
        .images
        .take_down(&config.target, how, &config.reason)
        .await?;
    let what = match how {
        Takedown::Hide => "hidden, and the bytes refused from now on",
        Takedown::Remove => "removed, and the bytes refused from now on",
    };
    done(what, &ids, config.operator.json, out)
}

/// Runs `demo-hub reports` and writes what it found or did to `out`.
///
/// # Errors
/// A sentence when an option is missing, the store cannot be reached or nothing was reported.
pub async fn reports(command: ReportsCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        ReportsCommand::List(config) => {
            let opened = Opened::of(&config).await?;
            for reported in opened.images.open_reports().await? {
                if config.json {
                    writeln!(out, "{}", serde_json::to_string(&reported)?)?;
                    continue;
                }
                let mut reasons: Vec<String> = reported
                    .reports
                    .iter()
                    .map(|report| report.reason.name())
                    .collect();
                reasons.sort_unstable();
                reasons.dedup();
                let count = reported.reports.len();
                writeln!(out, "{}  {count}  {}", reported.id, reasons.join(", "))?;
            }
            Ok(())
        }
        ReportsCommand::Show(config) => {
            let opened = Opened::of(&config.operator).await?;
            let all = opened.images.open_reports().await?;
            let id = config.id.to_string();
            let reported = all.into_iter().find(|reported| reported.id == id);
            let reported = reported.context("there is no open report of this picture")?;
            for report in &reported.reports {
                if config.operator.json {
                    writeln!(out, "{}", serde_json::to_string(report)?)?;
                } else {
                    let (at, reason) = (report.reported_at, report.reason.name());
                    writeln!(out, "{at}  {reason}  {}", plain(&report.comment))?;
                }
            }
            Ok(())
        }
        ReportsCommand::Resolve(config) => {
            let opened = Opened::of(&config.operator).await?;
            let count = opened.images.resolve_reports(&config.id).await?;
            anyhow::ensure!(count > 0, "there is no open report of this picture");
            if config.operator.json {
                writeln!(out, "{}", serde_json::json!({ "resolved": count }))?;
            } else {
                writeln!(out, "{count} resolved")?;
            }
            Ok(())
        }
    }
}

fn show(seen: &Seen, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string(seen)?)?;
        return Ok(());
    }
    let denied = if seen.denied { "  bytes refused" } else { "" };
    let prompt: String = seen.prompt.iter().flat_map(|p| p.chars()).collect();
    let prompt: String = plain(&prompt).chars().take(PROMPT_CHARS).collect();
    let model = seen.model.as_deref().unwrap_or("-");
    writeln!(
        out,
        "{}  {:8}  {}  {model}  {prompt}{denied}",
        seen.id, seen.state, seen.sha256
    )?;
    Ok(())
}

/// A visitor's text on a terminal: without what would move its cursor.
fn plain(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect()
}

fn done(what: &str, ids: &[String], json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Done<'a> {
        pictures: &'a [String],
    }
    if json {
        writeln!(out, "{}", serde_json::to_string(&Done { pictures: ids })?)?;
    } else {
        writeln!(out, "{} {what}", ids.len())?;
        for id in ids {
            writeln!(out, "{id}")?;
        }
    }
    Ok(())
}

/// The pictures of a store, and what runs the store meanwhile.
struct Opened {
    images: Images,
    stop: CancellationToken,
    _embedded: Option<embedded::Embedded>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Opened {
    async fn of(config: &OperatorConfig) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (settings, embedded) = match crate::serve::other_store(&config.s3)? {
            Some(settings) => (settings, None),
            None => own_store(&config.data, &config.s3, &stop).await?,
        };
        let store = Store::new(&settings)?;
        let images = Images::new(store, Catalog::default().into(), Duration::from_secs(60));
        Ok(Self {
            images,
            stop,
            _embedded: embedded,
        })
    }
}

/// The store that a server on this machine runs, or would run.
async fn own_store(
    data: &Path,
    s3: &S3Config,
    stop: &CancellationToken,
) -> anyhow::Result<(StoreSettings, Option<embedded::Embedded>)> {
    anyhow::ensure!(
        embedded::is_in(data),
        "there is no store in {} (--data); --s3-bucket names another",
        data.display()
    );
    let keys = credentials::load_or_create(data)?;
    let settings = |endpoint: String| StoreSettings {
        endpoint: Some(endpoint),
        public_endpoint: None,
        bucket: embedded::BUCKET.to_owned(),
        region: s3.s3_region.clone(),
        access_key_id: keys.access_key_id.clone(),
        secret_access_key: keys.secret_access_key.clone(),
        path_style: true,
    };
    let address = s3.s3_listen;
    if address.port() != 0 && TcpStream::connect(address).await.is_ok() {
        return Ok((settings(format!("http://{address}")), None));
    }
    // No server runs on it.
    let local = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let embedded = embedded::start(data, local, &keys, Limits::default(), stop.clone()).await?;
    Ok((
        settings(format!("http://{}", embedded.addr)),
        Some(embedded),
    ))
}
