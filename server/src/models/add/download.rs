//! Files of a model of the hub, fetched with resume and checked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use architectures::Header;
use futures::StreamExt;
use reqwest::{StatusCode, header, redirect};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use url::Url;

use super::graph;
use super::layout::{Found, Layout, Part};
use super::network::Network;
use super::pipeline::Family;
use super::source::{Configuration, Said};
use crate::catalog::hub::{self, HubFile, HubModel, is_name};
use crate::catalog::upstream::{Upstream, UpstreamOptions};
use crate::config::{AddConfig, Secret};

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
pub(super) fn fetch(
    config: &AddConfig,
    said: &Said,
    report: &mut dyn Write,
) -> anyhow::Result<Download> {
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
        let listed = hub::files(&json);
        let listed: Vec<HubFile> = listed.into_iter().filter(|f| is_plain(&f.path)).collect();
        let layout = Layout::new(listed.iter().map(|file| file.path.clone()));
        ensure!(
            layout.index().is_some() || said.pipeline.is_some(),
            "the model has no model_index.json; it is no pipeline of diffusers (--pipeline names the class of an export without one)"
        );
        let revision = json.get("sha").and_then(Value::as_str).unwrap_or("main");
        let mut fetching = Fetching {
            hub: &hub,
            fetcher: Fetcher::new(config.hub.hub_token.clone())?,
            folder: folder(config),
            place: [owner, name, "resolve", revision],
            listed: &listed,
            report,
        };
        fetching.all(layout.small()).await?;
        let configuration = Configuration::read(&fetching.folder, &layout, said)?;
        let (mut graphs, mut networks) = (Vec::new(), Vec::new());
        let pipeline = configuration.pipeline;
        for part in pipeline.parts().filter(|part| configuration.reads(*part)) {
            match layout.part(part)? {
                Some(Found::Graph(path)) => graphs.push(path),
                Some(Found::Network(network)) => networks.push((part, network)),
                None => {}
            }
        }
        let family = pipeline.family;
        let weights = fetching.try_networks(&networks, family).await?;
        fetching.has_room(&graphs)?;
        fetching.all(graphs.clone()).await?;
        let mut external = Vec::new();
        for path in &graphs {
            let beside = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for location in graph::external(&fetching.folder.join(path))? {
                let path = [beside, &location].join("/");
                external.push(path.trim_start_matches('/').to_owned());
            }
        }
        external.extend(weights);
        fetching.has_room(&external)?;
        fetching.all(external).await?;
        let folder = fetching.folder;
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

/// Whether a path of the hub's stays in the folder of the download.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
    })
}

/// A download under way.
struct Fetching<'f> {
    hub: &'f Upstream,
    fetcher: Fetcher,
    folder: PathBuf,
    /// Path of the model's files on the hub.
    place: [&'f str; 4],
    listed: &'f [HubFile],
    report: &'f mut dyn Write,
}

impl Fetching<'_> {
    fn file(&self, path: &str) -> anyhow::Result<&HubFile> {
        let file = self.listed.iter().find(|file| file.path == path);
        file.with_context(|| format!("the model has no {path}, which one of its graphs needs"))
    }

    /// Refuses what the disk has no room for, as far as the hub tells the sizes.
    fn has_room(&self, paths: &[String]) -> anyhow::Result<()> {
        let mut needed = 0;
        for path in paths {
            let here = fs::metadata(self.folder.join(path)).map_or(0, |meta| meta.len());
            let bytes = self.file(path)?.bytes.unwrap_or_default();
            needed += bytes.saturating_sub(here);
        }
        // Once downloaded, and once in the package.
        let needed = 2 * needed;
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("creating {}", self.folder.display()))?;
        let free = fs4::available_space(&self.folder)?;
        ensure!(
            free >= needed,
            "{} has {:.1} GB free; download and package take {:.1} GB",
            self.folder.display(),
            free as f64 / 1e9,
            needed as f64 / 1e9
        );
        Ok(())
    }

    /// Builds the graphs of networks over the headers of their weights, which are fetched alone: what cannot be built is refused
    /// before gigabytes are. Gives the paths of the weights.
    async fn try_networks(
        &self,
        networks: &[(Part, Network)],
        family: Family,
    ) -> anyhow::Result<Vec<String>> {
        for (_, network) in networks {
            network.is_known(&self.folder)?;
        }
        let mut headers: BTreeMap<String, Header> = BTreeMap::new();
        for (part, network) in networks {
            for path in network.files(&self.folder)? {
                if !headers.contains_key(&path) {
                    let file = self.file(&path)?;
                    let header = self.fetcher.header(self.url(&path), file).await;
                    headers.insert(
                        path.clone(),
                        header.with_context(|| format!("fetching the header of {path}"))?,
                    );
                }
            }
            network.build(&self.folder, *part, family, &headers)?;
        }
        Ok(headers.into_keys().collect())
    }

    fn url(&self, path: &str) -> Url {
        let parts: Vec<&str> = self.place.into_iter().chain(path.split('/')).collect();
        self.hub.address(&parts)
    }

    async fn all(&mut self, paths: Vec<String>) -> anyhow::Result<()> {
        for path in paths {
            let file = self.file(&path)?.clone();
            let url = self.url(&path);
            self.fetcher
                .file(url, &self.folder.join(&path), &file)
                .await?;
            let size = file
                .bytes
                .map(|bytes| format!(", {:.1} MB", bytes as f64 / 1e6));
            writeln!(self.report, "{path} is here{}", size.unwrap_or_default())?;
        }
        Ok(())
    }
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

    /// Fetches the header of weights.
    async fn header(&self, url: Url, file: &HubFile) -> anyhow::Result<Header> {
        let start = self.range(&url, 0, 8).await?;
        let length = start.first_chunk().context("it ends before its header")?;
        let extent = Header::extent(&file.path, *length)?;
        let header = Header::parse(&file.path, &self.range(&url, 0, extent).await?)?;
        let bytes = header.file_bytes();
        ensure!(
            file.bytes.is_none_or(|listed| listed == bytes),
            "its header says {bytes} bytes, the hub {}",
            file.bytes.unwrap_or_default()
        );
        Ok(header)
    }

    /// Bytes of a file, `from` to before `to`; a server that sends more is not listened to any further.
    async fn range(&self, url: &Url, from: u64, to: u64) -> anyhow::Result<Vec<u8>> {
        let mut attempt = 1;
        loop {
            match self.range_once(url, from, to).await {
                Err(error) if attempt < ATTEMPTS && !error.is::<Final>() => {
                    tracing::warn!(attempt, "{error:#}; asking again");
                    attempt += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn range_once(&self, url: &Url, from: u64, to: u64) -> anyhow::Result<Vec<u8>> {
        let mut request = self.http.get(url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let last = to.saturating_sub(1);
        request = request.header(header::RANGE, format!("bytes={from}-{last}"));
        let response = request.send().await?;
        let wanted = usize::try_from(to - from)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(header::CONTENT_RANGE);
                let range = range.and_then(|range| range.to_str().ok());
                ensure!(
                    range.is_some_and(|range| range.starts_with(&format!("bytes {from}-"))),
                    "the server sent another part"
                );
            }
            // The whole file, of which the beginning is read.
            StatusCode::OK if from == 0 => {}
            status if status.is_client_error() => {
                return Err(Final(format!(
                    "the server answered with status {}",
                    status.as_u16()
                ))
                .into());
            }
            status => bail!("the server answered with status {}", status.as_u16()),
        }
        let mut found = Vec::new();
        let mut body = response.bytes_stream();
        while found.len() < wanted {
            let chunk = body.next().await.context("the connection ended early")??;
            found.extend_from_slice(&chunk);
        }
        found.truncate(wanted);
        Ok(found)
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
