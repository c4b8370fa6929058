//! Packages that come, change and go while the hub runs.

use std::path::Path;
use std::time::{Duration, Instant};

use diffusion::Manifest;
use protocol::{JobStatus, ModelCard, ModelSummary, ProblemCode};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::hub::{Folders, GLYPH, Hub, assert_problem, json, models_dir, request};

const PROMPT: &str = "red apple";

/// Hubs that follow one models folder.
async fn follow(models: &TempDir) -> Hub {
    let dir = models.path().to_str().unwrap();
    let every = ["--models-dir", dir, "--models-refresh-seconds", "1"];
    Hub::over(Folders::new(), &every).await
}

async fn models(hub: &Hub) -> Vec<ModelSummary> {
    json(hub.get("/api/v1/models").await).await
}

/// Waits until `done` holds of the models.
async fn until(hub: &Hub, done: impl Fn(&[ModelSummary]) -> bool) -> Vec<ModelSummary> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let models = models(hub).await;
        if done(&models) {
            return models;
        }
        assert!(Instant::now() < deadline, "{models:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Names of the built-in package's files, the manifest first.
fn files() -> Vec<String> {
    let json = std::fs::read(models_dir().join("glyph/manifest.json")).unwrap();
    let manifest = Manifest::parse(&json).unwrap();
    let listed = manifest.files().map(|file| file.name.clone());
    std::iter::once("manifest.json".to_owned())
        .chain(listed)
        .collect()
}

fn copy(file: &str, to: &Path) {
    std::fs::copy(models_dir().join("glyph").join(file), to.join(file)).unwrap();
}

/// The built-in package, under another name and as another version if they are given.
fn put(models: &TempDir, folder: &str, change: impl Fn(&mut serde_json::Value)) {
    let part = tempfile::tempdir_in(models.path()).unwrap().keep();
    files().iter().for_each(|file| copy(file, &part));
    let path = part.join("manifest.json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(&path, manifest.to_string()).unwrap();
    let target = models.path().join(folder);
    if target.exists() {
        std::fs::remove_dir_all(&target).unwrap();
    }
    std::fs::rename(part, target).unwrap();
}

/// A picture of the server, and the digest of the weights that its recipe says.
async fn picture(hub: &Hub, seed: u64) -> String {
    let job = hub.submit(&request(PROMPT, seed)).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    let own = hub.own().await;
    let made = own
        .iter()
        .find(|image| image.recipe.request.seed == Some(seed));
    made.unwrap().recipe.weights_digest.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_come_change_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, replica) = (follow(&folder).await, follow(&folder).await);
    assert!(models(&hub).await.is_empty());
    assert_problem(
        hub.post("/api/v1/jobs", &request(PROMPT, 1)).await,
        ProblemCode::UnknownModel,
    )
    .await;

    // Copied file by file, the manifest first: a package that is not whole is not offered.
    let glyph = folder.path().join("glyph");
    std::fs::create_dir(&glyph).unwrap();
    let files = files();
    let (last, first) = files.split_last().unwrap();
    for file in first {
        copy(file, &glyph);
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(models(&hub).await.is_empty());
    copy(last, &glyph);
    let offered = until(&hub, |models| models.len() == 1).await;
    assert_eq!(until(&replica, |models| models.len() == 1).await, offered);
    let digest = &offered[0].weights_digest;
    assert_eq!(picture(&hub, 1).await, *digest);
    let address = offered[0].package_url.clone().unwrap();
    let served = hub.get(&address).await;
    assert_eq!(served.headers()["etag"], format!("\"{digest}\"").as_str());
    let bytes = served.bytes().await.unwrap();
    assert_eq!(bytes, std::fs::read(glyph.join("manifest.json")).unwrap());
    let refused = hub.send(Method::POST, &address).await;
    assert_eq!(refused.headers()["allow"], "GET,HEAD");
    assert_problem(refused, ProblemCode::MethodNotAllowed).await;
    let card: ModelCard = json(hub.get(&format!("/api/v1/models/{GLYPH}")).await).await;
    assert_eq!(card.weights_digest.as_ref(), Some(digest));

    // The worker has the old one loaded.
    put(&folder, "glyph", |manifest| {
        manifest["version"] = "new".into()
    });
    let changed = until(&hub, |models| {
        models.iter().any(|model| model.weights_digest != *digest)
    })
    .await;
    assert_eq!(picture(&hub, 2).await, changed[0].weights_digest);

    // Beside a second package of the same id the models stay as they are.
    put(&folder, "again", |_| {});
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(models(&hub).await, changed);
    std::fs::remove_dir_all(folder.path().join("again")).unwrap();
    put(&folder, "other", |manifest| {
        manifest["id"] = "demo-hub/other".into();
    });
    for hub in [&hub, &replica] {
        until(hub, |models| models.len() == 2).await;
    }

    // What was damaged is not offered any more, and neither is what is gone.
    std::fs::write(glyph.join(last), "damaged").unwrap();
    let left = until(&hub, |models| models.len() == 1).await;
    assert_eq!(left[0].id, "demo-hub/other");
    assert_problem(
        hub.post("/api/v1/jobs", &request(PROMPT, 3)).await,
        ProblemCode::UnknownModel,
    )
    .await;
    assert_problem(
        hub.get(&format!("/api/v1/models/{GLYPH}")).await,
        ProblemCode::UnknownModel,
    )
    .await;
    assert_eq!(hub.get(&address).await.status(), StatusCode::NOT_FOUND);
    std::fs::remove_dir_all(folder.path().join("other")).unwrap();
    until(&hub, |models| models.is_empty()).await;
    until(&replica, |models| models.is_empty()).await;
    hub.stop().await;
    replica.stop().await;
}

/// What cannot be looked at for a moment, as a network's folder, is not taken for empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_away_leaves_the_models() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "glyph", |_| {});
    let hub = follow(&folder).await;
    let offered = models(&hub).await;
    let away = folder.path().with_extension("away");
    std::fs::rename(folder.path(), &away).unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(models(&hub).await, offered);
    std::fs::rename(&away, folder.path()).unwrap();
    assert_eq!(picture(&hub, 1).await, offered[0].weights_digest);
    put(&folder, "glyph", |manifest| {
        manifest["version"] = "new".into()
    });
    until(&hub, |models| {
        models.len() == 1 && models[0].weights_digest != offered[0].weights_digest
    })
    .await;
    hub.stop().await;
}
