//! Figures for docs/performance.md: a gallery of 100,000 records.
//!
//! `cargo test --release -p server --test it measure_gallery -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use protocol::{GalleryPage, ImageRecord};
use server::images::OwnerId;

use crate::crash::Server;
use crate::hub::{Folders, Hub, OWNER, picture};

const RECORDS: u64 = 100_000;
const PAGE: u64 = 24;
const RUNS: usize = 20;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The `n`-th newest id.
fn id(n: u64) -> String {
    // A step of a minute in the inverted time, which has nine digits.
    let time = (1 << 44) + n * 60_000;
    let digits = |value: u64, count: u32| -> String {
        let digit = |place| char::from(ALPHABET[(value >> (5 * place) & 31) as usize]);
        (0..count).rev().map(digit).collect()
    };
    format!(
        "{}{}",
        digits(time, 9),
        digits(n.wrapping_mul(0x9E37_79B9), 10)
    )
}

/// Writes the objects of that many records into the embedded store's folder.
fn fill(bucket: &Path, model: &ImageRecord, owner: &str) {
    let write = |key: String, bytes: &[u8]| {
        let path = bucket.join(key);
        if let Err(error) = std::fs::write(&path, bytes) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
    };
    for n in 0..RECORDS {
        let id = id(n);
        let sha256 = format!("{n:064x}");
        write(format!("model/demo-hub!glyph/{id}"), b"");
        write(format!("creator/demo-hub/{id}"), b"");
        write(format!("own/{owner}/{id}!demo-hub!glyph"), b"");
        write(format!("ref/{sha256}/{id}"), b"");
        let record = ImageRecord {
            permalink: format!("/i/{id}"),
            url: format!("/images/{sha256}.png"),
            id: id.clone(),
            sha256,
            ..model.clone()
        };
        let mut json = serde_json::to_value(&record).unwrap();
        json["owner"] = owner.into();
        json["state"] = "listed".into();
        write(format!("listed/{id}"), b"");
        write(format!("record/{id}.json"), json.to_string().as_bytes());
    }
}

/// Counts requests on their way to a store.
#[derive(Clone)]
struct Counter {
    to: String,
    http: reqwest::Client,
    seen: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Counter {
    async fn start(to: &str) -> (String, Self) {
        let counter = Self {
            to: to.to_owned(),
            http: reqwest::Client::new(),
            seen: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .fallback(forward)
            .with_state(counter.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (endpoint, counter)
    }

    fn take(&self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn forward(State(counter): State<Counter>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap().as_str();
    let kind = match parts.method.as_str() {
        "GET" if target.contains("list-type=2") => "list",
        "GET" => "get",
        _ => "other",
    };
    *counter.seen.lock().unwrap().entry(kind).or_default() += 1;
    let answer = counter
        .http
        .request(parts.method, format!("{}{target}", counter.to))
        .headers(parts.headers)
        .body(axum::body::to_bytes(body, 1 << 20).await.unwrap())
        .send()
        .await
        .unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    response
        .body(Body::from(answer.bytes().await.unwrap()))
        .unwrap()
}

/// `VmRSS` of a process in MiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        >> 10
}

fn milliseconds(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("median {:.1} ms, p95 {:.1} ms", at(0.5), at(0.95))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_gallery_of_100_000_records() {
    let hub = Hub::start().await;
    let model = hub.save(picture(1)).await;
    drop(hub);
    let folders = Folders::new();
    let owner = OwnerId::from_cookies(OWNER).unwrap().to_string();
    let at = Instant::now();
    fill(&folders.data.path().join("s3/demo-hub"), &model, &owner);
    println!(
        "{RECORDS} records written in {:.0} s",
        at.elapsed().as_secs_f64()
    );

    let store = Server::start(&folders, &[]);
    let keys = server::storage::credentials::load_or_create(folders.data.path()).unwrap();
    let (endpoint, counter) = Counter::start(&store.store).await;
    let hub = Server::start(
        &Folders::new(),
        &[
            "--s3-endpoint",
            &endpoint,
            "--s3-bucket=demo-hub",
            "--s3-access-key-id",
            &keys.access_key_id,
            "--s3-secret-access-key",
            keys.secret_access_key.expose(),
        ],
    );
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("cookie", OWNER.parse().unwrap());
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .build()
        .unwrap();
    println!(
        "before: hub {} MiB, store {} MiB",
        memory(&hub),
        memory(&store)
    );
    let last = RECORDS / PAGE;
    for filter in [
        "",
        "&model=demo-hub/glyph",
        "&creator=demo-hub",
        "&mine=true",
        "&mine=true&model=demo-hub/glyph",
    ] {
        for page in [1, 2, 500, last] {
            let (mut times, mut requests) = (Vec::new(), BTreeMap::new());
            for run in 0..=RUNS {
                let start = (page - 1) * PAGE;
                let cursor = match start {
                    0 => String::new(),
                    n => format!("&cursor={}", id(n - 1)),
                };
                counter.take();
                let at = Instant::now();
                let url = format!("{}/api/v1/images?limit={PAGE}{filter}{cursor}", hub.url);
                let answer: GalleryPage = http.get(url).send().await.unwrap().json().await.unwrap();
                if run == 0 {
                    println!(
                        "{filter} page {page}, cold: {:.1} ms",
                        at.elapsed().as_secs_f64() * 1e3
                    );
                } else {
                    times.push(at.elapsed());
                }
                requests = counter.take();
                let found: Vec<String> = answer.items.into_iter().map(|r| r.id).collect();
                assert!((start..start + PAGE).map(id).eq(found));
            }
            println!(
                "{filter} page {page}: {}; requests {requests:?}",
                milliseconds(times)
            );
        }
    }
    println!(
        "after: hub {} MiB, store {} MiB",
        memory(&hub),
        memory(&store)
    );

    let settings = server::storage::StoreSettings {
        endpoint: Some(store.store.clone()),
        public_endpoint: None,
        bucket: "demo-hub".into(),
        region: "us-east-1".into(),
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        path_style: true,
    };
    let at = Instant::now();
    let swept = crate::stores::sweep(server::storage::Store::new(&settings).unwrap()).await;
    println!(
        "a sweep: {:.1} s, {swept:?}; store {} MiB",
        at.elapsed().as_secs_f64(),
        memory(&store)
    );
}
