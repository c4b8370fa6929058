//! A store whose requests wait on their way: races happen every time instead of now and then.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use tokio::net::TcpListener;

/// A proxy in front of a store.
#[derive(Clone)]
pub struct SlowStore {
    pub endpoint: String,
    to: String,
    http: reqwest::Client,
    delays: Arc<Mutex<Vec<Delay>>>,
    seen: Arc<Mutex<Vec<(Method, String)>>>,
}

struct Delay {
    method: Method,
    /// Part of the path and query, which begins with the bucket.
    part: String,
    wait: Duration,
}

impl SlowStore {
    pub async fn before(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slow = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            to: store.to_owned(),
            http: reqwest::Client::new(),
            delays: Arc::default(),
            seen: Arc::default(),
        };
        let router = axum::Router::new()
            .fallback(forward)
            .with_state(slow.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        slow
    }

    /// Requests of that method whose path and query hold `part` wait from now on.
    pub fn delay(&self, method: Method, part: &str, milliseconds: u64) {
        self.delays.lock().unwrap().push(Delay {
            method,
            part: part.to_owned(),
            wait: Duration::from_millis(milliseconds),
        });
    }

    /// Requests of that method (all without one) whose path and query held `part`.
    pub fn seen(&self, method: &str, part: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let found = seen.iter().filter(|(of, target)| {
            (method.is_empty() || of.as_str() == method) && target.contains(part)
        });
        found.count()
    }

    /// Nothing waits any more.
    pub fn hurry(&self) {
        self.delays.lock().unwrap().clear();
    }

    fn wait_of(&self, method: &Method, target: &str) -> Duration {
        let delays = self.delays.lock().unwrap();
        let mut found = delays
            .iter()
            .filter(|delay| delay.method == *method && target.contains(&delay.part));
        found.next().map_or(Duration::ZERO, |delay| delay.wait)
    }
}

async fn forward(State(slow): State<SlowStore>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap().as_str();
    let request = (parts.method.clone(), target.to_owned());
    slow.seen.lock().unwrap().push(request);
    tokio::time::sleep(slow.wait_of(&parts.method, target)).await;
    // The `host` header stays: it is signed.
    let answer = slow
        .http
        .request(parts.method, format!("{}{target}", slow.to))
        .headers(parts.headers)
        .body(axum::body::to_bytes(body, 16 << 20).await.unwrap())
        .send()
        .await
        .unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "connection" {
            response = response.header(name, value);
        }
    }
    response.body(answer.bytes().await.unwrap().into()).unwrap()
}
