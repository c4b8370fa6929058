//! Pictures that the server makes, with the built-in model on the CPU.

use std::time::{Duration, Instant};

use futures::StreamExt;
use protocol::{GenerationRequest, JobStatus, JobView, ProblemCode};
use reqwest::{Method, StatusCode};

use crate::hub::{Hub, assert_problem, json, pixels, request};

fn slow(seed: u64) -> GenerationRequest {
    GenerationRequest {
        num_inference_steps: Some(50),
        ..request("red apple", seed)
    }
}

/// Reads server-sent events until the stream ends: `(id, state)` each.
async fn events(response: reqwest::Response) -> Vec<(u64, JobView)> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    text.split("\n\n")
        .filter(|block| block.contains("event: state"))
        .map(|block| {
            let field = |name: &str| {
                block
                    .lines()
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
async fn a_job_reaches_its_picture() {
    let hub = Hub::start().await;
    let response = hub.post("/api/v1/jobs", &request("red apple", 1)).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let created: protocol::JobCreated = json(response).await;
    assert_eq!(created.seed, 1);
    assert_eq!(location, format!("/api/v1/jobs/{}", created.id));

    let seen = events(hub.get(&format!("{location}/events")).await).await;
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
    let steps: Vec<u32> = seen.iter().map(|(_, view)| view.progress.step).collect();
    assert!(steps.is_sorted());
    let (number, last) = seen.last().unwrap();
    assert_eq!(last.status, JobStatus::Completed, "{last:?}");
    assert_eq!((last.progress.step, last.progress.total_steps), (8, 8));
    assert_eq!(last.backend.as_deref(), Some("rten (CPU)"));
    assert_eq!(*last, hub.job(&created.id).await);

    assert!(hub.listed().await.is_empty(), "nobody asked for that");
    let listed = hub.own().await;
    assert_eq!(listed.len(), 1);
    let image = last.image.clone().unwrap();
    assert_eq!(
        (image.url, image.permalink),
        (listed[0].url.clone(), listed[0].permalink.clone())
    );
    assert_eq!(listed[0].recipe.place, protocol::RunsOn::Server);
    assert_eq!(listed[0].recipe.request.seed, Some(1));

    // A client that comes back with the number of the last state is told again that it is over.
    let again = hub
        .http
        .get(format!("{}{location}/events", hub.url))
        .header("last-event-id", number.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(events(again).await, vec![(*number, last.clone())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stored_picture_is_the_one_that_generate_makes() {
    let hub = Hub::start().await;
    let job = hub.submit(&request("a blue fish", 7)).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    let url = view.image.unwrap().url;
    let location = hub.get(&url).await.headers()["location"]
        .to_str()
        .unwrap()
        .to_owned();
    let stored = hub
        .http
        .get(location)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let made = crate::generate::run(&["--prompt", "a blue fish", "--seed", "7"]).unwrap();
    assert!(pixels(&stored) == pixels(&made.png));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_seed_is_drawn() {
    let hub = Hub::start().await;
    let open = GenerationRequest {
        seed: None,
        ..request("red apple", 0)
    };
    let (a, b) = (hub.submit(&open).await, hub.submit(&open).await);
    assert_ne!(a.seed, b.seed);
    assert!(a.seed <= protocol::MAX_SEED);
    let view = hub.wait(&a.id, |view| view.status.is_final()).await;
    let record = hub
        .get(&format!(
            "/api/v1{}",
            view.image.unwrap().permalink.replace("/i/", "/images/")
        ))
        .await;
    let record: protocol::ImageRecord = json(record).await;
    assert_eq!(record.recipe.request.seed, Some(a.seed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_within_a_step() {
    let hub = Hub::start().await;
    let job = hub.submit(&slow(1)).await;
    let before = hub.wait(&job.id, |view| view.progress.step >= 2).await;
    assert_eq!(before.status, JobStatus::Generating);
    let path = format!("/api/v1/jobs/{}", job.id);
    let answer = hub.send(Method::DELETE, &path).await;
    assert!(answer.status().is_success());
    let at_cancel: JobView = answer.json().await.unwrap();
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Cancelled);
    assert!(
        view.progress.step <= at_cancel.progress.step + 1,
        "{at_cancel:?} {view:?}"
    );
    assert!(view.progress.step < 50);
    assert!(view.image.is_none() && view.error.is_none());

    // Asking again changes nothing, and the worker goes on with the next job.
    assert_eq!(
        hub.send(Method::DELETE, &path).await.status(),
        StatusCode::OK
    );
    let next = hub.submit(&request("red apple", 2)).await;
    let next = hub.wait(&next.id, |view| view.status.is_final()).await;
    assert_eq!(next.status, JobStatus::Completed);
    assert_eq!(hub.own().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_back_and_a_waiting_job_can_leave() {
    let hub = Hub::with(&["--queue-capacity=2"]).await;
    let running = hub.submit(&slow(1)).await;
    hub.wait(&running.id, |view| view.status == JobStatus::Generating)
        .await;
    let waiting = hub.submit(&slow(2)).await;
    assert_eq!(hub.job(&waiting.id).await.queue_position, Some(0));

    let refused = hub.post("/api/v1/jobs", &slow(3)).await;
    let seconds: u32 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let problem = assert_problem(refused, ProblemCode::QueueFull).await;
    assert_eq!(problem.retry_after, Some(seconds));
    assert!(seconds >= 1);

    let stream = hub
        .get(&format!("/api/v1/jobs/{}/events", waiting.id))
        .await;
    let answer = hub
        .send(Method::DELETE, &format!("/api/v1/jobs/{}", waiting.id))
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    let seen = events(stream).await;
    assert_eq!(seen.last().unwrap().1.status, JobStatus::Cancelled);
    assert_eq!(seen.last().unwrap().1.progress.step, 0);

    hub.submit(&slow(4)).await;
    hub.send(Method::DELETE, &format!("/api/v1/jobs/{}", running.id))
        .await;
}

#[tokio::test]
async fn bad_requests_are_named() {
    use ProblemCode::{EmptyPrompt, MalformedRequest, OutOfRange, PromptTooLong, UnknownModel};
    let hub = Hub::start().await;
    let good = serde_json::to_value(request("red apple", 1)).unwrap();
    for (field, value, code) in [
        ("prompt", serde_json::json!(""), EmptyPrompt),
        ("prompt", serde_json::json!(" \n\t"), EmptyPrompt),
        ("prompt", serde_json::json!("x".repeat(1001)), PromptTooLong),
        (
            "prompt",
            serde_json::json!("x".repeat(300_000)),
            ProblemCode::BodyTooLarge,
        ),
        (
            "negative_prompt",
            serde_json::json!("x".repeat(1001)),
            PromptTooLong,
        ),
        ("num_inference_steps", serde_json::json!(0), OutOfRange),
        (
            "num_inference_steps",
            serde_json::json!(1_000_000_000),
            OutOfRange,
        ),
        (
            "num_inference_steps",
            serde_json::json!(-1),
            MalformedRequest,
        ),
        (
            "num_inference_steps",
            serde_json::json!(1e30),
            MalformedRequest,
        ),
        ("guidance_scale", serde_json::json!(-1), OutOfRange),
        ("guidance_scale", serde_json::json!(1e300), OutOfRange),
        ("seed", serde_json::json!(1_u64 << 53), OutOfRange),
        ("seed", serde_json::json!("one"), MalformedRequest),
        ("model", serde_json::json!("no/such"), UnknownModel),
        ("model", serde_json::json!("../../etc/passwd"), UnknownModel),
        ("surprise", serde_json::json!(1), MalformedRequest),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let problem = assert_problem(hub.post("/api/v1/jobs", &body).await, code).await;
        assert!(
            problem.detail.len() < 400,
            "a hostile body is not echoed: {field}"
        );
    }
    let url = format!("{}/api/v1/jobs", hub.url);
    for body in ["", "{", "null", "[]", "\u{0}"] {
        let sent = hub
            .http
            .post(&url)
            .header("content-type", "application/json")
            .body(body);
        assert_problem(sent.send().await.unwrap(), MalformedRequest).await;
    }
    let sent = hub
        .http
        .post(&url)
        .body(good.to_string())
        .send()
        .await
        .unwrap();
    assert_problem(sent, ProblemCode::UnsupportedType).await;
    assert_problem(hub.get("/api/v1/jobs/nobody").await, ProblemCode::NotFound).await;
    assert_problem(
        hub.get("/api/v1/jobs/nobody/events").await,
        ProblemCode::NotFound,
    )
    .await;
    assert_eq!(hub.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_submission_is_one_job() {
    let hub = Hub::start().await;
    let send = async |request: &GenerationRequest, key: &str| {
        let url = format!("{}/api/v1/jobs", hub.url);
        hub.http
            .post(url)
            .header("idempotency-key", key)
            .json(request)
            .send()
            .await
            .unwrap()
    };
    let open = GenerationRequest {
        seed: None,
        ..request("red apple", 0)
    };
    let first: protocol::JobCreated = json(send(&open, "k1").await).await;
    let second: protocol::JobCreated = json(send(&open, "k1").await).await;
    assert_eq!(first, second);
    let other: protocol::JobCreated = json(send(&open, "k2").await).await;
    assert_ne!(first.id, other.id);
    assert_problem(
        send(&slow(1), "k1").await,
        ProblemCode::IdempotencyKeyReused,
    )
    .await;
    assert_problem(
        send(&open, &"k".repeat(201)).await,
        ProblemCode::MalformedRequest,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_keeps_jobs_and_ends_open_streams_in_time() {
    let hub = Hub::with(&["--shutdown-grace-seconds=0"]).await;
    let job = hub.submit(&slow(1)).await;
    let waiting = hub.submit(&slow(2)).await;
    hub.wait(&job.id, |view| view.status == JobStatus::Generating)
        .await;
    let mut stream = hub
        .get(&format!("/api/v1/jobs/{}/events", waiting.id))
        .await
        .bytes_stream();
    assert!(stream.next().await.is_some());
    let before = Instant::now();
    let folders = hub.stop().await;
    assert!(
        before.elapsed() < Duration::from_secs(8),
        "{:?}",
        before.elapsed()
    );
    let hub = Hub::over(folders, &["--embedded-worker=false"]).await;
    assert!(
        hub.own().await.is_empty(),
        "nothing of a stopped job is saved"
    );
    // Neither failed nor forgotten: both wait in their order, and the attempt of the first does not count.
    for (place, id) in [&job.id, &waiting.id].into_iter().enumerate() {
        let view = hub.job(id).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
        assert_eq!(view.queue_position, Some(place as u32));
    }
    let hub = Hub::over(hub.stop().await, &[]).await;
    for id in [&job.id, &waiting.id] {
        let view = hub.wait(id, |view| view.status.is_final()).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Completed, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_damaged_while_serving_fails_its_jobs_and_nothing_else() {
    let models = tempfile::tempdir().unwrap();
    let package = models.path().join("glyph");
    std::fs::create_dir(&package).unwrap();
    for entry in std::fs::read_dir(crate::hub::models_dir().join("glyph")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), package.join(entry.file_name())).unwrap();
        }
    }
    let args = ["--models-dir", models.path().to_str().unwrap()];
    let hub = Hub::with(&args).await;
    let denoiser = std::fs::OpenOptions::new()
        .write(true)
        .open(package.join("denoiser.onnx"))
        .unwrap();
    denoiser.set_len(1_000_000).unwrap();
    let job = hub.submit(&request("red apple", 1)).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Failed);
    let problem = view.error.unwrap();
    assert_eq!(problem.code, ProblemCode::GenerationFailed);
    assert!(
        problem.detail.contains("denoiser.onnx"),
        "{}",
        problem.detail
    );
    assert!(!problem.detail.contains(models.path().to_str().unwrap()));
    assert_eq!(hub.get("/readyz").await.status(), StatusCode::OK);

    // After a restart the package is not offered at all.
    let hub = Hub::over(hub.stop().await, &args).await;
    let models: Vec<protocol::ModelSummary> = json(hub.get("/api/v1/models").await).await;
    assert!(models.is_empty());
    assert_eq!(
        hub.get("/readyz").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let response = hub.post("/api/v1/jobs", &request("red apple", 1)).await;
    assert_problem(response, ProblemCode::UnknownModel).await;
}
