//! What goes over the wire where all is well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diffusion::Cancel;
use protocol::GenerationRequest;
use serde_json::json;

use super::stand_in::{Act, StandIn};
use super::{KEY, MODEL, endpoint, fox, kind, render, render_of, request, toml};
use crate::hub::pixels;

#[tokio::test(flavor = "multi_thread")]
async fn openai_images() {
    let (png, rgb) = fox();
    let b64 = json!({"created": 1_700_000_000, "data": [{"b64_json": STANDARD.encode(&png)}]});
    let address = json!({"created": 1_700_000_000, "data": [{"url": "/files/1.png", "revised_prompt": "fox"}]});
    let stand_in = StandIn::start([
        Act::json(200, &b64),
        Act::json(200, &address),
        Act::say(200, "image/png", png),
    ])
    .await;
    let config = toml(
        "openai-images",
        &format!("{}/v1/", stand_in.url),
        "extra = { quality = \"high\" }",
        "",
    );
    let endpoint = endpoint(&config);
    for _ in 0..2 {
        let rendered = render(&endpoint).await.unwrap();
        assert!(pixels(&rendered.png) == rgb);
        let recipe = &rendered.recipe;
        assert_eq!(recipe.backend, "OpenAI images API (acme)");
        assert_eq!(
            (recipe.place.name(), recipe.weights_digest.as_str()),
            ("server", "")
        );
        let text = String::from_utf8_lossy(&rendered.png);
        assert!(text.contains("demo-hub") && text.contains(MODEL) && text.contains("Seed: 42"));
    }
    let seen = stand_in.seen();
    assert_eq!(seen[0].path, "/v1/images/generations");
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(
        seen[0].body,
        json!({
            "model": "painter-v2", "prompt": "a red fox", "n": 1, "size": "16x8", "quality": "high",
            "seed": 42, "num_inference_steps": 20, "guidance_scale": 6.5, "negative_prompt": "snow"
        })
    );
    // The key is for the API alone, not for what an answer points to.
    assert_eq!(
        (seen[2].method.as_str(), seen[2].path.as_str()),
        ("GET", "/files/1.png")
    );
    assert!(!seen[2].headers.contains_key("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_an_endpoint_does_not_take_are_not_sent() {
    let (png, _) = fox();
    let answer = json!({"data": [{"b64_json": STANDARD.encode(&png)}]});
    let stand_in = StandIn::start([Act::json(200, &answer)]).await;
    let plain = toml("openai-images", &stand_in.url, "", "")
        .lines()
        .filter(|line| {
            !["steps", "guidance", "negative_prompt", "seed"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect::<Vec<_>>()
        .join("\n");
    let plain = endpoint(&plain);
    let refused = render(&plain).await.unwrap_err().to_string();
    assert!(refused.contains("no negative prompt"), "{refused}");
    assert!(stand_in.seen().is_empty());
    let taken = GenerationRequest {
        negative_prompt: None,
        num_inference_steps: None,
        guidance_scale: None,
        ..request()
    };
    let made = render_of(&plain, taken, Cancel::default()).await.unwrap();
    assert_eq!(made.recipe.request.num_inference_steps, Some(1));
    assert_eq!(
        stand_in.seen()[0].body,
        json!({"model": "painter-v2", "prompt": "a red fox", "n": 1, "size": "16x8"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hugging_face() {
    let (png, rgb) = fox();
    let stand_in = StandIn::start([Act::say(200, "image/png", png)]).await;
    let url = format!("{}/hf-inference/models/{{model}}", stand_in.url);
    let rendered = render(&endpoint(&toml("huggingface", &url, "", "")))
        .await
        .unwrap();
    assert!(pixels(&rendered.png) == rgb);
    let seen = &stand_in.seen()[0];
    assert_eq!(seen.path, "/hf-inference/models/painter-v2");
    assert_eq!(seen.headers["accept"], "image/png");
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(
        seen.body,
        json!({
            "inputs": "a red fox",
            "parameters": {
                "width": 16, "height": 8, "seed": 42, "num_inference_steps": 20, "guidance_scale": 6.5,
                "negative_prompt": "snow"
            }
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn open_inference_protocol() {
    let (png, rgb) = fox();
    let output = |datatype: &str, shape: &[u32], data: serde_json::Value| {
        let answer = json!({
            "model_name": "painter-v2", "model_version": "1",
            "outputs": [
                {"name": "other", "datatype": "INT32", "shape": [1], "data": [1]},
                {"name": "generated_image", "datatype": datatype, "shape": shape, "data": data}
            ]
        });
        Act::json(200, &answer)
    };
    let floats: Vec<f64> = rgb.iter().map(|b| f64::from(*b) / 255.0).collect();
    let rows: Vec<Vec<&[u8]>> = rgb
        .chunks(16 * 3)
        .map(|row| row.chunks(3).collect())
        .collect();
    let stand_in = StandIn::start([
        output("BYTES", &[1, 1], json!([STANDARD.encode(&png)])),
        output("UINT8", &[1, 8, 16, 3], json!(rgb)),
        // The specification allows nested arrays too.
        output("UINT8", &[1, 8, 16, 3], json!([rows])),
        output("FP32", &[8, 16, 3], json!(floats)),
    ])
    .await;
    let endpoint = endpoint(&toml("open-inference", &stand_in.url, "", ""));
    for _ in 0..4 {
        assert!(pixels(&render(&endpoint).await.unwrap().png) == rgb);
    }
    let seen = &stand_in.seen()[0];
    assert_eq!(seen.path, "/v2/models/painter-v2/infer");
    let tensor = |name: &str, datatype: &str, value: serde_json::Value| json!({"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]});
    assert_eq!(
        seen.body,
        json!({
            "inputs": [
                tensor("prompt", "BYTES", json!("a red fox")),
                tensor("negative_prompt", "BYTES", json!("snow")),
                tensor("steps", "INT32", json!(20)),
                tensor("guidance_scale", "FP32", json!(6.5)),
                tensor("seed", "INT64", json!(42)),
            ],
            "outputs": [{"name": "generated_image"}]
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_that_are_no_picture_are_refused() {
    let (_, rgb) = fox();
    let one = |datatype: &str, shape: &[u32], data: serde_json::Value| {
        Act::json(
            200,
            &json!({"outputs": [{"name": "generated_image", "datatype": datatype, "shape": shape, "data": data}]}),
        )
    };
    let mut longer = rgb.clone();
    longer.push(0);
    let mut negative: Vec<i32> = rgb.iter().map(|b| i32::from(*b)).collect();
    negative[5] = -1;
    let cases = [
        (one("UINT8", &[1, 8, 8, 3], json!(rgb)), "shape"),
        (one("UINT8", &[2, 8, 16, 3], json!(rgb)), "shape"),
        (one("UINT8", &[1, 8, 16, 3], json!(rgb[1..])), "values"),
        (one("UINT8", &[1, 8, 16, 3], json!(longer)), "too many"),
        (one("UINT8", &[1, 8, 16, 3], json!(negative)), "-1"),
        (one("FP32", &[1, 8, 16, 3], json!(rgb)), "value"),
        (one("INT64", &[1, 8, 16, 3], json!(rgb)), "INT64"),
        (one("BYTES", &[1], json!(["not base64!"])), "base64"),
        (Act::json(200, &json!({"outputs": []})), "no output"),
    ];
    for (act, word) in cases {
        let stand_in = StandIn::start([act]).await;
        let (kind, _) =
            kind(render(&endpoint(&toml("open-inference", &stand_in.url, "", ""))).await);
        assert!(kind.to_string().contains(word), "{kind} {word}");
    }
}
