//! Bytes of a hub's files over HTTP: ranges, going on, waiting when asked to.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use architectures::Header;
use futures::StreamExt;
use reqwest::{Response, StatusCode, header, redirect};
use tokio::io::AsyncWriteExt;
use url::Url;

use super::folder::{check, part};
use super::progress::Progress;
use crate::catalog::hub::HubFile;
use crate::catalog::upstream::pause_asked_for;
use crate::config::Secret;

/// Times in a row that a server may give nothing; the next run goes on where this one ended.
const ATTEMPTS: u32 = 4;
/// Bytes that make an attempt one that gave something.
const SOMETHING: u64 = 1 << 20;
/// How long a connection may be silent.
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// Pause before a second attempt; before the next ones it is twice as long each.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause that a hub is granted, each time.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Times in a row that a hub may ask for a pause.
pub(super) const PAUSES: u32 = 8;
/// Pause where a hub asks for one and does not say how long.
const UNSTATED_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Fetcher {
    http: reqwest::Client,
    token: Option<Secret>,
    /// Page of the model, for who has to agree to something there.
    page: Url,
}

/// An error that trying again does not mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Final(String);

/// The hub wants to be left alone for so long.
#[derive(Debug, thiserror::Error)]
#[error("the hub asks to be left alone for {} s", .0.as_secs())]
struct Later(Duration);

/// Attempts at one thing.
#[derive(Default)]
struct Attempts {
    failed: u32,
    pauses: u32,
}

impl Attempts {
    /// Waits until the next attempt, or gives the error back if there is none.
    async fn after(
        &mut self,
        error: anyhow::Error,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<()> {
        if let Some(Later(pause)) = error.downcast_ref::<Later>() {
            self.pauses += 1;
            if self.pauses > PAUSES || *pause > LONGEST_PAUSE {
                return Err(error.context("the hub is not asked any further; a second run goes on"));
            }
            progress.say(&error.to_string())?;
            tokio::time::sleep(*pause).await;
            return Ok(());
        }
        self.failed += 1;
        if self.failed >= ATTEMPTS || error.is::<Final>() {
            return Err(error);
        }
        tracing::warn!(attempt = self.failed, "{error:#}; asking again");
        tokio::time::sleep(PAUSE * 2_u32.pow(self.failed - 1)).await;
        Ok(())
    }
}

impl Fetcher {
    pub fn new(token: Option<Secret>, page: Url) -> anyhow::Result<Self> {
        // The hub redirects to the hosts of its files; the client takes the token out on the way to another host.
        let http = reqwest::Client::builder()
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            .redirect(redirect::Policy::limited(5))
            .build()?;
        Ok(Self { http, token, page })
    }

    /// Fetches the header of weights; gives it as it stands in the file, too.
    pub async fn header(
        &self,
        url: Url,
        file: &HubFile,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<(Header, Vec<u8>)> {
        let start = self.range(&url, 0, 8, progress).await?;
        let length = start.first_chunk().context("it ends before its header")?;
        let extent = Header::extent(&file.path, *length)?;
        let bytes = self.range(&url, 0, extent, progress).await?;
        let header = Header::parse(&file.path, &bytes)?;
        let length = header.file_bytes();
        ensure!(
            file.bytes.is_none_or(|listed| listed == length),
            "its header says {length} bytes, the hub {}",
            file.bytes.unwrap_or_default()
        );
        Ok((header, bytes))
    }

    /// Bytes of a file, `from` to before `to`; a server that sends more is not listened to any further.
    async fn range(
        &self,
        url: &Url,
        from: u64,
        to: u64,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<Vec<u8>> {
        let mut attempts = Attempts::default();
        loop {
            match self.range_once(url, from, to).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => attempts.after(error, progress).await?,
            }
        }
    }

    async fn range_once(&self, url: &Url, from: u64, to: u64) -> anyhow::Result<Vec<u8>> {
        let last = to.saturating_sub(1);
        let response = self.ask(url, Some(format!("bytes={from}-{last}"))).await?;
        let wanted = usize::try_from(to - from)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => is_part_from(from, &response)?,
            // The whole file, of which the beginning is read.
            StatusCode::OK if from == 0 => {}
            status => return Err(self.refusal(status, &response)),
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
    pub async fn file(
        &self,
        url: Url,
        path: &Path,
        file: &HubFile,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<()> {
        let size = file.bytes.unwrap_or_default();
        if path.is_file() && check(path, file).is_ok() {
            progress.had(size);
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        let part = part(path);
        let length = || fs::metadata(&part).map_or(0, |meta| meta.len());
        let begun = length();
        progress.had(begun.min(size));
        let mut attempts = Attempts::default();
        loop {
            let before = length();
            match self.go_on(&url, &part, file, progress).await {
                Ok(()) => break,
                Err(error) => {
                    if length() >= before + SOMETHING {
                        attempts = Attempts::default();
                    }
                    let failed = || format!("fetching {}", file.path);
                    attempts.after(error, progress).await.with_context(failed)?;
                }
            }
        }
        if let Err(error) = check(&part, file) {
            fs::remove_file(&part)?;
            // What lay there may have been of another revision.
            if begun == 0 {
                return Err(error);
            }
            progress.say(&format!("{error:#}; fetching it anew"))?;
            progress.lost(size);
            return Box::pin(self.file(url, path, file, progress)).await;
        }
        fs::rename(&part, path).with_context(|| format!("renaming {}", part.display()))
    }

    async fn go_on(
        &self,
        url: &Url,
        part: &Path,
        file: &HubFile,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<()> {
        let have = fs::metadata(part).map_or(0, |meta| meta.len());
        if have > 0 && file.bytes == Some(have) {
            return Ok(());
        }
        let range = (have > 0).then(|| format!("bytes={have}-"));
        let response = self.ask(url, range).await?;
        let goes_on = match response.status() {
            StatusCode::OK => false,
            StatusCode::PARTIAL_CONTENT => {
                is_part_from(have, &response)?;
                true
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                fs::remove_file(part)?;
                progress.lost(have);
                bail!("what was fetched before does not fit");
            }
            status => return Err(self.refusal(status, &response)),
        };
        if !goes_on {
            progress.lost(have);
        }
        let mut out = tokio::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .append(goes_on)
            .truncate(!goes_on)
            .open(part)
            .await
            .map_err(writing)?;
        let mut length = if goes_on { have } else { 0 };
        let received = async {
            let mut body = response.bytes_stream();
            while let Some(chunk) = body.next().await {
                let chunk = chunk?;
                length += chunk.len() as u64;
                if file.bytes.is_some_and(|bytes| length > bytes) {
                    return Err(Final("it is longer than the hub says".to_owned()).into());
                }
                out.write_all(&chunk).await.map_err(writing)?;
                progress.has(chunk.len() as u64)?;
            }
            anyhow::Ok(())
        }
        .await;
        // The last write may still be under way, and the next attempt goes by the file's length.
        out.flush().await.map_err(writing)?;
        received?;
        ensure!(
            file.bytes.is_none_or(|bytes| length == bytes),
            "the connection ended early"
        );
        Ok(())
    }

    async fn ask(&self, url: &Url, range: Option<String>) -> anyhow::Result<Response> {
        let mut request = self.http.get(url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        // The address may hold the query of a signed redirect, which is nobody's business.
        request
            .send()
            .await
            .map_err(|error| error.without_url().into())
    }

    /// Why there is no file, and what to do.
    fn refusal(&self, status: StatusCode, response: &Response) -> anyhow::Error {
        let headers = response.headers();
        let asked = pause_asked_for(headers, SystemTime::now());
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Later(asked.unwrap_or(UNSTATED_PAUSE)).into();
        }
        if let (StatusCode::SERVICE_UNAVAILABLE, Some(pause)) = (status, asked) {
            return Later(pause).into();
        }
        let number = status.as_u16();
        let code = headers.get("x-error-code").and_then(|v| v.to_str().ok());
        let text = match (status, code) {
            (_, Some("GatedRepo")) if self.token.is_none() => format!(
                "it is given to those alone who agreed to its terms on {}: do so, and give a token of yours by --hub-token",
                self.page
            ),
            (_, Some("GatedRepo")) => format!(
                "the token's owner has not agreed to its terms on {}, or was not let in yet",
                self.page
            ),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) if self.token.is_none() => {
                format!("it is not given without a token (status {number}): --hub-token names one")
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                format!("it is not given to the token's owner (status {number})")
            }
            (StatusCode::NOT_FOUND, _) => {
                "it is not there (status 404); the model may have been changed meanwhile".to_owned()
            }
            _ if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
                format!("the server answered with status {number}")
            }
            _ => return anyhow::anyhow!("the server answered with status {number}"),
        };
        Final(text).into()
    }
}

fn is_part_from(from: u64, response: &Response) -> anyhow::Result<()> {
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    ensure!(
        range.is_some_and(|range| range.starts_with(&format!("bytes {from}-"))),
        "the server sent another part"
    );
    Ok(())
}

/// A disk that cannot be written is not tried again.
fn writing(error: std::io::Error) -> anyhow::Error {
    let text = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk is full; what is here stays, and a second run goes on".to_owned()
        }
        _ => format!("it cannot be written: {error}"),
    };
    Final(text).into()
}
