//! SIGTERM: whom the grace time belongs to.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{JobStatus, ModelSummary};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hub::{Hub, json as read};
use crate::renderers::stand_in::{Act, StandIn};
use crate::renderers::{fox, request, toml};

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
