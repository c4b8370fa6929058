//! Figures for docs/performance.md, which `cargo xtask bench jobs` runs and prints: each is a line `measured {JSON}`.

mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{GenerationRequest, ImageRef, JobStatus};
use serde_json::{Value, json};
use server::jobs::{EmbeddedQueue, Outcome, Queue, Role, Submission};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::hub::{GLYPH, request, resolved};
use crate::nats::Nats;

const JOBS: u64 = 300;

fn measured(figures: &Value) {
    println!("measured {figures}");
}

/// The given share of the times is at most this long, in milliseconds.
fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let place = (times.len() as f64 * share) as usize;
    times[place.min(times.len() - 1)].as_secs_f64() * 1e3
}

/// A worker that ends every job at once, so that nothing but the queue's own work is measured.
fn idle_worker(queue: Arc<dyn Queue>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let models = [GLYPH.to_owned()];
        loop {
            let Some(claim) = queue.pull(&models, Duration::from_secs(5)).await.unwrap() else {
                continue;
            };
            let picture = ImageRef {
                url: "/images/x.png".into(),
                permalink: "/i/x".into(),
                expires_at: None,
            };
            assert!(claim.finish(Outcome::Completed(picture)).await.unwrap());
        }
    })
}

/// From before the submission until the end is stored.
async fn overhead(name: &str, app: Arc<dyn Queue>, worker: Arc<dyn Queue>) {
    let working = idle_worker(worker);
    let mut times = Vec::new();
    for seed in 0..JOBS {
        let submission = Submission {
            request: resolved("red apple", seed),
            resume: None,
            start: None,
            fingerprint: [0; 32],
            idempotency_key: None,
            keeping: server::images::Keeping::default(),
            client: server::limits::ClientKey::Unknown,
            network: None,
            allowance: None,
        };
        let started = Instant::now();
        let id = app.submit(submission).await.unwrap().id;
        while app.get(&id).await.unwrap().status != JobStatus::Completed {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(started.elapsed());
    }
    working.abort();
    measured(&json!({
        "figure": "overhead", "queue": name, "jobs": JOBS,
        "median_ms": quantile(&mut times, 0.5), "p99_ms": quantile(&mut times, 0.99),
    }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn queue_overhead() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.redb");
    let queue = EmbeddedQueue::open(&file, 16, Duration::from_secs(60)).await;
    let queue: Arc<dyn Queue> = Arc::new(queue.unwrap());
    overhead("in process", Arc::clone(&queue), queue).await;
    let nats = Nats::start();
    let app = Arc::new(nats.queue(16, Role::App).await);
    let worker = Arc::new(nats.queue(16, Role::Worker).await);
    overhead("NATS", app, worker).await;
}

/// From the request to cancel until the worker has stopped and the job's end is stored, as asked for every 20 ms.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn cancelling() {
    let cluster = Cluster::start(&[]).await;
    let app = cluster.app();
    let _worker = cluster.worker(&[]);
    let (mut times, mut steps, mut beyond) = (Vec::new(), Vec::new(), Vec::new());
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
        let step = at.elapsed() / (later.progress.step - from);
        let url = format!("{}/api/v1/jobs/{}", app.url, job.id);
        let asked = Instant::now();
        cluster.http.delete(url).send().await.unwrap();
        let ended = cluster
            .wait(&app, &job.id, |view| view.status.is_final())
            .await;
        assert_eq!(ended.status, JobStatus::Cancelled);
        let took = asked.elapsed();
        times.push(took);
        steps.push(step);
        beyond.push(took.saturating_sub(step));
    }
    measured(&json!({
        "figure": "cancel", "jobs": times.len(),
        "median_ms": quantile(&mut times, 0.5), "longest_ms": quantile(&mut times, 1.0),
        "step_ms": quantile(&mut steps, 0.5),
        "beyond_step_median_ms": quantile(&mut beyond, 0.5),
        "beyond_step_longest_ms": quantile(&mut beyond, 1.0),
    }));
}
