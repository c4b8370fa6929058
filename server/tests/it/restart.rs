//! The embedded queue after its process has ended, in whatever way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::{JobStatus, Problem, ProblemCode};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use server::jobs::embedded::FILE;
use server::jobs::{Claim, EmbeddedQueue, HandBack, Queue};
use tempfile::TempDir;

use crate::queue::{completed, embedded, pull, pull_at_once, steps, submission};

const JOBS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("jobs");
const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");

/// The file as it is at this moment, as after a `kill -9`: what is not written yet is lost.
fn killed(folder: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
    copy
}

async fn open(file: &Path, retention: Duration) -> anyhow::Result<EmbeddedQueue> {
    EmbeddedQueue::open(file, 8, retention).await
}

async fn next(queue: &EmbeddedQueue) -> Box<dyn Claim> {
    pull(queue).await.expect("a job")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let queue = embedded(&folder, 8).await;
    let mut ids = Vec::new();
    for key in [None, Some("k"), None, None] {
        ids.push(queue.submit(submission("a", key)).await.unwrap().id);
    }
    let running = next(&queue).await;
    assert_eq!(running.id(), ids[0]);
    running.step(steps(5)).await;
    assert!(next(&queue).await.finish(completed()).await.unwrap());
    let view = queue.cancel(&ids[2]).await.unwrap();
    assert_eq!(view.status, JobStatus::Cancelled);

    let after = embedded(&killed(&folder), 8).await;
    let status = async |id: &str| after.get(id).await.unwrap();
    let first = status(&ids[0]).await;
    // The attempt counts, what was done of it does not.
    assert_eq!((first.status, first.attempt), (JobStatus::Queued, 1));
    assert_eq!((first.progress, first.queue_position), (steps(0), Some(0)));
    assert_eq!(status(&ids[1]).await.status, JobStatus::Completed);
    assert!(status(&ids[1]).await.image.is_some());
    assert_eq!(status(&ids[2]).await.status, JobStatus::Cancelled);
    assert_eq!(status(&ids[3]).await.queue_position, Some(1));
    let again = after.submit(submission("a", Some("k"))).await.unwrap();
    assert_eq!(again.id, ids[1]);
    let reused = after.submit(submission("other", Some("k"))).await;
    assert_eq!(reused.unwrap_err().code, ProblemCode::IdempotencyKeyReused);
    let claim = next(&after).await;
    assert_eq!(claim.id(), ids[0]);
    assert_eq!(status(&ids[0]).await.attempt, 2);
    assert!(claim.finish(completed()).await.unwrap());
    assert_eq!(next(&after).await.id(), ids[3]);
    // The durations are known, too.
    let last = after.submit(submission("a", None)).await.unwrap().id;
    after.heartbeat(&crate::queue::worker()).await;
    let id = after.submit(submission("a", None)).await.unwrap().id;
    assert!(after.get(&id).await.unwrap().eta_ms.is_some(), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_the_process_each_time_fails_in_the_end() {
    let mut folder = tempfile::tempdir().unwrap();
    let mut queue = embedded(&folder, 8).await;
    let poison = queue.submit(submission("poison", None)).await.unwrap().id;
    let good = queue.submit(submission("good", None)).await.unwrap().id;
    for attempt in 1..=3 {
        let claim = next(&queue).await;
        assert_eq!(claim.id(), poison, "{attempt}");
        let after = killed(&folder);
        drop(claim);
        queue = embedded(&after, 8).await;
        folder = after;
    }
    let view = queue.get(&poison).await.unwrap();
    assert_eq!((view.status, view.attempt), (JobStatus::Failed, 3));
    let detail = view.error.unwrap().detail;
    assert!(detail.contains("worker died"), "{detail}");
    assert_eq!(next(&queue).await.id(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_cancel_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let queue = embedded(&folder, 8).await;
    let id = queue.submit(submission("a", None)).await.unwrap().id;
    let _claim = next(&queue).await;
    let view = queue.cancel(&id).await.unwrap();
    assert_eq!(view.status, JobStatus::Generating);
    let after = embedded(&killed(&folder), 8).await;
    assert_eq!(after.get(&id).await.unwrap().status, JobStatus::Cancelled);
    assert!(pull_at_once(&after).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_closed_keeps_everything_and_hands_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let queue = embedded(&folder, 8).await;
    let running = queue.submit(submission("a", None)).await.unwrap().id;
    let waiting = queue.submit(submission("a", None)).await.unwrap().id;
    let claim = next(&queue).await;
    queue.stop();
    assert!(pull_at_once(&queue).await.is_none());
    // A request that was under way is accepted, for the next start.
    let late = queue.submit(submission("a", None)).await.unwrap().id;
    claim.hand_back(HandBack::Draining).await.unwrap();
    queue.close().await;
    let refused = queue.submit(submission("a", None)).await.unwrap_err();
    assert_eq!(refused.code, ProblemCode::QueueUnavailable);
    // The file is free although the queue still exists.
    let after = embedded(&folder, 8).await;
    for id in [running, waiting, late] {
        let claim = next(&after).await;
        assert_eq!(claim.id(), id);
        assert_eq!(after.get(&id).await.unwrap().attempt, 1);
        assert!(claim.finish(completed()).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postponed_job_keeps_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let queue = embedded(&folder, 8).await;
    let id = queue.submit(submission("a", None)).await.unwrap().id;
    let mut busy = Problem::new(ProblemCode::EndpointUnavailable, "busy");
    busy.retry_after = Some(2);
    let claim = next(&queue).await;
    claim
        .hand_back(HandBack::Refused(busy.clone()))
        .await
        .unwrap();
    let after = embedded(&killed(&folder), 8).await;
    assert!(pull_at_once(&after).await.is_none());
    let view = after.get(&id).await.unwrap();
    assert_eq!((view.status, view.attempt), (JobStatus::Queued, 0));
    assert_eq!(view.postponed.unwrap().reason, busy);
    assert_eq!(next(&after).await.id(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_are_forgotten_after_their_retention_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let queue = open(&file, Duration::from_secs(3600)).await.unwrap();
    let done = queue.submit(submission("a", Some("k"))).await.unwrap().id;
    assert!(next(&queue).await.finish(completed()).await.unwrap());
    let waiting = queue.submit(submission("a", None)).await.unwrap().id;
    queue.close().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let queue = open(&file, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(queue.get(&done).await.unwrap().status, JobStatus::Completed);
    queue.close().await;
    let queue = open(&file, Duration::from_secs(1)).await.unwrap();
    let gone = queue.get(&done).await.unwrap_err();
    assert_eq!(gone.code, ProblemCode::NotFound);
    // The key is free with it; the one that waits is as old, and known.
    let fresh = queue.submit(submission("b", Some("k"))).await.unwrap().id;
    assert_ne!(fresh, done);
    assert_eq!(queue.get(&waiting).await.unwrap().status, JobStatus::Queued);
    queue.close().await;
    assert_eq!(entries(&file).len(), 2);
}

/// Ids in the file.
fn entries(file: &Path) -> Vec<String> {
    let database = Database::open(file).unwrap();
    let reading = database.begin_read().unwrap();
    let jobs = reading.open_table(JOBS).unwrap();
    let ids = jobs.iter().unwrap();
    ids.map(|entry| entry.unwrap().0.value().to_owned())
        .collect()
}

/// Changes the JSON of a job in the file.
fn edit(file: &Path, id: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let database = Database::open(file).unwrap();
    let writing = database.begin_write().unwrap();
    {
        let mut jobs = writing.open_table(JOBS).unwrap();
        let json = jobs.get(id).unwrap().unwrap().value().to_vec();
        jobs.insert(id, change(json).as_slice()).unwrap();
    }
    writing.commit().unwrap();
}

fn edited(json: Vec<u8>, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(&json).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_other_versions_are_made_or_set_aside_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let queue = embedded(&folder, 8).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(queue.submit(submission("a", None)).await.unwrap().id);
    }
    queue.close().await;
    let mut kept = Vec::new();
    edit(&file, &ids[0], |json| {
        edited(json, |job| {
            job["added_later"] = 1.into();
            job["record"]["added_later"] = 1.into();
            job["record"]["view"]["request"]["added_later"] = 1.into();
        })
    });
    edit(&file, &ids[1], |json| {
        kept.clone_from(&json);
        edited(json, |job| job["format"] = 99.into())
    });
    edit(&file, &ids[2], |_| b"{ garbage".to_vec());

    let queue = embedded(&folder, 8).await;
    assert_eq!(next(&queue).await.id(), ids[0]);
    assert_eq!(next(&queue).await.id(), ids[3]);
    for id in &ids[1..3] {
        let unknown = queue.get(id).await.unwrap_err();
        assert_eq!(unknown.code, ProblemCode::NotFound);
    }
    queue.close().await;
    let dead = server::jobs::embedded::dead(&file).unwrap();
    let listed: Vec<_> = dead.iter().map(|order| order.id.clone()).collect();
    assert!(listed.contains(&ids[1]) && listed.contains(&ids[2]));
    let newer = dead.iter().find(|order| order.id == ids[1]).unwrap();
    assert!(newer.reason.contains("format 99"), "{}", newer.reason);

    // A version that can read it takes it back: here, what lies aside is made readable.
    let dead: TableDefinition<'_, &str, (u64, &str, &[u8])> = TableDefinition::new("dead");
    let database = Database::open(&file).unwrap();
    let writing = database.begin_write().unwrap();
    {
        let mut dead = writing.open_table(dead).unwrap();
        let order = (1, "was newer", kept.as_slice());
        dead.insert(ids[1].as_str(), order).unwrap();
    }
    writing.commit().unwrap();
    drop(database);
    let queue = embedded(&folder, 8).await;
    assert_eq!(queue.get(&ids[1]).await.unwrap().status, JobStatus::Queued);
    queue.close().await;
    assert_eq!(server::jobs::embedded::dead(&file).unwrap().len(), 1);
}

async fn refused(file: &Path) -> String {
    let before = std::fs::read(file).unwrap();
    let Err(error) = open(file, Duration::from_secs(60)).await else {
        panic!("it opens")
    };
    assert_eq!(std::fs::read(file).unwrap().len(), before.len());
    format!("{error:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_queue_is_refused_with_a_reason_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join(FILE);
    std::fs::write(&file, "this is no database, but somebody may want it").unwrap();
    let said = refused(&file).await;
    assert!(
        said.contains("jobs.redb") && said.contains("Nothing was deleted"),
        "{said}"
    );
    assert!(
        std::fs::read(&file)
            .unwrap()
            .starts_with(b"this is no database")
    );
    std::fs::remove_file(&file).unwrap();

    let queue = Arc::new(embedded(&folder, 8).await);
    for _ in 0..8 {
        queue.submit(submission("a", None)).await.unwrap();
    }
    let said = refused(&file).await;
    assert!(said.contains("in use"), "{said}");
    queue.close().await;

    let whole = std::fs::read(&file).unwrap();
    let cut = &whole[..whole.len() / 2];
    std::fs::write(&file, cut).unwrap();
    let said = refused(&file).await;
    assert!(said.contains("Nothing was deleted"), "{said}");

    // A disk that gives other bytes back than it got: all pages but the first are wrong.
    let mut torn = whole.clone();
    for byte in &mut torn[4096..] {
        *byte ^= 0x5a;
    }
    std::fs::write(&file, &torn).unwrap();
    let said = refused(&file).await;
    assert!(said.contains("Nothing was deleted"), "{said}");

    std::fs::write(&file, &whole).unwrap();
    let database = Database::open(&file).unwrap();
    let writing = database.begin_write().unwrap();
    writing
        .open_table(META)
        .unwrap()
        .insert("format", 99)
        .unwrap();
    writing.commit().unwrap();
    drop(database);
    let said = refused(&file).await;
    assert!(said.contains("newer version (format 99"), "{said}");
}
