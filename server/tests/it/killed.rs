//! `kill -9` in the middle of submissions to a hub with a queue of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::{GenerationRequest, JobCreated, JobStatus, JobView};
use reqwest::Client;
use tokio::sync::{RwLock, mpsc};

use crate::crash::{Server, random};
use crate::hub::{Folders, OWNER, request};

const JOBS: u64 = 40;
const KILLS: usize = 6;
const SEED: u64 = 11;
/// Submissions at the same time.
const CLIENTS: usize = 4;
const OPTIONS: [&str; 4] = [
    "--queue-capacity=10000",
    "--job-retention-seconds=3600",
    "--pictures-in-flight=10000",
    "--pictures-per-hour=1000000",
];

/// Whose jobs they are.
fn owner() -> Client {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("cookie", OWNER.parse().unwrap());
    Client::builder().default_headers(headers).build().unwrap()
}

fn quick(seed: u64) -> GenerationRequest {
    GenerationRequest {
        num_inference_steps: Some(1),
        ..request("red apple", seed)
    }
}

async fn submit(http: &Client, url: &str, seed: u64) -> Option<JobCreated> {
    let posted = http
        .post(format!("{url}/api/v1/jobs"))
        .header("idempotency-key", format!("order-{seed}"))
        .json(&quick(seed))
        .send()
        .await
        .ok()?;
    posted.error_for_status().ok()?.json().await.ok()
}

async fn job(http: &Client, url: &str, id: &str) -> JobView {
    let asked = http.get(format!("{url}/api/v1/jobs/{id}")).send().await;
    let answer = asked.unwrap();
    assert!(answer.status().is_success(), "{id}: {}", answer.status());
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_server_loses_no_accepted_job_and_makes_none_twice() {
    let folders = Folders::new();
    let http = owner();
    let mut server = Server::with(&folders, false, &OPTIONS);
    let url = Arc::new(RwLock::new(server.url.clone()));
    let seeds = Arc::new(std::sync::Mutex::new(0..JOBS));
    let (done, mut accepted) = mpsc::unbounded_channel();
    for _ in 0..CLIENTS {
        let (url, seeds) = (Arc::clone(&url), Arc::clone(&seeds));
        let (http, done) = (http.clone(), done.clone());
        tokio::spawn(async move {
            loop {
                let next = seeds.lock().unwrap().next();
                let Some(seed) = next else { return };
                loop {
                    let at = url.read().await.clone();
                    if let Some(created) = submit(&http, &at, seed).await {
                        done.send((seed, created)).unwrap();
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    drop(done);
    let mut state = SEED;
    let mut jobs = BTreeMap::new();
    let mut kills = 0;
    while let Some((seed, created)) = accepted.recv().await {
        jobs.insert(seed, created);
        let due = (kills + 1) * JOBS as usize / (KILLS + 1);
        if kills < KILLS && jobs.len() >= due {
            // Some moment of the submissions under way; which one does not decide the test.
            tokio::time::sleep(Duration::from_micros(random(&mut state) % 20_000)).await;
            let mut url = url.write().await;
            server.kill();
            server = Server::with(&folders, false, &OPTIONS);
            *url = server.url.clone();
            kills += 1;
        }
    }
    assert_eq!((kills, jobs.len()), (KILLS, JOBS as usize));

    server.kill();
    server = Server::with(&folders, false, &OPTIONS);
    let mut places = BTreeSet::new();
    for (seed, created) in &jobs {
        let view = job(&http, &server.url, &created.id).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
        assert_eq!(view.request.seed, Some(*seed));
        places.insert(view.queue_position.unwrap());
        // The answer may have been lost; the key was not.
        let again = submit(&http, &server.url, *seed).await.unwrap();
        assert_eq!(again.id, created.id);
    }
    // Every place is taken once: nothing else waits.
    assert_eq!(places, (0..JOBS as u32).collect());

    // Killed while it makes them, and once more.
    for kill in 0..3 {
        server.kill();
        server = Server::with(&folders, true, &OPTIONS);
        let first = &jobs[&(kill * 5)].id;
        while !job(&http, &server.url, first).await.status.is_final() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for created in jobs.values() {
        let view = loop {
            let view = job(&http, &server.url, &created.id).await;
            if view.status.is_final() {
                break view;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(view.status, JobStatus::Completed, "{view:?}");
        assert!(view.attempt <= 3);
    }
    println!("{} kills, {JOBS} jobs accepted, known and made", KILLS + 4);
}

/// A disk on which no file grows beyond a limit: refused jobs are unknown, accepted ones stay, and the hub says so.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_jobs_and_loses_none() {
    use base64::Engine;
    let folders = Folders::new();
    let http = owner();
    let server = Server::limited(&folders, 4 << 20, &OPTIONS);
    let mut job = serde_json::to_value(GenerationRequest {
        num_inference_steps: Some(8),
        ..request("red apple", 0)
    })
    .unwrap();
    // Latents of 2 KiB, and a prompt: some thousand of them fill the file.
    let latents = base64::engine::general_purpose::STANDARD.encode([0; 2048]);
    job["resume"] = serde_json::json!({ "step": 1, "shape": [16, 8, 8], "latents": latents });
    job["prompt"] = "red apple ".repeat(99).into();
    let mut accepted = Vec::new();
    let refused = loop {
        job["seed"] = accepted.len().into();
        let url = format!("{}/api/v1/jobs", server.url);
        let answer = http.post(url).json(&job).send().await.unwrap();
        if !answer.status().is_success() {
            break answer;
        }
        accepted.push(answer.json::<JobCreated>().await.unwrap());
        assert!(accepted.len() < 20_000, "the disk is never full");
    };
    crate::hub::assert_problem(refused, protocol::ProblemCode::QueueUnavailable).await;
    let ready = http.get(format!("{}/readyz", server.url)).send().await;
    let ready: serde_json::Value = ready.unwrap().json().await.unwrap();
    assert_eq!(ready["queue"], false);
    println!("full after {} jobs", accepted.len());
    drop(server);
    let server = Server::with(&folders, false, &OPTIONS);
    for (place, created) in accepted.iter().enumerate() {
        let view = self::job(&http, &server.url, &created.id).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
        assert_eq!(view.queue_position, Some(place as u32));
    }
    let last = submit(&http, &server.url, 7).await.unwrap();
    let view = self::job(&http, &server.url, &last.id).await;
    assert_eq!(view.queue_position, Some(accepted.len() as u32));
}
