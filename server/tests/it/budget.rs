//! What all clients together may store, and that every refusal says which limit it is of.

use std::num::NonZeroU32;
use std::time::Duration;

use protocol::{LimitName, Problem, ProblemCode};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::hub::{Hub, assert_problem, json, picture, request, size, upload_request};

const KIB: usize = 1024;

/// Bytes that no picture has, so that a few of them fill a hub.
fn junk(kibibytes: usize, fill: u8) -> Vec<u8> {
    vec![fill; kibibytes * KIB]
}

async fn announce(hub: &Hub, bytes: &[u8]) -> Response {
    hub.post("/api/v1/uploads", &upload_request(bytes)).await
}

/// Sends bytes to the store, and does not commit them.
async fn fill(hub: &Hub, bytes: Vec<u8>) -> String {
    let ticket = hub.announce(&upload_request(&bytes)).await;
    assert_eq!(hub.put(&ticket, bytes).await.status(), StatusCode::OK);
    ticket.id
}

async fn limit(answer: Response, code: ProblemCode) -> (LimitName, Problem) {
    let wait = answer.headers()["retry-after"].to_str().unwrap().to_owned();
    let problem = assert_problem(answer, code).await;
    assert_eq!(problem.retry_after.map(|s| s.to_string()), Some(wait));
    (problem.limit.unwrap(), problem)
}

/// Refusals of that limit at that route, in this process.
async fn refused(hub: &Hub, route: &str, limit: LimitName) -> u64 {
    let metrics = hub.get("/metrics").await.text().await.unwrap();
    let labels = [
        format!("route=\"{route}\""),
        format!("limit=\"{}\"", limit.name()),
    ];
    let line = metrics.lines().find(|line| {
        line.starts_with("demo_hub_requests_refused_total")
            && labels.iter().all(|label| line.contains(label))
    });
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_may_store_ends_and_begins_with_what_is_stored() {
    let options = ["--stored-mebibytes=1"];
    let hub = Hub::with(&options).await;
    let kept = hub.save(picture(1)).await;
    let filling = fill(&hub, junk(900, 1)).await;
    let (name, _) = limit(
        announce(&hub, &junk(150, 2)).await,
        ProblemCode::StorageFull,
    )
    .await;
    assert_eq!(name, LimitName::BytesInAll);
    // Counted from the store, not from what this process saw.
    let hub = Hub::over(hub.stop().await, &options).await;
    let (name, _) = limit(
        announce(&hub, &junk(150, 2)).await,
        ProblemCode::StorageFull,
    )
    .await;
    assert_eq!(name, LimitName::BytesInAll);
    assert!(refused(&hub, "/api/v1/uploads", name).await >= 2);
    // Jobs are refused before anything is made; the OpenAI address too.
    let [width, height] = size();
    let room = (width * height * 3 - 8 * 1024) as usize;
    let stored = 900 * KIB + usize::try_from(kept.bytes).unwrap();
    fill(&hub, vec![3; 1024 * KIB - stored - room]).await;
    let job = hub.post("/api/v1/jobs", &request("red apple", 1)).await;
    assert_eq!(
        limit(job, ProblemCode::StorageFull).await.0,
        LimitName::BytesInAll
    );
    let body = serde_json::json!({"prompt": "red apple"});
    let images = hub.post("/v1/images/generations", &body).await;
    assert_eq!(images.status(), StatusCode::INSUFFICIENT_STORAGE);
    // What is there is read, and needs no room to be saved again.
    assert_eq!(hub.listed().await, vec![kept]);
    let again = hub.announce(&upload_request(&picture(1))).await;
    assert!(again.already_stored);
    assert!(hub.commit(&again.id).await.status().is_success());
    // Who makes room has it.
    assert_problem(hub.commit(&filling).await, ProblemCode::UploadMismatch).await;
    let bytes = junk(100, 2);
    let taken = async {
        while announce(&hub, &bytes).await.status() != StatusCode::CREATED {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken)
        .await
        .unwrap();
    assert!(
        hub.post("/api/v1/jobs", &request("red apple", 1))
            .await
            .status()
            .is_success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_hub_is_degraded_and_in_service() {
    let hub = Hub::with(&["--stored-mebibytes=1"]).await;
    fill(&hub, junk(1024, 1)).await;
    let answer = hub.get("/readyz").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let state: Value = json(answer).await;
    assert_eq!(state["status"], "degraded");
    assert_eq!(
        (&state["storage"], &state["storing"]),
        (&true.into(), &false.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_do_not_go_beyond_it() {
    let hub = Hub::with(&["--stored-mebibytes=1"]).await;
    let uploads: Vec<Vec<u8>> = (0..20).map(|n| junk(100, n)).collect();
    let answers = uploads.iter().map(|bytes| announce(&hub, bytes));
    let answers = futures::future::join_all(answers).await;
    let taken = answers
        .iter()
        .filter(|answer| answer.status() == StatusCode::CREATED);
    // Nothing has arrived yet: what is announced counts.
    assert_eq!(taken.count(), 1024 / 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_bytes_of_all_are_those_stored_within_a_day() {
    let options = ["--stored-mebibytes-per-day=1"];
    let hub = Hub::with(&options).await;
    fill(&hub, junk(1000, 1)).await;
    let hub = Hub::over(hub.stop().await, &options).await;
    let (name, problem) = limit(
        announce(&hub, &junk(100, 2)).await,
        ProblemCode::RateLimited,
    )
    .await;
    assert_eq!(name, LimitName::BytesPerDayOfAll);
    let hours = problem.retry_after.unwrap().div_ceil(3600);
    assert!((24..=26).contains(&hours), "{hours}");
    let stranger = hub.with_cookie(None);
    let bytes = upload_request(&junk(100, 2));
    let answer = stranger.post("/api/v1/uploads", &bytes).await;
    assert_eq!(limit(answer, ProblemCode::RateLimited).await.0, name);
    assert!(refused(&hub, "/api/v1/uploads", name).await >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_an_upload_names_its_limit() {
    let options = ["--uploads-per-hour=2", "--upload-mebibytes-per-day=1"];
    let hub = Hub::with(&options).await;
    let large = junk(1025, 1);
    let (name, _) = limit(announce(&hub, &large).await, ProblemCode::RateLimited).await;
    assert_eq!(name, LimitName::BytesPerDay);
    let ticket = hub.announce(&upload_request(&junk(1, 2))).await;
    let (name, _) = limit(announce(&hub, &junk(1, 3)).await, ProblemCode::RateLimited).await;
    assert_eq!(name, LimitName::UploadsPerHour);
    // Of the address: four times as many, whatever the cookie.
    let mut last = None;
    for number in 0..10 {
        let stranger = hub.with_cookie(None);
        let bytes = upload_request(&junk(1, 10 + number));
        let answer = stranger.post("/api/v1/uploads", &bytes).await;
        if answer.status() != StatusCode::CREATED {
            last = Some(limit(answer, ProblemCode::RateLimited).await.0);
        }
    }
    assert_eq!(last, Some(LimitName::UploadsPerHourOfAddress));
    let commits = NonZeroU32::new(2 * 2).unwrap();
    for _ in 0..commits.get() {
        assert_problem(hub.commit(&ticket.id).await, ProblemCode::UploadMissing).await;
    }
    let (name, _) = limit(hub.commit(&ticket.id).await, ProblemCode::RateLimited).await;
    assert_eq!(name, LimitName::CommitsPerHour);
    assert!(refused(&hub, "/api/v1/uploads/{id}/commit", name).await >= 1);
    // The names are those of the document.
    let document: Value = json(hub.send(Method::GET, "/api/openapi.json").await).await;
    let schemas = &document["components"]["schemas"];
    let names = schemas["LimitName"]["enum"].as_array().unwrap();
    for name in [
        "uploads_per_hour",
        "uploads_per_hour_of_address",
        "bytes_per_day",
        "bytes_per_day_of_address",
        "commits_per_hour",
        "bytes_in_all",
        "bytes_per_day_of_all",
    ] {
        assert!(names.contains(&name.into()), "{name} is not in {names:?}");
    }
    let told = schemas["Problem"]["properties"]["limit"].to_string();
    assert!(told.contains("LimitName"), "{told}");
}
