//! What operators see of a hub that worked: counters, the log, and traces at a stand-in collector.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::hub::{Folders, Hub, models_dir, request};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PATIENCE: Duration = Duration::from_secs(120);

/// The value of the one line that begins with `name` and holds all of `labels`.
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let found: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
        .collect();
    let [line] = found[..] else {
        panic!("{name} {labels:?}: {found:?}\n{metrics}");
    };
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_this_machine_alone() {
    let hub = Hub::start().await;
    let answer = hub.get("/metrics").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
        let through_proxy = reqwest::Client::new()
            .get(format!("{}/metrics", hub.url))
            .header(header, "127.0.0.1")
            .send()
            .await
            .unwrap();
        assert_eq!(through_proxy.status(), StatusCode::NOT_FOUND, "{header}");
    }
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_worked_can_say_what_it_did() {
    let spans: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let kept = Arc::clone(&spans);
    let collector = Router::new().route(
        "/v1/traces",
        post(move |body: Bytes| {
            kept.lock().unwrap().push(body);
            async { StatusCode::OK }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector_at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, collector).await });

    let folders = Folders::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_demo-hub"))
        .args(["serve", "--listen=127.0.0.1:0", "--s3-listen=127.0.0.1:0"])
        .args([
            "--renderer=cpu",
            "--catalog-online=false",
            "--log-format=json",
        ])
        .args(["--metrics-listen=127.0.0.1:0", "--otlp-endpoint"])
        .arg(format!("http://{collector_at}/v1/traces"))
        .arg("--data")
        .arg(folders.data.path())
        .arg("--site-dir")
        .arg(folders.site.path())
        .arg("--models-dir")
        .arg(models_dir())
        .env("RUST_LOG", "info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log: Arc<Mutex<Vec<Value>>> = Arc::default();
    let lines = Arc::clone(&log);
    let errors = child.stderr.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "text": line }));
            lines.lock().unwrap().push(line);
        }
    });
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut server = Process(child);
    let said = out.lines().next().unwrap().unwrap();
    let url = said.strip_prefix("Demo Hub is at ").unwrap().to_owned();

    let client = reqwest::Client::new();
    let created: Value = client
        .post(format!("{url}/api/v1/jobs"))
        .header("traceparent", format!("00-{TRACE_ID}-00f067aa0ba902b7-01"))
        .json(&request("red apple", 7))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let job = format!("{url}/api/v1/jobs/{}", created["id"].as_str().unwrap());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let view: Value = client.get(&job).send().await.unwrap().json().await.unwrap();
        if view["status"] == "completed" {
            break;
        }
        assert!(
            Instant::now() < deadline && view["status"] != "failed",
            "{view}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let missing = client
        .get(format!("{url}/api/v1/nothing"))
        .send()
        .await
        .unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);

    let find = |wanted: &dyn Fn(&Value) -> bool| {
        log.lock()
            .unwrap()
            .iter()
            .find(|line| wanted(line))
            .cloned()
    };
    let port = find(&|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("metrics are at"))
    })
    .expect("the port of metrics is in the log");
    let port = port["message"]
        .as_str()
        .unwrap()
        .strip_prefix("metrics are at ")
        .unwrap()
        .to_owned();
    let metrics = client.get(port).send().await.unwrap().text().await.unwrap();
    let submitted = [
        "method=\"POST\"",
        "route=\"/api/v1/jobs\"",
        "status=\"202\"",
    ];
    assert_eq!(
        value(&metrics, "demo_hub_http_requests_total", &submitted),
        1.0
    );
    let model = "model=\"demo-hub/glyph\"";
    for (name, labels) in [
        (
            "demo_hub_http_request_duration_seconds_count",
            &["route=\"/api/v1/jobs\""][..],
        ),
        ("demo_hub_jobs_submitted_total", &[model]),
        ("demo_hub_job_attempts_total", &[model]),
        (
            "demo_hub_job_attempt_ends_total",
            &[model, "outcome=\"completed\""],
        ),
        ("demo_hub_job_wait_seconds_count", &[model]),
        ("demo_hub_job_duration_seconds_count", &[model]),
        ("demo_hub_pictures_stored_total", &["origin=\"server\""]),
        ("demo_hub_workers", &[]),
    ] {
        assert_eq!(value(&metrics, name, labels), 1.0, "{name}");
    }
    assert!(
        value(
            &metrics,
            "demo_hub_picture_bytes_stored_total",
            &["origin=\"server\""]
        ) > 1_000.0
    );
    assert_eq!(value(&metrics, "demo_hub_jobs_waiting", &[model]), 0.0);

    let line = find(&|line| line["target"] == "server::access" && line["status"] == 202)
        .expect("an access line");
    assert_eq!(line["message"], "POST /api/v1/jobs");
    assert_eq!(line["complete"], true);
    assert!(
        line["ms"].is_u64() && line["bytes"].as_u64().unwrap() > 10,
        "{line}"
    );
    assert!(
        line["span"]["id"].as_str().is_some_and(|id| !id.is_empty()),
        "{line}"
    );
    let loud = find(&|line| line["level"] == "ERROR");
    assert!(loud.is_none(), "a healthy hub logs no error: {loud:?}");

    // The last spans are sent when the process ends.
    crate::cluster::signal("TERM", &server.0.id().to_string());
    assert!(server.0.wait().unwrap().success());
    let sent: Vec<u8> = spans
        .lock()
        .unwrap()
        .iter()
        .flat_map(|body| body.to_vec())
        .collect();
    let id = hex::decode(TRACE_ID).unwrap();
    let holds = |bytes: &[u8]| {
        sent.windows(bytes.len())
            .filter(|window| *window == bytes)
            .count()
    };
    for span in ["request", "job", "make", "save"] {
        assert!(holds(span.as_bytes()) > 0, "no span {span}");
    }
    assert!(
        holds(&id) >= 4,
        "one trace from the page's request to the worker: {}",
        holds(&id)
    );
}
