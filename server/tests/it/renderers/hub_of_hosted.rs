//! A hub whose models run elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{GenerationRequest, JobStatus, ModelSummary, ProblemCode};
use serde_json::json;

use super::stand_in::{Act, StandIn};
use super::{MODEL, fox, request, toml};
use crate::hub::{Hub, assert_problem, json, pixels};

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_model_is_a_model_like_any_other() {
    let (png, rgb) = fox();
    let answer = json!({"data": [{"b64_json": STANDARD.encode(png)}]});
    let stand_in = StandIn::start([Act::json(200, &answer)]).await;
    let list = toml("openai-images", &stand_in.url, "", "");
    let hub = Hub::with(&["--endpoints", &list]).await;

    let models: Vec<ModelSummary> = json(hub.get("/api/v1/models").await).await;
    let model = models.iter().find(|model| model.id == MODEL).unwrap();
    assert_eq!(model.package_url, None);
    assert!(models[0].package_url.is_some());
    let card = hub.get(&format!("/models/{MODEL}")).await.text().await;
    assert!(card.unwrap().contains("it runs on the server"));

    let job = hub.submit(&request()).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    assert_eq!(view.backend.as_deref(), Some("OpenAI images API (acme)"));
    let listed = hub.own().await;
    assert_eq!((listed[0].width, listed[0].height), (16, 8));
    let address = hub.get(&listed[0].url).await.headers()["location"].clone();
    let stored = hub
        .http
        .get(address.to_str().unwrap())
        .send()
        .await
        .unwrap();
    assert!(pixels(&stored.bytes().await.unwrap()) == rgb);

    // Nobody can claim that a browser made it.
    let mut upload = crate::hub::upload_request(&crate::hub::png_of(16, 8, 5));
    upload.recipe.request = request();
    upload.recipe.weights_digest = String::new();
    let answer = hub.post("/api/v1/uploads", &upload).await;
    assert_problem(answer, ProblemCode::MalformedRequest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negative_prompt_is_refused_where_the_model_takes_none() {
    let stand_in = StandIn::start([]).await;
    let list = toml("openai-images", &stand_in.url, "", "")
        .replace("negative_prompt = true", "negative_prompt = false");
    let hub = Hub::with(&["--endpoints", &list]).await;
    let models: Vec<ModelSummary> = json(hub.get("/api/v1/models").await).await;
    let model = models.iter().find(|model| model.id == MODEL).unwrap();
    assert!(!model.negative_prompt);

    let answer = hub.post("/api/v1/jobs", &request()).await;
    let problem = assert_problem(answer, ProblemCode::OutOfRange).await;
    assert_eq!(problem.detail, "this model takes no negative prompt");
    assert_eq!(problem.field.as_deref(), Some("negative_prompt"));

    let body = json!({"model": MODEL, "prompt": "a red fox", "negative_prompt": "snow"});
    let answer = hub.post("/v1/images/generations", &body).await;
    assert_eq!(answer.status(), 400);
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["param"], "negative_prompt");
    assert!(stand_in.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoints_refusal_is_the_jobs_error() {
    let refusal = json!({"error": {"message": "not this prompt", "type": "invalid_request_error"}});
    let stand_in = StandIn::start([Act::json(400, &refusal)]).await;
    let list = toml("openai-images", &stand_in.url, "", "");
    let hub = Hub::with(&["--endpoints", &list]).await;
    let job = hub.submit(&request()).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    let problem = view.error.unwrap();
    assert_eq!(problem.code, ProblemCode::RequestRefused);
    assert!(problem.detail.contains("not this prompt"));
    assert_eq!(stand_in.seen().len(), 1);
}

/// A hub is an endpoint of another hub: the same request makes the same picture through two of them.
#[tokio::test(flavor = "multi_thread")]
async fn one_hub_renders_for_another() {
    let inner = Hub::start().await;
    let [width, height] = crate::hub::size();
    let list = toml("openai-images", &format!("{}/v1", inner.url), "", "")
        .replace("painter-v2", crate::hub::GLYPH)
        .replace("width = 16", &format!("width = {width}"))
        .replace("height = 8", &format!("height = {height}"));
    let outer = Hub::with(&["--endpoints", &list]).await;
    let wanted = GenerationRequest {
        negative_prompt: None,
        num_inference_steps: Some(8),
        guidance_scale: Some(3.0),
        ..request()
    };
    let job = outer.submit(&wanted).await;
    let view = outer.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    let address = outer.get(&view.image.unwrap().url).await.headers()["location"].clone();
    let stored = outer
        .http
        .get(address.to_str().unwrap())
        .send()
        .await
        .unwrap();
    let direct = crate::generate::run(&[
        "--prompt",
        "a red fox",
        "--seed",
        "42",
        "--steps",
        "8",
        "--guidance",
        "3",
    ])
    .unwrap();
    assert!(pixels(&stored.bytes().await.unwrap()) == pixels(&direct.png));
}
