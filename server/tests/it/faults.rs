//! What happens to jobs when processes die, stop or are too busy.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use protocol::{GenerationRequest, JobCreated, JobStatus, JobView, ProblemCode};
use reqwest::StatusCode;

use crate::cluster::{Cluster, Process, signal};
use crate::hub::{assert_problem, json, request};

/// Long enough to be interrupted.
fn slow(seed: u64) -> GenerationRequest {
    GenerationRequest {
        num_inference_steps: Some(50),
        ..request("red apple", seed)
    }
}

fn quick(seed: u64) -> GenerationRequest {
    GenerationRequest {
        num_inference_steps: Some(1),
        ..request("red apple", seed)
    }
}

fn running(view: &JobView) -> bool {
    view.status == JobStatus::Generating && view.progress.step >= 1
}

fn ended(view: &JobView) -> bool {
    view.status.is_final()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_its_worker() {
    let cluster = Cluster::start(&["--ack-wait-seconds=2"]).await;
    let app = cluster.app();
    let mut first = cluster.worker(&[]);
    let job = cluster.submit(&app, &slow(1)).await;
    cluster.wait(&app, &job.id, running).await;
    let _second = cluster.worker(&[]);
    first.kill();
    let view = cluster.wait(&app, &job.id, ended).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    assert_eq!(view.attempt, 2);
    assert_eq!(cluster.pictures().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_job_at_another_replica() {
    let cluster = Cluster::start(&[]).await;
    let (mut first, second) = (cluster.app(), cluster.app());
    let _worker = cluster.worker(&[]);
    let job = cluster.submit(&first, &slow(1)).await;
    let path = format!("/api/v1/jobs/{}/events", job.id);
    let (mut last, mut step) = (0, 0);
    let mut stream = cluster.get(&first, &path).await.bytes_stream();
    let mut text = String::new();
    while step < 2 {
        let bytes = stream.next().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
        for (number, view) in states(&text) {
            (last, step) = (number, view.progress.step);
        }
    }
    first.kill();
    let again = cluster
        .http
        .get(format!("{}{path}", second.url))
        .header("last-event-id", last.to_string())
        .send()
        .await
        .unwrap();
    let seen = states(&again.text().await.unwrap());
    assert!(seen.iter().all(|(number, _)| *number >= last));
    assert!(seen.iter().all(|(_, view)| view.progress.step >= step));
    let steps: Vec<u32> = seen.iter().map(|(_, view)| view.progress.step).collect();
    assert!(steps.len() > 2 && steps.is_sorted(), "{steps:?}");
    assert_eq!(seen.last().unwrap().1.status, JobStatus::Completed);
}

/// The complete `state` events of a stream so far.
fn states(text: &str) -> Vec<(u64, JobView)> {
    let complete = text.rsplit_once("\n\n").map_or("", |(head, _)| head);
    complete
        .split("\n\n")
        .filter(|block| block.contains("event: state"))
        .map(|block| {
            let field = |name: &str| {
                let mut lines = block.lines();
                lines
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap()
                    .trim()
            };
            (
                field("id:").parse().unwrap(),
                serde_json::from_str(field("data:")).unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_outlive_ten_seconds_without_nats() {
    let cluster = Cluster::start(&["--ack-wait-seconds=2"]).await;
    let app = cluster.app();
    let _workers = [cluster.worker(&[]), cluster.worker(&[])];
    let jobs = [
        cluster.submit(&app, &slow(1)).await,
        cluster.submit(&app, &slow(2)).await,
        cluster.submit(&app, &quick(3)).await,
    ];
    cluster.wait(&app, &jobs[0].id, running).await;
    signal("STOP", &cluster.nats.pid());
    let asked = cluster.post(&app, &quick(4), None).await;
    assert_problem(asked, ProblemCode::QueueUnavailable).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    signal("CONT", &cluster.nats.pid());
    for job in &jobs {
        let view = cluster.wait(&app, &job.id, ended).await;
        assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    }
    let mut listed: Vec<String> = cluster.pictures().await.into_iter().map(|r| r.id).collect();
    // The refused one may have arrived in spite of the answer, once.
    listed.retain(|id| jobs.iter().any(|job| job.id == *id));
    assert_eq!(listed.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_queue_accepts_it_finishes() {
    let cluster = Cluster::start(&["--queue-capacity=4"]).await;
    let apps = [cluster.app(), cluster.app()];
    let answers = (0..20).map(|i| {
        let (cluster, apps) = (&cluster, &apps);
        async move { cluster.post(&apps[i as usize % 2], &quick(i), None).await }
    });
    let mut accepted: Vec<JobCreated> = Vec::new();
    for answer in futures::future::join_all(answers).await {
        if answer.status() == StatusCode::ACCEPTED {
            accepted.push(json(answer).await);
        } else {
            assert!(answer.headers().contains_key("retry-after"));
            assert_problem(answer, ProblemCode::QueueFull).await;
        }
    }
    assert_eq!(accepted.len(), 4);
    let _worker = cluster.worker(&[]);
    for job in &accepted {
        let view = cluster.wait(&apps[0], &job.id, ended).await;
        assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    }
    assert_eq!(cluster.pictures().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sent_twice_is_made_once() {
    let cluster = Cluster::start(&[]).await;
    let apps = [cluster.app(), cluster.app()];
    let open = GenerationRequest {
        seed: None,
        ..quick(0)
    };
    let sent = (0..6).map(|i| cluster.post(&apps[i % 2], &open, Some("order-1")));
    let mut jobs: Vec<JobCreated> = Vec::new();
    for answer in futures::future::join_all(sent).await {
        jobs.push(json(answer).await);
    }
    assert!(jobs.iter().all(|job| *job == jobs[0]), "{jobs:?}");
    let refused = cluster.post(&apps[1], &quick(7), Some("order-1")).await;
    assert_problem(refused, ProblemCode::IdempotencyKeyReused).await;
    let _worker = cluster.worker(&[]);
    cluster.wait(&apps[1], &jobs[0].id, ended).await;
    let after = cluster.submit(&apps[0], &quick(8)).await;
    cluster.wait(&apps[0], &after.id, ended).await;
    assert_eq!(cluster.pictures().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_three_workers_fails_and_others_are_made() {
    let cluster = Cluster::start(&["--ack-wait-seconds=1"]).await;
    let app = cluster.app();
    let poison = cluster.submit(&app, &slow(1)).await;
    for attempt in 1..=3 {
        let mut worker = cluster.worker(&[]);
        let is_at_it = |view: &JobView| running(view) && view.attempt == attempt;
        cluster.wait(&app, &poison.id, is_at_it).await;
        worker.kill();
    }
    let good = cluster.submit(&app, &quick(2)).await;
    let _worker = cluster.worker(&[]);
    let view = cluster.wait(&app, &good.id, ended).await;
    assert_eq!(view.status, JobStatus::Completed);
    let view = cluster.wait(&app, &poison.id, ended).await;
    assert_eq!(view.status, JobStatus::Failed);
    let error = view.error.unwrap();
    assert_eq!(error.code, ProblemCode::GenerationFailed);
    assert!(error.detail.contains("tried 3 times"), "{}", error.detail);
    assert_eq!(cluster.pictures().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_asked_to_stop_hands_its_job_back() {
    // Too long a wait for the job to change hands without the worker's doing.
    let cluster = Cluster::start(&["--ack-wait-seconds=600"]).await;
    let app = cluster.app();
    let leaving = cluster.worker(&["--drain-seconds=0"]);
    let job = cluster.submit(&app, &slow(1)).await;
    cluster.wait(&app, &job.id, running).await;
    leaving.terminate();
    let view = cluster.job(&app, &job.id).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
    let staying = cluster.worker(&["--drain-seconds=120"]);
    cluster.wait(&app, &job.id, running).await;
    // This one finishes what it has.
    staying.terminate();
    let view = cluster.job(&app, &job.id).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Completed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_on_three_workers_end_once_each() {
    // Several rounds through all 32 lanes of the queue.
    const JOBS: u64 = 80;
    // One client may have three quarters of it.
    let cluster = Cluster::start(&["--queue-capacity=300"]).await;
    let apps = [cluster.app(), cluster.app()];
    let _workers: Vec<Process> = (0..3).map(|_| cluster.worker(&[])).collect();
    let mut jobs: Vec<JobCreated> = Vec::new();
    for seed in 0..JOBS {
        jobs.push(cluster.submit(&apps[seed as usize % 2], &quick(seed)).await);
    }
    for job in &jobs {
        let view = cluster.wait(&apps[1], &job.id, ended).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Completed, 1));
    }
    let mut listed: HashMap<String, u32> = HashMap::new();
    for record in cluster.pictures().await {
        *listed.entry(record.id).or_default() += 1;
    }
    assert_eq!(listed.len(), jobs.len());
    assert!(jobs.iter().all(|job| listed[&job.id] == 1));
}
