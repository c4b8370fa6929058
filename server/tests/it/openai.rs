//! The OpenAI images API over HTTP. The official clients are run against it by `cargo xtask test server`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::hub::{GLYPH, Hub, json as read, pixels, size};
use crate::renderers;
use crate::renderers::stand_in::{Act, StandIn};

async fn generate(hub: &Hub, body: &Value) -> Response {
    hub.post("/v1/images/generations", body).await
}

fn body(change: &Value) -> Value {
    let mut body =
        json!({"model": GLYPH, "prompt": "red apple", "num_inference_steps": 8, "seed": 7});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Name and data of each server-sent event.
async fn events(response: Response) -> Vec<(String, Value)> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    text.split("\n\n")
        .filter(|block| block.contains("event:"))
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data:")).unwrap();
            (field(block, "event:"), data)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn n_pictures_have_consecutive_seeds() {
    let hub = Hub::start().await;
    let answer: Value = read(generate(&hub, &body(&json!({"n": 3}))).await).await;
    let images = answer["data"].as_array().unwrap();
    assert_eq!(images.len(), 3);
    for (image, seed) in images.iter().zip(["7", "8", "9"]) {
        let png = STANDARD
            .decode(image["b64_json"].as_str().unwrap())
            .unwrap();
        let made = ["--prompt", "red apple", "--steps", "8", "--seed", seed];
        assert!(pixels(&png) == pixels(&crate::generate::run(&made).unwrap().png));
        assert!(image["url"].as_str().unwrap().starts_with(&hub.url));
    }
    assert!(hub.listed().await.is_empty(), "nobody asked for that");
    assert_eq!(hub.records().await.len(), 3);

    // The default model, and a seed of the hub's own.
    let answer = generate(&hub, &json!({"prompt": "a car", "response_format": "url"})).await;
    let answer: Value = read(answer).await;
    assert_eq!(answer["data"][0].as_object().unwrap().len(), 1);
    let newest = format!("/api/v1/images/{}", hub.records().await[0].id);
    let newest: protocol::ImageRecord = read(hub.get(&newest).await).await;
    assert_eq!(newest.recipe.request.prompt, "a car");
    assert!(newest.recipe.request.seed.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_streamed() {
    let hub = Hub::start().await;
    let request = body(&json!({"n": 2, "stream": true, "partial_images": 3}));
    let all = events(generate(&hub, &request).await).await;
    let completed: Vec<_> = all
        .iter()
        .filter(|(name, _)| name == "image_generation.completed")
        .collect();
    assert_eq!(completed.len(), 2);
    for (name, data) in &all {
        assert_eq!(data["type"], json!(name));
        let png = STANDARD.decode(data["b64_json"].as_str().unwrap()).unwrap();
        assert!(!pixels(&png).is_empty());
        let [width, height] = size();
        assert_eq!(data["size"], format!("{width}x{height}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_openais_form() {
    let hub = Hub::start().await;
    let cases = [
        (
            json!({"model": "no/such"}),
            404,
            "model_not_found",
            json!("model"),
        ),
        (json!({"prompt": ""}), 400, "empty_prompt", json!("prompt")),
        (
            json!({"prompt": "x".repeat(1_001)}),
            400,
            "prompt_too_long",
            json!("prompt"),
        ),
        (json!({"n": 0}), 400, "out_of_range", json!("n")),
        (json!({"n": 11}), 400, "out_of_range", json!("n")),
        (
            json!({"size": "63x64"}),
            400,
            "invalid_value",
            json!("size"),
        ),
        (
            json!({"partial_images": 4}),
            400,
            "out_of_range",
            json!("partial_images"),
        ),
        (
            json!({"output_format": "webp"}),
            400,
            "invalid_value",
            json!("output_format"),
        ),
        (
            json!({"background": "transparent"}),
            400,
            "invalid_value",
            json!("background"),
        ),
        (
            json!({"guidance_scale": -1}),
            400,
            "out_of_range",
            json!("guidance_scale"),
        ),
        (
            json!({"seed": 9_007_199_254_740_991_u64, "n": 2}),
            400,
            "out_of_range",
            json!("seed"),
        ),
        (
            json!({"response_format": "gif"}),
            400,
            "invalid_value",
            json!("response_format"),
        ),
        (
            json!({"colour": "red"}),
            400,
            "unknown_parameter",
            json!("colour"),
        ),
    ];
    for (change, status, code, param) in cases {
        let answer = generate(&hub, &body(&change)).await;
        assert_eq!(answer.status(), status, "{change}");
        let error: Value = answer.json().await.unwrap();
        let error = &error["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!(code), &param),
            "{change}"
        );
        assert_eq!(error["type"], "invalid_request_error");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    assert!(hub.records().await.is_empty());
}

/// The codes are those of <https://platform.openai.com/docs/guides/error-codes>; a client that meets
/// `unknown_parameter` leaves `param` out and asks again.
#[tokio::test(flavor = "multi_thread")]
async fn the_member_that_is_wrong_is_named() {
    let hub = Hub::start().await;
    let mut cases = vec![
        (
            json!({"prompt": "x", "steps": 20}),
            "unknown_parameter",
            json!("steps"),
        ),
        (
            json!({"prompt": "x", "": 1}),
            "unknown_parameter",
            json!(""),
        ),
        (
            json!({"model": GLYPH}),
            "missing_required_parameter",
            json!("prompt"),
        ),
        (json!({}), "missing_required_parameter", json!("prompt")),
        (json!({"prompt": null}), "invalid_type", json!("prompt")),
        (
            json!({"prompt": ["red apple"]}),
            "invalid_type",
            json!("prompt"),
        ),
        (json!({"prompt": 5}), "invalid_type", json!("prompt")),
        (
            json!({"prompt": "x", "response_format": "file"}),
            "invalid_value",
            json!("response_format"),
        ),
        (json!({"prompt": "x", "n": -1}), "out_of_range", json!("n")),
        (
            json!({"prompt": "x", "n": 4_294_967_296_u64}),
            "out_of_range",
            json!("n"),
        ),
        (
            json!({"prompt": "x", "seed": -1}),
            "out_of_range",
            json!("seed"),
        ),
        (json!([1]), "malformed_request", Value::Null),
        (json!("x"), "malformed_request", Value::Null),
    ];
    let texts = [
        "model",
        "size",
        "response_format",
        "output_format",
        "background",
        "quality",
        "style",
        "moderation",
        "user",
        "negative_prompt",
    ];
    for name in texts {
        for value in [json!(1), json!(true), json!(["a"]), json!({"a": 1})] {
            cases.push((
                json!({"prompt": "x", name: value}),
                "invalid_type",
                json!(name),
            ));
        }
    }
    let integers = [
        "n",
        "partial_images",
        "output_compression",
        "num_inference_steps",
        "seed",
    ];
    for name in integers {
        for value in [json!("2"), json!(1.5), json!(false), json!([1])] {
            cases.push((
                json!({"prompt": "x", name: value}),
                "invalid_type",
                json!(name),
            ));
        }
    }
    for (name, value) in [
        ("stream", json!("true")),
        ("stream", json!(1)),
        ("guidance_scale", json!("3")),
    ] {
        cases.push((
            json!({"prompt": "x", name: value}),
            "invalid_type",
            json!(name),
        ));
    }
    for (body, code, param) in cases {
        let answer = generate(&hub, &body).await;
        assert_eq!(answer.status(), 400, "{body}");
        let error: Value = answer.json().await.unwrap();
        let error = &error["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!(code), &param),
            "{body}: {error}"
        );
        assert_eq!(error["type"], "invalid_request_error");
    }
    // `null` is what clients send for what they do not say.
    let nothing =
        json!({"prompt": "x", "n": null, "size": null, "stream": null, "response_format": null});
    let made = generate(&hub, &nothing).await;
    assert_eq!(made.status(), StatusCode::OK);
    // What is no JSON, or not said to be.
    let url = format!("{}/v1/images/generations", hub.url);
    for (kind, body, status, code) in [
        ("application/json", "{", 400, "malformed_request"),
        ("application/json", "", 400, "malformed_request"),
        ("text/plain", "{}", 415, "unsupported_type"),
    ] {
        let answer = hub.http.post(&url).header("content-type", kind).body(body);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), status, "{kind} {body}");
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["error"]["code"], code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_queue_leaves_nothing_behind() {
    let hub = Hub::with(&["--queue-capacity=2"]).await;
    let slow = json!({"n": 10, "num_inference_steps": 50});
    let answer = generate(&hub, &body(&slow)).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key("retry-after"));
    let error: Value = answer.json().await.unwrap();
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");
    assert_eq!(error["error"]["type"], "rate_limit_error");
    // None of them was taken in, so the next request finds the queue empty.
    let answer: Value = read(generate(&hub, &body(&json!({"n": 2}))).await).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_jobs_unless_it_can_come_back() {
    let png = STANDARD.encode(renderers::fox().0);
    let answer = Act::json(200, &json!({"data": [{"b64_json": png}]}));
    let stand_in = StandIn::start([
        answer.clone().after(Duration::from_secs(3_600)),
        answer.after(Duration::from_secs(3)),
    ])
    .await;
    let list = renderers::toml("openai-images", &stand_in.url, "", "");
    let hub = Hub::with(&["--endpoints", &list]).await;
    let url = format!("{}/v1/images/generations", hub.url);
    let request = json!({"model": renderers::MODEL, "prompt": "a red fox"});
    let send = || hub.http.post(&url).json(&request);
    let while_rendering = async |requests: usize, sending: reqwest::RequestBuilder| {
        let sending = tokio::spawn(sending.send());
        while stand_in.seen().len() < requests {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sending.abort();
    };

    // The endpoint takes one request at a time: were this job not ended, the next would wait an hour.
    while_rendering(1, send()).await;
    while_rendering(2, send().header("idempotency-key", "k1")).await;
    let again = send().header("idempotency-key", "k1").send().await.unwrap();
    let answer: Value = read(again).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    assert_eq!(stand_in.seen().len(), 2);
    assert_eq!(hub.records().await.len(), 1);
}
