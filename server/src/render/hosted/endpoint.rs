//! What every protocol shares: one request with its time-out, retries, breaker, capacity and caps.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use diffusion::{Cancel, Picture};
use protocol::ResolvedRequest;
use reqwest::{Response, StatusCode, header, redirect};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::breaker::Breaker;
use super::config::{EndpointConfig, ModelConfig};
use super::error::{EndpointError, EndpointErrorKind as Kind};
use super::{Dialect, Found, picture, retry};
use crate::config::Secret;
use crate::telemetry::metrics;

/// How often a request in flight looks whether its job was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(25);
/// Largest error body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Longest text of an endpoint that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// An endpoint in use; all renderers that share it share its breaker and capacity.
pub struct Endpoint {
    config: EndpointConfig,
    base: Url,
    key: Option<Secret>,
    http: reqwest::Client,
    slots: Semaphore,
    breaker: Breaker,
}

impl Endpoint {
    /// Sets an endpoint up; its key is read from the environment.
    ///
    /// # Errors
    /// When the variable of the key is not set, or the HTTP client cannot be made.
    pub fn new(config: EndpointConfig) -> anyhow::Result<Self> {
        let key = match &config.api_key_env {
            None => None,
            Some(name) => Some(Secret::new(std::env::var(name).with_context(|| {
                format!("the key of endpoint {:?} should be in {name}", config.name)
            })?)),
        };
        Self::with_key(config, key)
    }

    /// As [`Self::new`], with the key itself.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn with_key(config: EndpointConfig, key: Option<Secret>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(config.connect_timeout_seconds))
            // A redirect would carry the prompt elsewhere.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self {
            base: Url::parse(&config.url)?,
            slots: Semaphore::new(config.max_in_flight as usize),
            breaker: Breaker::new(
                config.breaker_failures,
                Duration::from_secs(config.breaker_seconds),
            ),
            key,
            http,
            config,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// Its model of that id.
    pub fn model(&self, id: &str) -> Option<&ModelConfig> {
        self.config.models.iter().find(|model| model.id == id)
    }

    /// Its base address followed by `path`, each part as one segment.
    pub(super) fn address(&self, path: &[&str]) -> Result<Url, String> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| "url takes no path".to_owned())?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// Has one picture made.
    pub(super) async fn picture<D: Dialect>(
        &self,
        dialect: &D,
        model: &ModelConfig,
        request: &ResolvedRequest,
        cancel: &Cancel,
    ) -> Result<Picture, EndpointError> {
        tokio::select! {
            biased;
            () = cancelled(cancel) => Err(self.error(Kind::Cancelled)),
            made = self.attempts(dialect, model, request) => made,
        }
    }

    async fn attempts<D: Dialect>(
        &self,
        dialect: &D,
        model: &ModelConfig,
        request: &ResolvedRequest,
    ) -> Result<Picture, EndpointError> {
        let deadline = Instant::now() + Duration::from_secs(self.config.timeout_seconds);
        let Ok(Ok(_slot)) = timeout_at(deadline, self.slots.acquire()).await else {
            return Err(self.error(Kind::Busy {
                status: 429,
                retry_after: None,
            }));
        };
        let mut attempt = 1;
        loop {
            let admission = self
                .breaker
                .admit(std::time::Instant::now())
                .map_err(|retry_after| self.error(Kind::LeftAlone { retry_after }))?;
            let begun = std::time::Instant::now();
            let made = timeout_at(deadline, self.once(dialect, model, request)).await;
            let made = made.unwrap_or(Err(Kind::TimedOut));
            let outcome = made.as_ref().map_or_else(Kind::label, |_| "ok");
            metrics::upstream(&self.config.name, outcome, begun.elapsed());
            let kind = match made {
                Ok(picture) => {
                    admission.succeeded();
                    return Ok(picture);
                }
                Err(kind) => kind,
            };
            if kind.is_endpoints_fault() {
                admission.failed(std::time::Instant::now());
            } else if matches!(kind, Kind::Refused { .. }) {
                admission.succeeded();
            } else {
                drop(admission);
            }
            let error = self.error(kind);
            let pause = retry::pause(attempt, error.kind.retry_after(), crate::random::fraction());
            if !error.may_repeat
                || attempt >= self.config.attempts
                || Instant::now() + pause >= deadline
            {
                return Err(error);
            }
            tracing::warn!(%error, attempt, pause = ?pause, "trying the endpoint again");
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn once<D: Dialect>(
        &self,
        dialect: &D,
        model: &ModelConfig,
        request: &ResolvedRequest,
    ) -> Result<Picture, Kind> {
        let bad = |detail: String| Kind::BadAnswer { detail };
        let outgoing = dialect.outgoing(self, model, request).map_err(bad)?;
        let mut post = self
            .http
            .post(outgoing.url)
            .header(header::ACCEPT, outgoing.accept)
            .json(&outgoing.body);
        if let Some(key) = &self.key {
            post = post.bearer_auth(key.expose());
        }
        let response = self.accepted(post.send().await.map_err(sending)?).await?;
        let content_type = content_type(&response);
        let body = capped(response, self.config.max_response_bytes).await?;
        match dialect.found(model, &content_type, body).map_err(bad)? {
            Found::Pixels(picture) => Ok(picture),
            Found::File(file) => picture::decode(&file, model.width, model.height).map_err(bad),
            Found::Address(address) => {
                let file = self.download(&address).await?;
                picture::decode(&file, model.width, model.height).map_err(bad)
            }
        }
    }

    /// Fetches the file that an answer points to, without the key. Only known origins: an answer must not make
    /// the hub read addresses inside its own network.
    async fn download(&self, address: &str) -> Result<Vec<u8>, Kind> {
        let bad = |detail: &str| Kind::BadAnswer {
            detail: detail.to_owned(),
        };
        let url = self
            .base
            .join(address)
            .map_err(|_| bad("the picture's address is none"))?;
        let origin = url.origin();
        let known = origin == self.base.origin()
            || self
                .config
                .image_origins
                .iter()
                .any(|known| Url::parse(known).is_ok_and(|known| known.origin() == origin));
        if !known {
            return Err(bad(
                "the picture's address is neither the endpoint's nor one of image_origins",
            ));
        }
        let response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|_| Kind::BrokenOff)?;
        if !response.status().is_success() {
            return Err(Kind::BadAnswer {
                detail: format!("the picture's address answers {}", response.status()),
            });
        }
        capped(response, self.config.max_response_bytes).await
    }

    async fn accepted(&self, response: Response) -> Result<Response, Kind> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let code = status.as_u16();
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let asked = retry::retry_after(response.headers(), SystemTime::now());
                let body = capped(response, MAX_ERROR_BYTES).await.unwrap_or_default();
                Kind::Busy {
                    status: code,
                    retry_after: asked.or_else(|| estimated_time(&body)),
                }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Credentials { status: code },
            _ if status.is_server_error() => Kind::Failed { status: code },
            _ if status.is_client_error() => {
                let body = capped(response, MAX_ERROR_BYTES).await.unwrap_or_default();
                Kind::Refused {
                    status: code,
                    message: self.message(&body),
                }
            }
            _ => Kind::BadAnswer {
                detail: format!("status {code}"),
            },
        })
    }

    /// The sentence of an error body: `{"error": {"message": …}}` (OpenAI), `{"error": …}` (the others).
    fn message(&self, body: &[u8]) -> String {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &json["error"];
        let text = error["message"]
            .as_str()
            .or_else(|| error.as_str())
            .or_else(|| error[0].as_str())
            .unwrap_or("no reason given");
        let text = match &self.key {
            Some(key) if !key.expose().is_empty() => text.replace(key.expose(), "…"),
            _ => text.to_owned(),
        };
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_MESSAGE_CHARS)
            .collect()
    }

    fn error(&self, kind: Kind) -> EndpointError {
        EndpointError {
            endpoint: self.config.name.clone(),
            may_repeat: kind.is_before_work() || (self.config.idempotent && kind.is_ambiguous()),
            kind,
        }
    }
}

async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        sleep(CANCEL_POLL).await;
    }
}

fn sending(error: reqwest::Error) -> Kind {
    if error.is_connect() {
        Kind::Unreachable
    } else if error.is_timeout() {
        Kind::TimedOut
    } else {
        Kind::BrokenOff
    }
}

fn content_type(response: &Response) -> String {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// Hugging Face answers 503 with `estimated_time` in seconds while a model loads.
fn estimated_time(body: &[u8]) -> Option<Duration> {
    let json: Value = serde_json::from_slice(body).ok()?;
    Duration::try_from_secs_f64(json["estimated_time"].as_f64()?).ok()
}

async fn capped(mut response: Response, cap: usize) -> Result<Vec<u8>, Kind> {
    let too_large = || Kind::BadAnswer {
        detail: format!("more than {cap} bytes"),
    };
    if response.content_length().is_some_and(|n| n > cap as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Kind::BrokenOff)? {
        if body.len() + chunk.len() > cap {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
