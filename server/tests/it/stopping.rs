//! SIGTERM: whom the grace time belongs to.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{JobStatus, ModelSummary};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hub::{Folders, Hub, json as read};
use crate::renderers::stand_in::{Act, StandIn};
use crate::renderers::{MODEL, fox, request, toml};

/// An endpoint that takes that long for a picture.
async fn slow(time: Duration) -> StandIn {
    let image = json!({"data": [{"b64_json": STANDARD.encode(fox().0)}]});
    StandIn::start([Act::json(200, &image).after(time)]).await
}

/// A client that asks for a file of many megabytes and reads none of it.
async fn stalled(hub: &Hub) -> TcpStream {
    let models: Vec<ModelSummary> = read(hub.get("/api/v1/models").await).await;
    let package = models.iter().find_map(|model| model.package_url.clone());
    let package = package.unwrap();
    let folder = package
        .trim_end_matches("manifest.json")
        .trim_end_matches('/');
    let path = format!("{folder}/denoiser.onnx");
    assert_eq!(hub.send(reqwest::Method::HEAD, &path).await.status(), 200);
    let address = hub.url.trim_start_matches("http://");
    let mut client = TcpStream::connect(address).await.unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    client.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    // The buffers in between fill up.
    tokio::time::sleep(Duration::from_millis(500)).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_in_hand_is_finished_and_a_client_that_does_not_read_is_not_waited_for() {
    let stand_in = slow(Duration::from_millis(2_500)).await;
    let list = toml("openai-images", &stand_in.url, "", "");
    let options = ["--endpoints", &list, "--shutdown-grace-seconds=40"];
    let hub = Hub::with(&options).await;
    let _stalled = stalled(&hub).await;
    let job = hub.submit(&request()).await;
    let behind = hub.submit(&request()).await;
    hub.wait(&job.id, |view| view.status == JobStatus::Generating)
        .await;
    // It needs more than a second from here.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    let folders = hub.stop().await;
    let took = asked.elapsed();
    println!("stopped after {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let options = ["--endpoints", &list, "--embedded-worker=false"];
    let hub = Hub::over(folders, &options).await;
    let view = hub.job(&job.id).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Completed, 1));
    // The next one was not begun.
    let view = hub.job(&behind.id).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
    assert_eq!(stand_in.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_needs_longer_than_the_grace_waits_for_the_next_start() {
    let stand_in = slow(Duration::from_secs(3600)).await;
    let list = toml("openai-images", &stand_in.url, "", "");
    let options = ["--endpoints", &list, "--shutdown-grace-seconds=1"];
    let hub = Hub::with(&options).await;
    let job = hub.submit(&request()).await;
    hub.wait(&job.id, |view| view.status == JobStatus::Generating)
        .await;
    let asked = Instant::now();
    let folders = hub.stop().await;
    let took = asked.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    let hub = Hub::over(folders, &["--endpoints", &list, "--embedded-worker=false"]).await;
    let view = hub.job(&job.id).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
}

/// A request at the OpenAI address whose picture is being made.
struct Waiting {
    answer: tokio::task::JoinHandle<Response>,
}

async fn ask(hub: &Hub, stand_in: &StandIn, key: Option<&str>, stream: bool) -> Waiting {
    let body = json!({"model": MODEL, "prompt": "a red fox", "stream": stream});
    let url = format!("{}/v1/images/generations", hub.url);
    let mut request = hub.http.post(url).json(&body);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let before = stand_in.seen().len();
    let answer = tokio::spawn(async move { request.send().await.unwrap() });
    while stand_in.seen().len() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Waiting { answer }
}

/// Stops the hub; its answer to the request, and how long it took to stop.
async fn stopped(hub: Hub, waiting: Waiting) -> (Folders, StatusCode, Option<String>, String) {
    let (folders, answer) = tokio::join!(hub.stop(), async {
        let answer = waiting.answer.await.unwrap();
        let again = answer.headers().get("retry-after");
        let again = again.map(|again| again.to_str().unwrap().to_owned());
        (answer.status(), again, answer.text().await.unwrap())
    });
    (folders, answer.0, answer.1, answer.2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_openai_api_gets_the_picture_that_is_being_made() {
    for stream in [false, true] {
        let stand_in = slow(Duration::from_millis(1_500)).await;
        let list = toml("openai-images", &stand_in.url, "", "");
        let hub = Hub::with(&["--endpoints", &list, "--shutdown-grace-seconds=40"]).await;
        let waiting = ask(&hub, &stand_in, None, stream).await;
        let asked = Instant::now();
        let (_, status, _, text) = stopped(hub, waiting).await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert_eq!(status, StatusCode::OK, "{text}");
        if stream {
            assert!(text.contains("event: image_generation.completed"), "{text}");
            assert!(!text.contains("event: error"), "{text}");
        } else {
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert!(answer["data"][0]["b64_json"].is_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_openai_api_that_waits_in_vain_is_told_and_comes_back() {
    for (key, stream) in [(None, false), (Some("k1"), false), (None, true)] {
        let image = json!({"data": [{"b64_json": STANDARD.encode(fox().0)}]});
        let answer = Act::json(200, &image);
        let never = answer.clone().after(Duration::from_secs(3600));
        let stand_in = StandIn::start([never, answer]).await;
        let list = toml("openai-images", &stand_in.url, "", "");
        let hub = Hub::with(&["--endpoints", &list, "--shutdown-grace-seconds=1"]).await;
        let waiting = ask(&hub, &stand_in, key, stream).await;
        let (folders, status, again, text) = stopped(hub, waiting).await;
        assert!(text.contains("queue_unavailable"), "{text}");
        if stream {
            assert!(text.contains("event: error"), "{text}");
        } else {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(again.unwrap().parse::<u32>().unwrap() > 0);
        }
        let hub = Hub::over(folders, &["--endpoints", &list]).await;
        if key.is_some() {
            // Handed over: what was accepted is made after the restart, once.
            let waiting = hub
                .http
                .post(format!("{}/v1/images/generations", hub.url))
                .header("idempotency-key", "k1")
                .json(&json!({"model": MODEL, "prompt": "a red fox", "stream": false}));
            let made: Value = read(waiting.send().await.unwrap()).await;
            assert_eq!(made["data"].as_array().unwrap().len(), 1);
            assert_eq!(stand_in.seen().len(), 2);
        }
        // Nobody can come back for the others: they are not made.
        let depth: Value = read(hub.get("/api/v1/queue").await).await;
        let models = depth["models"].as_array().unwrap();
        let own = models.iter().find(|model| model["id"] == MODEL).unwrap();
        assert_eq!(own["unfinished"], 0, "{key:?} {stream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_picture_was_not_begun_is_not_kept_waiting() {
    let stand_in = slow(Duration::from_secs(6)).await;
    let list = toml("openai-images", &stand_in.url, "", "");
    let hub = Hub::with(&["--endpoints", &list, "--shutdown-grace-seconds=40"]).await;
    let first = ask(&hub, &stand_in, None, false).await;
    let body = json!({"model": MODEL, "prompt": "a red fox"});
    let url = format!("{}/v1/images/generations", hub.url);
    let behind = tokio::spawn(hub.http.post(url).json(&body).send());
    let two = async {
        loop {
            let depth: Value = read(hub.get("/api/v1/queue").await).await;
            if depth.to_string().contains("\"unfinished\":2") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), two)
        .await
        .unwrap();
    let stopping = tokio::spawn(stopped(hub, first));
    let refused = behind.await.unwrap().unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The one before it is still being made.
    assert!(!stopping.is_finished());
    let (_, status, _, text) = stopping.await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
}
