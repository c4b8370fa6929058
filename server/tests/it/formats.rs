//! Orders and states of other versions in NATS, as during a rolling upgrade or after one was taken back.

use std::time::Duration;

use async_nats::jetstream;
use protocol::{JobStatus, JobView, Problem, ProblemCode};
use serde_json::{Value, json};
use server::images::ImageId;
use server::jobs::{NatsQueue, Queue, Role};

use crate::hub::resolved;
use crate::nats::Nats;
use crate::queue::{completed, pull, pull_at_once, submission};

/// A queue, and what writes to it beside this version.
struct Bed {
    nats: Nats,
    app: NatsQueue,
    worker: NatsQueue,
    context: jetstream::Context,
}

impl Bed {
    async fn start() -> Self {
        let nats = Nats::start();
        let app = nats.queue(8, Role::App).await;
        let worker = nats.queue(8, Role::Worker).await;
        let client = async_nats::connect(nats.url()).await.unwrap();
        Self {
            nats,
            app,
            worker,
            context: jetstream::new(client),
        }
    }

    async fn publish(&self, id: &str, order: impl Into<String>) {
        let subject = format!("test.queue.demo-hub=2Fglyph.{id}");
        let sent = self.context.publish(subject, order.into().into()).await;
        sent.unwrap().await.unwrap();
    }

    async fn put_state(&self, id: &str, state: &Value) {
        let jobs = self.context.get_key_value("test-jobs").await.unwrap();
        jobs.put(id, state.to_string().into()).await.unwrap();
    }

    async fn messages(&self, stream: &str) -> u64 {
        let Ok(mut stream) = self.context.get_stream(stream).await else {
            return 0;
        };
        stream.info().await.unwrap().state.messages
    }

    /// Pulls until `done`; nothing may come.
    async fn nothing_comes_until(&self, done: impl AsyncFn() -> bool) {
        let waiting = async {
            while !done().await {
                assert!(pull_at_once(&self.worker).await.is_none());
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .unwrap();
    }

    async fn get(&self, id: &str) -> JobView {
        self.app.get(id).await.unwrap()
    }
}

/// As the version before the first numbered format writes it.
fn first(id: &str) -> Value {
    json!({ "id": id, "request": protocol::GenerationRequest::from(resolved("red apple", 7)), "keeping": { "unlisted": false } })
}

fn new_id() -> String {
    ImageId::new().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_older_and_newer_versions_are_made() {
    let bed = Bed::start().await;
    let (old, new) = (new_id(), new_id());
    bed.publish(&old, first(&old).to_string()).await;
    let mut newer = first(&new);
    newer["format"] = json!(2);
    newer["added_later"] = json!({ "x": [1] });
    newer["request"]["added_later"] = json!("x");
    newer["keeping"]["added_later"] = json!(true);
    bed.publish(&new, newer.to_string()).await;
    // Nobody wrote states: they are known by their orders.
    for id in [&old, &new] {
        let view = bed.get(id).await;
        assert_eq!(
            (view.status, view.request.seed),
            (JobStatus::Queued, Some(7))
        );
    }
    for id in [&old, &new] {
        let claim = pull(&bed.worker).await.expect("the job");
        assert_eq!(claim.id(), id);
        assert_eq!(claim.request().prompt, "red apple");
        assert!(claim.finish(completed()).await.unwrap());
        assert_eq!(bed.get(id).await.status, JobStatus::Completed);
    }
    assert_eq!(bed.messages("test-queue").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_with_one_more_member_is_gone_on_with() {
    let bed = Bed::start().await;
    let id = bed.app.submit(submission("a", None)).await.unwrap().id;
    let jobs = bed.context.get_key_value("test-jobs").await.unwrap();
    let state = jobs.get(&id).await.unwrap().unwrap();
    let mut state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["format"], 2);
    state["added_later"] = json!(1);
    state["view"]["request"]["added_later"] = json!(1);
    bed.put_state(&id, &state).await;
    let claim = pull(&bed.worker).await.expect("the job");
    assert!(claim.finish(completed()).await.unwrap());
    assert_eq!(bed.get(&id).await.status, JobStatus::Completed);
}

/// One that this version cannot read is first left to others, then set aside whole, and told of.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_left_to_others_and_then_set_aside() {
    let bed = Bed::start().await;
    let id = new_id();
    let mut newer = first(&id);
    newer["format"] = json!(99);
    // Its state is of this format, as when only orders changed.
    let known = bed.app.submit(submission("a", None)).await.unwrap().id;
    let claim = pull(&bed.worker).await.unwrap();
    claim.finish(completed()).await.unwrap();
    let jobs = bed.context.get_key_value("test-jobs").await.unwrap();
    let state = jobs.get(&known).await.unwrap().unwrap();
    let mut state: Value = serde_json::from_slice(&state).unwrap();
    state["view"]["id"] = json!(id);
    state["view"]["status"] = json!("queued");
    bed.put_state(&id, &state).await;
    bed.publish(&id, newer.to_string()).await;

    assert!(pull_at_once(&bed.worker).await.is_none());
    // A first delivery takes nothing away.
    assert_eq!(bed.messages("test-queue").await, 1);
    assert_eq!(bed.get(&id).await.status, JobStatus::Queued);
    bed.nothing_comes_until(async || bed.messages("test-queue").await == 0)
        .await;
    assert_eq!(bed.messages("test-dead").await, 1);
    let dead = bed.context.get_stream("test-dead").await.unwrap();
    let kept = dead.get_raw_message(1).await.unwrap();
    assert_eq!(kept.payload, newer.to_string().as_bytes());
    let listed = bed.app.dead().await.unwrap();
    assert_eq!(listed[0].id, id);
    assert!(listed[0].reason.contains("format 99"), "{listed:?}");
    let view = bed.get(&id).await;
    assert_eq!(view.status, JobStatus::Failed);
    assert!(view.error.unwrap().detail.contains("set aside"));
    // What the command says.
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_demo-hub"))
        .args(["jobs", "dead", "--nats-prefix=test", "--nats-url"])
        .arg(bed.nats.url())
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains(&id) && said.contains("1 set aside"), "{said}");

    // A worker that can read it is there, or, here, the order was mended.
    let mended = first(&id).to_string();
    let deleted = dead.delete_message(1).await.unwrap();
    assert!(deleted);
    let subject = format!("test.dead.demo-hub=2Fglyph.{id}");
    let put = bed.context.publish(subject, mended.into()).await.unwrap();
    put.await.unwrap();
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_demo-hub"))
        .args(["jobs", "retry", "--nats-prefix=test", "--nats-url"])
        .arg(bed.nats.url())
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("1 put back"), "{said}");
    let claim = pull(&bed.worker).await.expect("the job");
    assert_eq!(claim.id(), id);
    assert!(claim.finish(completed()).await.unwrap());
    assert_eq!(bed.messages("test-dead").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_state_is_of_a_newer_version_is_not_touched() {
    let bed = Bed::start().await;
    let id = new_id();
    let state = json!({ "format": 99, "something": "else" });
    bed.put_state(&id, &state).await;
    bed.publish(&id, first(&id).to_string()).await;
    bed.nothing_comes_until(async || bed.messages("test-dead").await == 1)
        .await;
    let jobs = bed.context.get_key_value("test-jobs").await.unwrap();
    let kept = jobs.get(&id).await.unwrap().unwrap();
    assert_eq!(kept, state.to_string().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_jobs_are_set_aside_and_jobs_flow() {
    let bed = Bed::start().await;
    let messages = [
        "no JSON".to_owned(),
        "{}".to_owned(),
        first(">").to_string(),
        first("a.b").to_string(),
        first("").to_string(),
    ];
    let count = messages.len() as u64;
    for (place, message) in messages.into_iter().enumerate() {
        bed.publish(&format!("x{place}"), message).await;
    }
    let id = bed.app.submit(submission("b", None)).await.unwrap().id;
    let claim = pull(&bed.worker).await.expect("the job");
    assert_eq!(claim.id(), id);
    assert!(claim.finish(completed()).await.unwrap());
    bed.nothing_comes_until(async || bed.messages("test-queue").await == 0)
        .await;
    assert_eq!(bed.messages("test-dead").await, count);
}

/// The worker died between the state and the `nak`, so that the message comes when its `ack_wait` is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_postponed_job_whose_message_comes_early_keeps_its_time() {
    let bed = Bed::start().await;
    let id = bed.app.submit(submission("a", None)).await.unwrap().id;
    let claim = pull(&bed.worker).await.unwrap();
    let jobs = bed.context.get_key_value("test-jobs").await.unwrap();
    let state = jobs.get(&id).await.unwrap().unwrap();
    let mut state: Value = serde_json::from_slice(&state).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = now.unwrap() + Duration::from_millis(3_500);
    let reason = Problem::new(ProblemCode::EndpointUnavailable, "busy");
    state["view"]["status"] = json!("queued");
    state["view"]["postponed"] = json!({ "until": until.as_millis() as u64, "reason": reason });
    bed.put_state(&id, &state).await;
    let due = tokio::time::Instant::now() + Duration::from_millis(3_400);
    drop(claim);
    while tokio::time::Instant::now() + Duration::from_millis(300) < due {
        assert!(pull_at_once(&bed.worker).await.is_none());
    }
    assert_eq!(bed.get(&id).await.status, JobStatus::Queued);
    let claim = pull(&bed.worker).await.expect("the job");
    assert!(tokio::time::Instant::now() >= due);
    assert_eq!(claim.id(), id);
}
