//! Models that the operator adds by the API and the forms of the page, from a hub that behaves as the real one does.

mod ends;
mod looks;
mod signing_in;

use std::fs;
use std::time::{Duration, Instant};

use protocol::{Addition, AdditionStage, AdditionStatus, JobStatus, ProblemCode};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fetched::{Hub as ModelHub, LARGE, Large, is_without_packages};
use crate::hub::{Folders, Hub, assert_problem, json as read, request};

pub const ADMIN: &str = "correct horse battery staple";
const ADDITIONS: &str = "/api/v1/operator/additions";
/// Longer than a tiny model takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A hub with an operator, over a models folder that others may share.
pub async fn hub_over(models: &TempDir, of: &ModelHub) -> Hub {
    let line = options(models, of);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    Hub::over(Folders::new(), &line).await
}

fn options(models: &TempDir, of: &ModelHub) -> Vec<String> {
    let dir = models.path().to_str().unwrap();
    [
        "--models-dir",
        dir,
        "--models-refresh-seconds",
        "1",
        "--admin-token",
        ADMIN,
        "--hub-url",
        &of.hub.url,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The operator, who sends the token.
struct Operator {
    http: Client,
    url: String,
}

impl Operator {
    fn of(url: &str) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(60));
        Self {
            http: http.build().unwrap(),
            url: url.to_owned(),
        }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).bearer_auth(ADMIN)
    }

    async fn add(&self, request: Value) -> Response {
        let posted = self.ask(Method::POST, ADDITIONS).json(&request);
        posted.send().await.unwrap()
    }

    async fn begin(&self) -> Addition {
        let answer = self.add(json!({"id": "maker/model"})).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        read(answer).await
    }

    async fn list(&self) -> Vec<Addition> {
        read(self.ask(Method::GET, ADDITIONS).send().await.unwrap()).await
    }

    async fn get(&self, id: &str) -> Addition {
        let path = format!("{ADDITIONS}/{id}");
        read(self.ask(Method::GET, &path).send().await.unwrap()).await
    }

    async fn cancel(&self, id: &str) -> StatusCode {
        let path = format!("{ADDITIONS}/{id}");
        let answer = self.ask(Method::DELETE, &path).send().await.unwrap();
        answer.status()
    }

    /// Waits until `done` holds of an addition.
    async fn until(&self, id: &str, done: impl Fn(&Addition) -> bool) -> Addition {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let addition = self.get(id).await;
            if done(&addition) {
                return addition;
            }
            assert!(Instant::now() < deadline, "{addition:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn end(&self, id: &str) -> Addition {
        self.until(id, |addition| addition.status.is_final()).await
    }
}

/// Half of the large file is here, and the rest does not come.
async fn half_way(models: &TempDir) -> u64 {
    let part = format!(".downloads/maker--model/{LARGE}.part");
    let part = models.path().join(part);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let length = fs::metadata(&part).map_or(0, |meta| meta.len());
        if length > 0 {
            // The stand-in sends half in one piece; all of it has to be on the disk.
            tokio::time::sleep(Duration::from_millis(300)).await;
            return fs::metadata(&part).unwrap().len();
        }
        assert!(Instant::now() < deadline, "no download was begun");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the hub offers the model.
async fn offered(hub: &Hub) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let models: Vec<protocol::ModelSummary> = read(hub.get("/api/v1/models").await).await;
        if models.iter().any(|model| model.id == "maker/model") {
            return;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_added_used_and_removed_while_the_hub_runs() {
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    let hub = hub_over(&models, &of).await;
    let operator = Operator::of(&hub.url);
    let address = format!("{}/maker/model/tree/v1", of.hub.url);
    let answer = operator.add(json!({"id": address})).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let added: Addition = read(answer).await;
    assert_eq!(location, format!("{ADDITIONS}/{}", added.id));
    assert_eq!(added.request.id, "maker/model");
    assert_eq!(added.request.revision.as_deref(), Some("v1"));
    // Once is enough.
    let twice = operator.add(json!({"id": "maker/model"})).await;
    assert_problem(twice, ProblemCode::Conflict).await;

    let events = operator.ask(Method::GET, &format!("{ADDITIONS}/events"));
    let mut events = events.send().await.unwrap();
    let mut stages = Vec::new();
    let mut text = String::new();
    let last = 'followed: loop {
        let chunk = events.chunk().await.unwrap().expect("the end of it");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some((_, data)) = event.split_once("data: ") {
                let list: Vec<Addition> = serde_json::from_str(data).unwrap();
                let [addition] = &list[..] else {
                    panic!("{list:?}")
                };
                stages.extend(addition.stage.filter(|stage| !stages.contains(stage)));
                if addition.status.is_final() {
                    break 'followed addition.clone();
                }
            }
            text = rest.to_owned();
        }
    };
    assert_eq!(last.status, AdditionStatus::Done, "{last:?}");
    assert!(stages.contains(&AdditionStage::Trying), "{stages:?}");
    let fetched = last.fetched.unwrap();
    assert!(fetched.bytes > 0 && fetched.bytes == fetched.total_bytes);
    assert!(last.ended_at.unwrap() >= last.created_at);

    offered(&hub).await;
    let wanted = protocol::GenerationRequest {
        model: "maker/model".to_owned(),
        num_inference_steps: Some(2),
        ..request("red apple", 1)
    };
    let job = hub.submit(&wanted).await;
    let made = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(made.status, JobStatus::Completed, "{made:?}");
    let here = operator.add(json!({"id": "maker/model"})).await;
    assert_problem(here, ProblemCode::Conflict).await;

    // An ended one is forgotten; the model is removed by itself.
    assert_eq!(operator.cancel(&added.id).await, StatusCode::OK);
    assert!(operator.list().await.is_empty());
    let path = "/api/v1/operator/models/maker/model";
    let removed = operator.ask(Method::DELETE, path).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert!(is_without_packages(models.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_that_share_a_folder_add_a_model_once() {
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    let hubs = [hub_over(&models, &of).await, hub_over(&models, &of).await];
    let operators = hubs.each_ref().map(|hub| Operator::of(&hub.url));
    let added = operators[0].begin().await;
    let twice = operators[1].add(json!({"id": "maker/model"})).await;
    assert_problem(twice, ProblemCode::Conflict).await;
    for (operator, hub) in operators.iter().zip(&hubs) {
        let end = operator.end(&added.id).await;
        assert_eq!(end.status, AdditionStatus::Done, "{end:?}");
        offered(hub).await;
    }
    // Neither asked for the weights a second time.
    assert_eq!(of.ranges(), [None]);
    // What one cannot be told of an addition of the other's folder.
    let nothing = operators[1].ask(Method::GET, &format!("{ADDITIONS}/1767225600000-abcdef01"));
    assert_problem(nothing.send().await.unwrap(), ProblemCode::NotFound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_hub_began_another_one_ends_or_cancels() {
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    of.set(|state| state.large = Large::Stalled);
    let first = hub_over(&models, &of).await;
    let added = Operator::of(&first.url).begin().await;
    half_way(&models).await;
    let other = hub_over(&models, &of).await;
    let operator = Operator::of(&other.url);
    // The one that does not work on it cancels it all the same.
    assert_eq!(operator.cancel(&added.id).await, StatusCode::ACCEPTED);
    let end = operator.end(&added.id).await;
    assert_eq!(end.status, AdditionStatus::Cancelled);
    of.set(|state| state.large = Large::Whole);
    // A hub that stops leaves to the others what it has not ended.
    let again = operator.begin().await;
    first.stop().await;
    let end = operator.end(&again.id).await;
    assert_eq!(end.status, AdditionStatus::Done, "{end:?}");
}
