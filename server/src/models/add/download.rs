//! Files of a model of the hub, fetched with resume and checked.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::StreamExt;
use reqwest::{StatusCode, header, redirect};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::catalog::hub::{self, HubFile, HubModel, is_name};
use crate::catalog::upstream::{Upstream, UpstreamOptions};
use crate::config::{AddConfig, Secret};

/// Files that a package is made of, and whether it can be made without.
const WANTED: [(&str, bool); 16] = [
    ("model_index.json", true),
    ("scheduler/scheduler_config.json", true),
    ("text_encoder/model.onnx", true),
    ("unet/model.onnx", true),
    ("vae_decoder/model.onnx", true),
    ("README.md", false),
    ("text_encoder/config.json", false),
    ("unet/config.json", false),
    ("vae_decoder/config.json", false),
    ("vae/config.json", false),
    ("tokenizer/tokenizer.json", false),
    ("tokenizer/vocab.json", false),
    ("tokenizer/merges.txt", false),
    ("tokenizer/tokenizer_config.json", false),
    ("tokenizer/special_tokens_map.json", false),
    ("tokenizer/added_tokens.json", false),
];
/// Folder of unfinished downloads in the models folder.
const DOWNLOADS: &str = ".downloads";
/// Times that a file is asked for before the download is given up; the next one goes on where this one ended.
const ATTEMPTS: u32 = 4;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// Largest description of a model, in bytes.
const MAX_DESCRIPTION: usize = 32 << 20;

/// A model on this disk.
pub(super) struct Download {
    pub folder: PathBuf,
    pub model: HubModel,
}

/// Fetches the model that `config` names.
pub(super) fn fetch(config: &AddConfig, report: &mut dyn Write) -> anyhow::Result<Download> {
    let id = &config.source;
    let (owner, name) = id
        .split_once('/')
        .filter(|(owner, name)| is_name(owner) && is_name(name))
        .with_context(|| format!("{id:?} is neither a folder nor the id of a model"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let hub = Upstream::new(UpstreamOptions {
            base: config.hub.hub_url.clone(),
            token: config.hub.hub_token.clone(),
            timeout: SILENCE,
            max_bytes: MAX_DESCRIPTION,
            concurrency: 1,
            interval: Duration::ZERO,
        })?;
        let json = hub::model_json(&hub, owner, name)
            .await
            .map_err(|failure| anyhow::anyhow!("{id}: {}", failure.trouble.detail))?;
        let model = HubModel::read(&json).with_context(|| format!("{id} is not described"))?;
        let files = wanted(&hub::files(&json))?;
        let folder = folder(config);
        let fetcher = Fetcher::new(config.hub.hub_token.clone())?;
        let revision = json.get("sha").and_then(Value::as_str).unwrap_or("main");
        for file in files {
            let path: Vec<&str> = [owner, name, "resolve", revision]
                .into_iter()
                .chain(file.path.split('/'))
                .collect();
            fetcher
                .file(hub.address(&path), &folder.join(&file.path), &file)
                .await?;
            writeln!(report, "{} is here", file.path)?;
        }
        Ok(Download { folder, model })
    })
}

/// Removes what was downloaded.
pub(super) fn forget(config: &AddConfig) {
    let folder = folder(config);
    if let Err(error) = fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the download could not be removed");
    }
}

fn folder(config: &AddConfig) -> PathBuf {
    let downloads = config.packages.models_dir.join(DOWNLOADS);
    downloads.join(config.source.replace('/', "--"))
}

/// Those of the hub's files that are wanted. Only names of the list pass, so none leads out of the folder.
fn wanted(files: &[HubFile]) -> anyhow::Result<Vec<HubFile>> {
    let mut found = Vec::new();
    for (path, needed) in WANTED {
        match files.iter().find(|file| file.path == path) {
            Some(file) => found.push(file.clone()),
            None if needed => {
                bail!("the model has no {path}; it is no ONNX export of Stable Diffusion")
            }
            None => {}
        }
    }
    Ok(found)
}

struct Fetcher {
    http: reqwest::Client,
    token: Option<Secret>,
}

impl Fetcher {
    fn new(token: Option<Secret>) -> anyhow::Result<Self> {
        // The hub redirects to the hosts of its files; the client takes the token out on the way to another host.
        let http = reqwest::Client::builder()
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            .redirect(redirect::Policy::limited(5))
            .build()?;
        Ok(Self { http, token })
    }

    /// Fetches a file to `path`, going on where an earlier attempt ended.
    async fn file(&self, url: Url, path: &Path, file: &HubFile) -> anyhow::Result<()> {
        if path.is_file() && check(path, file).is_ok() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut attempt = 1;
        while let Err(error) = self.go_on(&url, &part, file).await {
            if attempt >= ATTEMPTS || error.is::<Final>() {
                return Err(error).with_context(|| format!("fetching {}", file.path));
            }
            tracing::warn!(file = file.path, attempt, "{error:#}; going on");
            attempt += 1;
        }
        if let Err(error) = check(&part, file) {
            fs::remove_file(&part)?;
            return Err(error);
        }
        fs::rename(&part, path).with_context(|| format!("renaming {}", part.display()))
    }

    async fn go_on(&self, url: &Url, part: &Path, file: &HubFile) -> anyhow::Result<()> {
        let have = fs::metadata(part).map_or(0, |meta| meta.len());
        if have > 0 && file.bytes == Some(have) {
            return Ok(());
        }
        let mut request = self.http.get(url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await?;
        let goes_on = match response.status() {
            StatusCode::OK => false,
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(header::CONTENT_RANGE);
                let range = range
                    .and_then(|range| range.to_str().ok())
                    .unwrap_or_default();
                ensure!(
                    range.starts_with(&format!("bytes {have}-")),
                    "the server sent another part"
                );
                true
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                fs::remove_file(part)?;
                bail!("what was fetched before does not fit");
            }
            status if status.is_client_error() => {
                return Err(Final(format!(
                    "the server answered with status {}",
                    status.as_u16()
                ))
                .into());
            }
            status => bail!("the server answered with status {}", status.as_u16()),
        };
        let mut out = tokio::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .append(goes_on)
            .truncate(!goes_on)
            .open(part)
            .await?;
        let mut length = if goes_on { have } else { 0 };
        let received = async {
            let mut body = response.bytes_stream();
            while let Some(chunk) = body.next().await {
                let chunk = chunk?;
                length += chunk.len() as u64;
                if file.bytes.is_some_and(|bytes| length > bytes) {
                    return Err(Final("it is longer than the hub says".to_owned()).into());
                }
                out.write_all(&chunk).await?;
            }
            anyhow::Ok(())
        }
        .await;
        // The last write may still be under way, and the next attempt goes by the file's length.
        out.flush().await?;
        received?;
        ensure!(
            file.bytes.is_none_or(|bytes| length == bytes),
            "the connection ended early"
        );
        Ok(())
    }
}

/// An error that trying again does not mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Final(String);

/// Checks length and digest, as far as the hub tells them.
fn check(path: &Path, file: &HubFile) -> anyhow::Result<()> {
    let mut reader = fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut hasher = Sha256::new();
    let length = std::io::copy(&mut reader, &mut hasher)?;
    ensure!(
        file.bytes.is_none_or(|bytes| bytes == length),
        "{} has {length} bytes, the hub says {}",
        file.path,
        file.bytes.unwrap_or_default()
    );
    let digest = hex::encode(hasher.finalize());
    ensure!(
        file.sha256.as_ref().is_none_or(|sha256| *sha256 == digest),
        "{} is not the hub's file: its SHA-256 is {digest}",
        file.path
    );
    Ok(())
}
