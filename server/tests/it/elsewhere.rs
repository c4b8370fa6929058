//! Packages whose weights are on a model hub as well, or nowhere else.

use std::fs;
use std::path::Path;

use protocol::{Addresses, ModelCard, ProblemCode};
use reqwest::StatusCode;
use serde_json::json;

use crate::hub::{GLYPH, Hub, assert_problem, json as read, models_dir, request};
use crate::models::models;

const WEIGHTS: &str = "decoder.onnx";
pub const ADDRESS: &str = "https://weights.example/maker/model/resolve/1/decoder.onnx";

/// The built-in package, whose decoder has a further address; `kept` says whether it is here too.
pub fn package(address: &str, kept: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (models_dir().join("glyph"), dir.path().join("glyph"));
    fs::create_dir(&to).unwrap();
    let manifest = fs::read(from.join("manifest.json")).unwrap();
    fs::write(to.join("manifest.json"), &manifest).unwrap();
    for file in diffusion::Manifest::parse(&manifest).unwrap().files() {
        if kept || file.name != WEIGHTS {
            fs::copy(from.join(&file.name), to.join(&file.name)).unwrap();
        }
    }
    let addresses = json!({"files": {WEIGHTS: [address]}});
    fs::write(to.join(Addresses::FILE), addresses.to_string()).unwrap();
    dir
}

async fn hub(models: &Path, more: &[&str]) -> Hub {
    let options = [&["--models-dir", models.to_str().unwrap()], more].concat();
    Hub::with(&options).await
}

async fn policy(hub: &Hub) -> String {
    let answer = hub.get("/").await;
    let policy = &answer.headers()["content-security-policy"];
    let policy = policy.to_str().unwrap().split(';');
    let mut connect = policy.filter(|part| part.trim().starts_with("connect-src"));
    connect.next().unwrap().trim().to_owned()
}

async fn order(hub: &Hub) -> Vec<String> {
    let addresses: Addresses = read(hub.get("/models/glyph/addresses.json").await).await;
    addresses.files.get(WEIGHTS).cloned().unwrap_or_default()
}

#[tokio::test]
async fn browsers_are_told_addresses_in_the_operators_order() {
    let models = package(ADDRESS, true);
    let by_default = hub(models.path(), &[]).await;
    assert_eq!(order(&by_default).await, [ADDRESS, WEIGHTS]);
    let allowed = policy(&by_default).await;
    assert!(
        allowed.ends_with(" https://*.hf.co https://*.huggingface.co https://weights.example"),
        "{allowed}"
    );
    // What is here is served as before, and its digest is not that of where it lies.
    let kept = by_default.get("/models/glyph/decoder.onnx").await;
    assert_eq!(kept.status(), StatusCode::OK);
    let plain = Hub::start().await;
    let digest = async |hub: &Hub| {
        let card: ModelCard = read(hub.get(&format!("/api/v1/models/{GLYPH}")).await).await;
        card.weights_digest.unwrap()
    };
    assert_eq!(digest(&by_default).await, digest(&plain).await);
    // A hub whose packages name nobody allows nobody.
    assert_eq!(order(&plain).await, [] as [&str; 0]);
    assert!(
        !policy(&plain).await.contains("https:"),
        "{}",
        policy(&plain).await
    );

    let options = [
        "--weights-first",
        "host",
        "--weights-hosts",
        "https://cdn.example:8443",
    ];
    let own_first = hub(models.path(), &options).await;
    assert_eq!(order(&own_first).await, [WEIGHTS, ADDRESS]);
    let allowed = policy(&own_first).await;
    assert!(
        allowed.ends_with(" https://cdn.example:8443 https://weights.example"),
        "{allowed}"
    );
}

#[tokio::test]
async fn a_model_whose_weights_are_elsewhere_runs_in_browsers_alone() {
    let dir = package(ADDRESS, false);
    let hub = hub(dir.path(), &[]).await;
    assert_eq!(order(&hub).await, [ADDRESS]);
    let gone = hub.get("/models/glyph/decoder.onnx").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    let here = hub.get("/models/glyph/denoiser.onnx").await;
    assert_eq!(here.status(), StatusCode::OK);
    let card: ModelCard = read(hub.get(&format!("/api/v1/models/{GLYPH}")).await).await;
    assert!(card.runs.browser && !card.runs.server, "{:?}", card.runs);
    let problem = assert_problem(
        hub.post("/api/v1/jobs", &request("red apple", 3)).await,
        ProblemCode::UnknownModel,
    )
    .await;
    assert!(problem.detail.contains("browsers alone"), "{problem:?}");
    let body = json!({"model": GLYPH, "prompt": "red apple"});
    let answer = hub.post("/v1/images/generations", &body).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);

    let checked = models(dir.path(), &["verify"]).await.unwrap();
    assert!(checked.contains("1 are on the hub alone"), "{checked}");
    let removed = models(dir.path(), &["remove", GLYPH]).await.unwrap();
    assert!(removed.contains("is removed"), "{removed}");
}

/// A list that names no host of the web takes nothing's place: the package is left out.
#[tokio::test]
async fn addresses_that_are_none_keep_a_package_out() {
    let models = package("https://token@weights.example/x", true);
    let hub = hub(models.path(), &[]).await;
    let answer = hub.get("/models/glyph/addresses.json").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!policy(&hub).await.contains("weights.example"));
}
