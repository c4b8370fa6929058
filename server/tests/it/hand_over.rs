//! Pictures that were begun in a browser and are finished here.

use diffusion::{Cancel, CpuEngine, Package, Pipeline, RunOptions, Step, TOLERANCE};
use protocol::{JobCreated, JobRequest, JobStatus, ProblemCode, Resume};
use reqwest::StatusCode;
use serde_json::json;

use crate::hub::{Hub, assert_problem, json as read, models_dir, pixels, request};

/// The latents after `step` of 8 steps as a browser sends them.
fn resume(step: u32) -> Resume {
    let package = Package::from_dir(&models_dir().join("glyph")).unwrap();
    let pipeline = futures::executor::block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
    let mut found = None;
    let cancel = Cancel::default();
    let mut on_step = |done: Step| {
        if done.progress.step == step {
            found = done.checkpoint;
            cancel.cancel();
        }
    };
    let options = RunOptions {
        checkpoints: true,
        ..RunOptions::default()
    };
    let mut asked = request("red apple", 1);
    asked.num_inference_steps = Some(8);
    let asked = pipeline.resolve(&asked).unwrap();
    let run = pipeline.run(&asked, options, &mut on_step, &cancel);
    assert!(futures::executor::block_on(run).unwrap_err().is_cancelled());
    let state = found.unwrap();
    Resume::new(step, [16, 8, 8], &state.latents, &state.registers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_begun_elsewhere_is_finished_without_repeating_a_step() {
    let hub = Hub::start().await;
    let mut request = request("red apple", 1);
    request.num_inference_steps = Some(8);
    let whole = hub.submit(&request).await;
    let state = tokio::task::spawn_blocking(|| resume(5)).await.unwrap();
    let job = JobRequest {
        request,
        resume: Some(state),
        start: None,
    };
    let answer = hub.post("/api/v1/jobs", &job).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let created: JobCreated = read(answer).await;
    let events = hub
        .get(&format!("/api/v1/jobs/{}/events", created.id))
        .await;
    let text = events.text().await.unwrap();
    let steps: Vec<u64> = text
        .split("\n\n")
        .filter(|block| block.contains("event: state"))
        .filter_map(|block| block.lines().find_map(|line| line.strip_prefix("data:")))
        .map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap())
        .map(|view| view["progress"]["step"].as_u64().unwrap())
        .collect();
    assert_eq!(
        (steps.first(), steps.last()),
        (Some(&5), Some(&8)),
        "{steps:?}"
    );
    assert!(steps.is_sorted());

    let mut pictures = Vec::new();
    for id in [&whole.id, &created.id] {
        let view = hub.wait(id, |view| view.status.is_final()).await;
        assert_eq!(view.status, JobStatus::Completed, "{view:?}");
        let redirect = hub.get(&view.image.unwrap().url).await;
        let stored = redirect.headers()["location"].to_str().unwrap().to_owned();
        let png = hub.http.get(stored).send().await.unwrap().bytes().await;
        pictures.push(pixels(&png.unwrap()));
    }
    let differ = pictures[0].iter().zip(&pictures[1]);
    let worst = differ.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    println!("largest difference to the undisturbed picture: {worst} of 255");
    assert_eq!(pictures[0].len(), pictures[1].len());
    assert!(worst <= TOLERANCE, "{worst}");
}

#[tokio::test]
async fn hostile_hand_overs_are_named() {
    let hub = Hub::start().await;
    let good = Resume::new(3, [16, 8, 8], &[0.0; 1024], &[]);
    let body = |resume: serde_json::Value| json!({ "model": "demo-hub/glyph", "prompt": "x", "num_inference_steps": 8, "resume": resume });
    let change = |key: &str, value: serde_json::Value| {
        let mut resume = serde_json::to_value(&good).unwrap();
        resume[key] = value;
        body(resume)
    };
    use ProblemCode::{BodyTooLarge, MalformedRequest, OutOfRange};
    for (body, code) in [
        (change("step", json!(0)), OutOfRange),
        (change("step", json!(9)), OutOfRange),
        (change("step", json!(-1)), MalformedRequest),
        (change("shape", json!([8, 16, 8])), OutOfRange),
        (change("shape", json!([1024, 1024, 1024])), OutOfRange),
        (change("latents", json!("AAAA")), OutOfRange),
        (change("latents", json!("A".repeat(400_000))), BodyTooLarge),
        (change("registers", json!([good.latents])), OutOfRange),
        (change("registers", json!(["AAAA"])), OutOfRange),
        (change("registers", json!("AAAA")), MalformedRequest),
        (change("surprise", json!(1)), MalformedRequest),
        (body(json!("x")), MalformedRequest),
    ] {
        let answer = hub.post("/api/v1/jobs", &body).await;
        assert_problem(answer, code).await;
    }
    let fits = Resume::new(8, [16, 8, 8], &[0.0; 1024], &[]);
    let answer = hub
        .post("/api/v1/jobs", &body(serde_json::to_value(fits).unwrap()))
        .await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
}
