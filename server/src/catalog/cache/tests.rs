#![allow(clippy::unwrap_used)]
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn failure(kind: TroubleKind) -> Failure {
    Failure::new(kind, "for the test")
}

fn cache(dir: &tempfile::TempDir, ttl: Duration) -> Cache<u32> {
    Cache::new(dir.path(), "numbers", ttl)
}

#[tokio::test]
async fn many_callers_share_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir, Duration::from_secs(60));
    let calls = Arc::new(AtomicUsize::new(0));
    let callers = (0..1000).map(|_| {
        let calls = Arc::clone(&calls);
        cache.get("k", soon(), move || async move {
            calls.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(7)
        })
    });
    for known in join_all(callers).await {
        assert_eq!(known.value.as_deref(), Some(&7));
        assert!(!known.stale && known.trouble.is_none() && known.fetched_at.is_some());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_leaves_at_its_deadline_and_the_request_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir, Duration::from_secs(60));
    let (give, take) = tokio::sync::oneshot::channel::<()>();
    let known = cache
        .get("k", Instant::now() + Duration::from_millis(10), || async {
            take.await.unwrap();
            Ok(1)
        })
        .await;
    assert_eq!(known.value, None);
    assert_eq!(known.trouble.unwrap().kind, TroubleKind::Timeout);
    give.send(()).unwrap();
    let known = cache.get("k", soon(), || async { Ok(2) }).await;
    assert_eq!(known.value.as_deref(), Some(&1));
}

#[tokio::test]
async fn an_old_answer_stays_when_a_new_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    let always_old = || cache(&dir, Duration::ZERO);
    let first = always_old().get("k", soon(), || async { Ok(1) }).await;
    let fetched_at = first.fetched_at.unwrap();

    // Another process finds the answer on the disk.
    let cache = always_old();
    let fails = || async { Err(failure(TroubleKind::UpstreamFailed)) };
    let known = cache.get("k", soon(), fails).await;
    assert_eq!((known.value.as_deref(), known.stale), (Some(&1), false));
    while !cache.get("k", soon(), fails).await.stale {
        tokio::task::yield_now().await;
    }
    let known = cache.get("k", soon(), || async { Ok(2) }).await;
    assert_eq!(
        known.value.as_deref(),
        Some(&1),
        "the failure is remembered"
    );
    assert_eq!(known.fetched_at, Some(fetched_at));
    assert_eq!(known.trouble.unwrap().kind, TroubleKind::UpstreamFailed);
}

#[tokio::test]
async fn failures_rest_as_long_as_the_host_asks() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir, Duration::from_secs(60));
    let limited = || async {
        Err(Failure {
            retry_after: Some(Duration::from_millis(50)),
            ..failure(TroubleKind::RateLimited)
        })
    };
    assert!(cache.get("k", soon(), limited).await.value.is_none());
    let early = cache.get("k", soon(), || async { Ok(1) }).await;
    assert_eq!(early.trouble.unwrap().kind, TroubleKind::RateLimited);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let late = cache.get("k", soon(), || async { Ok(1) }).await;
    assert_eq!(late.value.as_deref(), Some(&1));
}

#[tokio::test]
async fn a_damaged_file_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let ttl = Duration::from_secs(60);
    cache(&dir, ttl).get("k", soon(), || async { Ok(1) }).await;
    let folder = dir.path().join("numbers");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    std::fs::write(file.path(), "{\"key\":\"k\",\"fetched_at\":").unwrap();
    let known = cache(&dir, ttl).get("k", soon(), || async { Ok(2) }).await;
    assert_eq!(known.value.as_deref(), Some(&2));
}

#[tokio::test]
async fn a_panic_ends_the_flight() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir, Duration::from_secs(60));
    #[allow(clippy::panic)]
    let known = cache
        .get("k", soon(), || async { panic!("for the test") })
        .await;
    assert_eq!(known.trouble.unwrap().kind, TroubleKind::UpstreamFailed);
    let known = cache.get("k", soon(), || async { Ok(3) }).await;
    assert_eq!(known.value.as_deref(), Some(&3));
}
