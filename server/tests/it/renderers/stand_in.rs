//! An endpoint that answers as it is told, over real HTTP.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use futures::StreamExt;
use serde_json::Value;

/// An answer.
#[derive(Clone)]
pub struct Act {
    wait: Duration,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    cut_off: bool,
    stalls: bool,
    endless: bool,
}

/// A request that arrived.
#[derive(Clone)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Value,
}

#[derive(Clone)]
pub struct StandIn {
    pub url: String,
    answers: Arc<dyn Fn(&Seen) -> Act + Send + Sync>,
    seen: Arc<Mutex<Vec<Seen>>>,
    now: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Act {
    pub fn say(status: u16, mime: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            wait: Duration::ZERO,
            status,
            headers: vec![("content-type", mime.to_owned())],
            body: body.into(),
            cut_off: false,
            stalls: false,
            endless: false,
        }
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self::say(status, "application/json", body.to_string())
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Breaks the connection in the middle of the body.
    pub fn cut_off(mut self) -> Self {
        self.cut_off = true;
        self
    }

    /// Sends half of the body, and then nothing any more.
    pub fn stalling(mut self) -> Self {
        self.stalls = true;
        self
    }

    /// Repeats the body until the client gives up, without a length.
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    fn response(self) -> Response {
        let mut response = Response::builder().status(StatusCode::from_u16(self.status).unwrap());
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        let chunk = Bytes::from(self.body);
        let body = if self.endless {
            Body::from_stream(futures::stream::repeat(chunk).map(Ok::<_, std::io::Error>))
        } else if self.cut_off || self.stalls {
            response = response.header("content-length", chunk.len());
            let half = chunk.slice(..chunk.len() / 2);
            let broken = Err(std::io::Error::other("cut off"));
            let pause = if self.stalls { 3_600_000 } else { 20 };
            // Yields in between, so that the first half is really sent.
            let parts = futures::stream::iter([Ok(half), broken]).then(move |part| async move {
                if part.is_err() {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                part
            });
            Body::from_stream(parts)
        } else {
            Body::from(chunk)
        };
        response.body(body).unwrap()
    }
}

impl StandIn {
    /// Answers the first request with the first act, and so on; the last act is repeated.
    pub async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let acts: Mutex<VecDeque<Act>> = Mutex::new(acts.into_iter().collect());
        Self::answering(move |_| {
            let mut acts = acts.lock().unwrap();
            let next = acts.front().cloned().unwrap();
            if acts.len() > 1 {
                acts.pop_front();
            }
            next
        })
        .await
    }

    /// Answers every request with what `answers` makes of it.
    pub async fn answering(answers: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stand_in = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::new(answers),
            seen: Arc::default(),
            now: Arc::default(),
            peak: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stand_in
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Most requests that were being answered at one time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }
}

async fn answer(State(stand_in): State<StandIn>, request: Request) -> Response {
    let now = stand_in.now.fetch_add(1, Ordering::SeqCst) + 1;
    stand_in.peak.fetch_max(now, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let seen = Seen {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let act = (stand_in.answers)(&seen);
    stand_in.seen.lock().unwrap().push(seen);
    tokio::time::sleep(act.wait).await;
    stand_in.now.fetch_sub(1, Ordering::SeqCst);
    act.response()
}
