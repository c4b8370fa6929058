//! How additions end that do not simply end well.

use super::*;
use crate::crash::Server;
use crate::small_disk::NAMESPACES;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_addition_leaves_nothing_but_what_was_downloaded() {
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    of.set(|state| state.large = Large::Stalled);
    let hub = hub_over(&models, &of).await;
    let operator = Operator::of(&hub.url);
    let added = operator.begin().await;
    let half = half_way(&models).await;
    let seen = operator
        .until(&added.id, |addition| {
            addition.fetched.as_ref().is_some_and(|f| f.bytes > 0)
        })
        .await;
    assert_eq!(seen.stage, Some(AdditionStage::Downloading));
    // Others wait, and one that waits is cancelled at once.
    let waiting: Addition = read(operator.add(json!({"id": "maker/other"})).await).await;
    assert_eq!(operator.cancel(&waiting.id).await, StatusCode::ACCEPTED);
    let end = operator.end(&waiting.id).await;
    assert_eq!(end.status, AdditionStatus::Cancelled);
    assert_eq!(
        operator.get(&added.id).await.status,
        AdditionStatus::Running
    );

    assert_eq!(operator.cancel(&added.id).await, StatusCode::ACCEPTED);
    let end = operator.end(&added.id).await;
    assert_eq!(end.status, AdditionStatus::Cancelled);
    assert!(is_without_packages(models.path()));
    of.set(|state| state.large = Large::Whole);
    let again = operator.begin().await;
    let end = operator.end(&again.id).await;
    assert_eq!(end.status, AdditionStatus::Done, "{end:?}");
    assert_eq!(of.ranges(), [None, Some(format!("bytes={half}-"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_goes_on_after_the_hub_was_killed_or_stopped() {
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    of.set(|state| state.large = Large::Stalled);
    let folders = Folders::new();
    let line = options(&models, &of);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let mut server = Server::start(&folders, &line);
    let added = Operator::of(&server.url).begin().await;
    let half = half_way(&models).await;
    server.kill();
    // Another one goes on by itself, from where the download was.
    let folders = Folders::new();
    let mut server = Server::start(&folders, &line);
    let deadline = Instant::now() + PATIENCE;
    while of.ranges().len() < 2 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let from = Some(format!("bytes={half}-"));
    assert_eq!(of.ranges(), [None, from]);
    let term = std::process::Command::new("kill")
        .args(["-TERM", &server.pid().to_string()])
        .status();
    assert!(term.unwrap().success());
    server.wait();
    of.set(|state| state.large = Large::Whole);
    let hub = hub_over(&models, &of).await;
    let end = Operator::of(&hub.url).end(&added.id).await;
    assert_eq!(end.status, AdditionStatus::Done, "{end:?}");
    offered(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_kept_with_its_reason_and_tried_again() {
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    of.set(|state| state.large = Large::Wrong);
    let hub = hub_over(&models, &of).await;
    let operator = Operator::of(&hub.url);
    let added = operator.begin().await;
    let end = operator.end(&added.id).await;
    assert_eq!(end.status, AdditionStatus::Failed);
    let reason = end.reason.unwrap();
    assert!(
        reason.contains(LARGE) && reason.contains("is not the hub's file"),
        "{reason}"
    );
    assert!(is_without_packages(models.path()));
    of.set(|state| state.large = Large::Whole);
    let cookie = super::signing_in::session(&hub).await;
    let path = format!("/operator/additions/{}/again", added.id);
    let form = super::signing_in::form(&hub, &path, &[], Some(&cookie)).await;
    assert_eq!(form.status(), StatusCode::SEE_OTHER);
    assert_eq!(form.headers()["location"], "/models/add");
    let list = operator.list().await;
    let [again] = &list[..] else {
        panic!("{list:?}")
    };
    let end = operator.end(&again.id).await;
    assert_eq!(end.status, AdditionStatus::Done, "{end:?}");
}

/// On a file system of eight mebibytes, where that can be mounted.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_the_reason() {
    let Some(namespace) = NAMESPACES.iter().find(|namespace| namespace.works()) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    of.set(|state| {
        let bytes = (0..12 << 20).map(|at: u32| at.to_le_bytes()[1] ^ 0x5a);
        state.files.insert(LARGE.to_owned(), bytes.collect());
        state.sizes = false;
    });
    let folders = Folders::new();
    let line = options(&models, &of);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let program = namespace.command(models.path(), env!("CARGO_BIN_EXE_demo-hub"));
    let server = Server::run(program, &folders, false, &line);
    let operator = Operator::of(&server.url);
    let added = operator.begin().await;
    let end = operator.end(&added.id).await;
    assert_eq!(end.status, AdditionStatus::Failed);
    let reason = end.reason.unwrap();
    assert!(reason.contains("the disk is full"), "{reason}");
}
