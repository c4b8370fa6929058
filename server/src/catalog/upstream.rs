//! One host that the catalogue asks: time-out, cap on answers, requests at a time, pauses that it asked for.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use protocol::{Trouble, TroubleKind};
use reqwest::header::{ACCEPT, HeaderMap, LINK};
use reqwest::{StatusCode, redirect};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use crate::config::Secret;
use crate::render::hosted::retry::retry_after;
use crate::telemetry::metrics;

/// Redirects that are followed, on the same origin only: renamed models redirect to their new name.
const MAX_REDIRECTS: usize = 4;
/// Pause after a host could not be reached.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(30);
/// Pause after a host asked for one without saying how long.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause that is honoured.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How a host is asked.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// Address that paths are appended to.
    pub base: Url,
    /// Bearer token.
    pub token: Option<Secret>,
    /// When a request is given up, the wait for its turn included.
    pub timeout: Duration,
    /// Largest answer in bytes.
    pub max_bytes: usize,
    /// Requests at a time.
    pub concurrency: u32,
    /// Time between the starts of two requests.
    pub interval: Duration,
}

/// A host in use.
pub struct Upstream {
    options: UpstreamOptions,
    host: String,
    http: reqwest::Client,
    slots: Semaphore,
    next_start: tokio::sync::Mutex<Instant>,
    pause: Mutex<Option<Pause>>,
}

struct Pause {
    until: Instant,
    trouble: Trouble,
}

/// A successful answer.
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// Address of the next page (`Link: <…>; rel="next"`, RFC 8288).
    pub next: Option<Url>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// For visitors.
    pub trouble: Trouble,
    /// How long the host wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the host found fault with the request itself (status 400).
    pub bad_request: bool,
}

impl Failure {
    /// A failure of a kind with a sentence.
    pub fn new(kind: TroubleKind, detail: impl Into<String>) -> Self {
        Self {
            trouble: Trouble {
                kind,
                detail: detail.into(),
            },
            retry_after: None,
            bad_request: false,
        }
    }
}

impl Upstream {
    /// Sets a host up; nothing is sent yet.
    ///
    /// # Errors
    /// When the address is no `http` or `https` one, or the HTTP client cannot be made.
    pub fn new(options: UpstreamOptions) -> anyhow::Result<Self> {
        let base = &options.base;
        anyhow::ensure!(
            matches!(base.scheme(), "http" | "https") && base.has_host(),
            "{base} is no http address"
        );
        let origin = base.origin();
        let http = reqwest::Client::builder()
            .connect_timeout(options.timeout)
            .user_agent(concat!("demo-hub/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::custom(move |attempt| {
                if attempt.url().origin() != origin || attempt.previous().len() > MAX_REDIRECTS {
                    attempt.stop()
                } else {
                    attempt.follow()
                }
            }))
            .build()?;
        Ok(Self {
            host: base.host_str().unwrap_or_default().to_owned(),
            slots: Semaphore::new(options.concurrency as usize),
            next_start: tokio::sync::Mutex::new(Instant::now()),
            pause: Mutex::new(None),
            http,
            options,
        })
    }

    /// Name of the host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its address followed by `path`, each part as one segment.
    pub fn address(&self, path: &[&str]) -> Url {
        let mut url = self.options.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Asks for `url`, an address of [`Self::address`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(&self, url: Url, accept: &str) -> Result<Answer, Failure> {
        self.resting()?;
        let begun = std::time::Instant::now();
        let result = timeout(self.options.timeout, self.ask(url, accept))
            .await
            .unwrap_or_else(|_| {
                let seconds = self.options.timeout.as_secs_f32();
                Err(self.fail(
                    TroubleKind::Timeout,
                    format!("did not answer within {seconds} s"),
                ))
            });
        let outcome = result
            .as_ref()
            .map_or_else(|failure| label(failure.trouble.kind), |_| "ok");
        metrics::upstream(&self.host, outcome, begun.elapsed());
        if let Err(failure) = &result {
            tracing::info!(host = self.host, kind = ?failure.trouble.kind, "no answer for the catalogue");
            self.rest(failure);
        }
        result
    }

    async fn ask(&self, url: Url, accept: &str) -> Result<Answer, Failure> {
        let closed = |_| self.fail(TroubleKind::Unreachable, "is not asked any more");
        let _slot = self.slots.acquire().await.map_err(closed)?;
        self.wait_for_turn().await;
        // The host may have asked for a pause while this request waited.
        self.resting()?;
        let mut request = self.http.get(url).header(ACCEPT, accept);
        if let Some(token) = &self.options.token {
            request = request.bearer_auth(token.expose());
        }
        let mut response = request.send().await.map_err(|error| self.sending(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refused(status, response.headers()));
        }
        let too_large = || {
            let cap = self.options.max_bytes;
            self.fail(TroubleKind::TooLarge, format!("sent more than {cap} bytes"))
        };
        let cap = self.options.max_bytes;
        if response.content_length().is_some_and(|n| n > cap as u64) {
            return Err(too_large());
        }
        let next = next_page(response.headers(), response.url());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.sending(&e))? {
            if body.len() + chunk.len() > cap {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { body, next })
    }

    async fn wait_for_turn(&self) {
        if self.options.interval.is_zero() {
            return;
        }
        let mut next = self.next_start.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + self.options.interval;
    }

    /// A failure, while the host is left alone.
    fn resting(&self) -> Result<(), Failure> {
        let pause = self.pause.lock().unwrap_or_else(|e| e.into_inner());
        let now = Instant::now();
        match &*pause {
            Some(pause) if pause.until > now => Err(Failure {
                trouble: pause.trouble.clone(),
                retry_after: Some(pause.until - now),
                bad_request: false,
            }),
            _ => Ok(()),
        }
    }

    /// Leaves the host alone after failures that concern every request to it.
    fn rest(&self, failure: &Failure) {
        let length = match failure.trouble.kind {
            TroubleKind::RateLimited => failure.retry_after.unwrap_or(DEFAULT_PAUSE),
            TroubleKind::Unreachable => UNREACHABLE_PAUSE,
            _ => match failure.retry_after {
                Some(asked) => asked,
                None => return,
            },
        };
        let until = Instant::now() + length.min(LONGEST_PAUSE);
        let mut pause = self.pause.lock().unwrap_or_else(|e| e.into_inner());
        if pause.as_ref().is_none_or(|pause| pause.until < until) {
            *pause = Some(Pause {
                until,
                trouble: failure.trouble.clone(),
            });
        }
    }

    fn fail(&self, kind: TroubleKind, what: impl std::fmt::Display) -> Failure {
        Failure::new(kind, format!("{} {what}", self.host))
    }

    /// The error's own text may hold the address with its query; only its kind is passed on.
    fn sending(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            self.fail(TroubleKind::Timeout, "did not answer in time")
        } else if error.is_connect() {
            self.fail(TroubleKind::Unreachable, "cannot be reached")
        } else if error.is_body() || error.is_decode() {
            self.fail(TroubleKind::Malformed, "broke its answer off")
        } else {
            self.fail(TroubleKind::Unreachable, "broke the connection off")
        }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        // The hub answers 401 for models that are not there, and tells the difference in a header.
        let code = headers.get("x-error-code").and_then(|v| v.to_str().ok());
        let kind = match (status, code) {
            (StatusCode::NOT_FOUND, _) | (_, Some("RepoNotFound")) => TroubleKind::NotFound,
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => TroubleKind::Forbidden,
            (StatusCode::TOO_MANY_REQUESTS, _) => TroubleKind::RateLimited,
            _ => TroubleKind::UpstreamFailed,
        };
        let what = match kind {
            TroubleKind::NotFound => "does not know it".to_owned(),
            TroubleKind::Forbidden => "does not show it without an agreement or a token".to_owned(),
            TroubleKind::RateLimited => "asked to be left alone for a while".to_owned(),
            _ => format!("answered with status {}", status.as_u16()),
        };
        let asked = || pause_asked_for(headers, SystemTime::now());
        Failure {
            retry_after: matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            )
            .then(asked)
            .flatten(),
            bad_request: status == StatusCode::BAD_REQUEST,
            ..self.fail(kind, what)
        }
    }
}

/// How a failure is counted.
fn label(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::Disabled => "disabled",
        TroubleKind::Unreachable => "unreachable",
        TroubleKind::Timeout => "timeout",
        TroubleKind::NotFound => "not_found",
        TroubleKind::Forbidden => "forbidden",
        TroubleKind::RateLimited => "rate_limited",
        TroubleKind::UpstreamFailed => "failed",
        TroubleKind::Malformed => "malformed",
        TroubleKind::TooLarge => "too_large",
    }
}

/// How long a host wants to be left alone, where it says so.
pub(crate) fn pause_asked_for(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers, now).or_else(|| window_reset(headers))
}

/// Seconds to the end of the window in the hub's `RateLimit: "api";r=0;t=55`.
fn window_reset(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("ratelimit")?.to_str().ok()?;
    let seconds = value
        .split(';')
        .find_map(|part| part.trim().strip_prefix("t="))?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

fn next_page(headers: &HeaderMap, asked: &Url) -> Option<Url> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            parameters
                .split(';')
                .any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"))
                .then(|| asked.join(target).ok())?
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    /// The example in the hub's documentation of its limits.
    #[test]
    fn the_hubs_rate_limit_header_is_read() {
        let reset = |value| window_reset(&headers("ratelimit", value));
        assert_eq!(reset("\"api\";r=0;t=55"), Some(Duration::from_secs(55)));
        assert_eq!(reset("\"api\";r=0"), None);
        assert_eq!(reset("\"api\";t=soon"), None);
    }

    #[test]
    fn links_to_the_next_page_are_found() {
        let asked = Url::parse("https://hub.example/api/models").unwrap();
        let next = |value| next_page(&headers("link", value), &asked).map(String::from);
        let address = "https://hub.example/api/models?cursor=eyJf&limit=2";
        let link = format!("<{address}>; rel=\"next\"");
        assert_eq!(next(&link).as_deref(), Some(address));
        let both = format!("<https://hub.example/a>; rel=\"prev\", {link}");
        assert_eq!(next(&both).as_deref(), Some(address));
        assert_eq!(
            next("</api/models?cursor=x>; rel=next").as_deref(),
            Some("https://hub.example/api/models?cursor=x")
        );
        assert_eq!(next("<https://hub.example/a>; rel=\"prev\""), None);
        assert_eq!(next("nonsense"), None);
    }
}
