//! Figures for docs/performance.md: `cargo test -p server --test it measure -- --ignored --nocapture --test-threads 1`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{GenerationRequest, ImageRef, JobStatus};
use reqwest::StatusCode;
use server::jobs::{MemoryQueue, Outcome, Queue, Role, Submission};

use crate::cluster::Cluster;
use crate::hub::{GLYPH, request};
use crate::nats::Nats;

const JOBS: usize = 300;

fn milliseconds(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("median {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99))
}

/// From before the submission until the end is stored, with nothing in between but the queue's own work.
async fn overhead(name: &str, app: Arc<dyn Queue>, worker: Arc<dyn Queue>) {
    let working = tokio::spawn(async move {
        let models = [GLYPH.to_owned()];
        for _ in 0..JOBS {
            let claim = loop {
                if let Some(claim) = worker.pull(&models, Duration::from_secs(5)).await.unwrap() {
                    break claim;
                }
            };
            let picture = ImageRef {
                url: "/images/x.png".into(),
                permalink: "/i/x".into(),
            };
            assert!(claim.finish(Outcome::Completed(picture)).await.unwrap());
        }
    });
    let mut times = Vec::new();
    for seed in 0..JOBS {
        let submission = Submission {
            request: request("red apple", seed as u64),
            fingerprint: [0; 32],
            idempotency_key: None,
        };
        let started = Instant::now();
        let id = app.submit(submission).await.unwrap().id;
        while app.get(&id).await.unwrap().status != JobStatus::Completed {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(started.elapsed());
    }
    working.await.unwrap();
    println!("queue overhead per job, {name}: {}", milliseconds(times));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn queue_overhead() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(16, Duration::from_secs(60)));
    overhead("in process", Arc::clone(&queue), queue).await;
    let nats = Nats::start();
    let app = Arc::new(nats.queue(16, Role::App).await);
    let worker = Arc::new(nats.queue(16, Role::Worker).await);
    overhead("NATS", app, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn cancelling() {
    let cluster = Cluster::start(&[]).await;
    let app = cluster.app();
    let _worker = cluster.worker(&[]);
    let (mut times, mut steps) = (Vec::new(), Vec::new());
    for seed in 0..10 {
        let long = GenerationRequest {
            num_inference_steps: Some(50),
            ..request("red apple", seed)
        };
        let job = cluster.submit(&app, &long).await;
        let begun = cluster
            .wait(&app, &job.id, |view| view.progress.step >= 1)
            .await;
        let (from, at) = (begun.progress.step, Instant::now());
        let later = cluster
            .wait(&app, &job.id, |view| view.progress.step >= from + 4)
            .await;
        steps.push(at.elapsed() / (later.progress.step - from));
        let url = format!("{}/api/v1/jobs/{}", app.url, job.id);
        let asked = Instant::now();
        cluster.http.delete(url).send().await.unwrap();
        cluster
            .wait(&app, &job.id, |view| view.status.is_final())
            .await;
        times.push(asked.elapsed());
    }
    println!(
        "cancel until the worker has stopped: {}",
        milliseconds(times)
    );
    println!("one step: {}", milliseconds(steps));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn submitting_and_asking() {
    /// Connections per replica.
    const CONNECTIONS: usize = 16;
    for replicas in [1, 2, 4] {
        let cluster = Arc::new(Cluster::start(&["--queue-capacity=10000"]).await);
        let apps: Arc<Vec<_>> = Arc::new((0..replicas).map(|_| cluster.app()).collect());
        let started = Instant::now();
        let clients = (0..replicas * CONNECTIONS).map(|client| {
            let (cluster, apps) = (Arc::clone(&cluster), Arc::clone(&apps));
            tokio::spawn(async move {
                let app = &apps[client % apps.len()];
                let (mut submits, mut asks) = (Vec::new(), Vec::new());
                for seed in 0..25 {
                    let at = Instant::now();
                    let answer = cluster.post(app, &request("red apple", seed), None).await;
                    submits.push(at.elapsed());
                    assert_eq!(answer.status(), StatusCode::ACCEPTED);
                    let job: protocol::JobCreated = answer.json().await.unwrap();
                    for _ in 0..3 {
                        let at = Instant::now();
                        cluster.job(app, &job.id).await;
                        asks.push(at.elapsed());
                    }
                }
                (submits, asks)
            })
        });
        let (mut submits, mut asks) = (Vec::new(), Vec::new());
        for client in futures::future::join_all(clients).await {
            let (s, a) = client.unwrap();
            submits.extend(s);
            asks.extend(a);
        }
        let requests = (submits.len() + asks.len()) as f64;
        println!(
            "{replicas} replicas, {} connections: {:.0} requests/s; submit {}; status {}",
            replicas * CONNECTIONS,
            requests / started.elapsed().as_secs_f64(),
            milliseconds(submits),
            milliseconds(asks)
        );
    }
}
