//! What a sweep removes, when, and what it must not.

use std::time::Duration;

use reqwest::StatusCode;
use server::config::Command;
use server::images::{SweepError, SweepOptions};
use server::storage::command;

use crate::hostile::opened;
use crate::hub::{Hub, picture, upload_request};
use crate::stores::{Bucket, images, keys};

const AT_ONCE: SweepOptions = SweepOptions {
    lifetime: Duration::ZERO,
    full: true,
    force: false,
};

async fn delete_all(bucket: &Bucket, prefix: &str) {
    let store = bucket.store();
    for key in keys(&store).await {
        if key.starts_with(prefix) {
            store.delete(&key).await.unwrap();
        }
    }
}

async fn with_pictures(bucket: &Bucket) -> (Hub, Vec<protocol::ImageRecord>) {
    let hub = bucket.hub(&[]).await;
    let mut saved = Vec::new();
    for n in 0..5 {
        saved.push(hub.save(picture(n)).await);
    }
    (hub, saved)
}

/// `demo-hub storage sweep`.
async fn command(bucket: &Bucket, extra: &[&str]) -> anyhow::Result<String> {
    let mut words = vec!["storage", "sweep", "--older-than-seconds=0"];
    words.extend(extra);
    let Command::Storage(storage) = bucket.command(&words) else {
        unreachable!()
    };
    let mut out = Vec::new();
    command::run(storage, &mut out).await?;
    Ok(String::from_utf8(out)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_its_records_is_not_emptied() {
    let bucket = Bucket::embedded().await;
    let (_hub, _saved) = with_pictures(&bucket).await;
    delete_all(&bucket, "record/").await;
    let before = keys(&bucket.store()).await;
    for _ in 0..3 {
        let refused = command(&bucket, &[]).await.unwrap_err().to_string();
        assert!(
            refused.contains("5 of 5") && refused.contains("--force"),
            "{refused}"
        );
    }
    assert_eq!(
        keys(&bucket.store()).await,
        before,
        "nothing was removed, or marked"
    );
    // Where the references were lost too, the bytes alone tell.
    delete_all(&bucket, "ref/").await;
    let refused = command(&bucket, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("5 of 5 pictures"), "{refused}");
    for _ in 0..3 {
        command(&bucket, &["--force"]).await.unwrap();
    }
    assert!(keys(&bucket.store()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_its_bytes_is_left_alone() {
    let bucket = Bucket::embedded().await;
    let (_hub, _saved) = with_pictures(&bucket).await;
    delete_all(&bucket, "img/").await;
    let before = keys(&bucket.store()).await;
    let refused = command(&bucket, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("5 of 5 records miss"), "{refused}");
    assert_eq!(keys(&bucket.store()).await, before);
    let refused = images(bucket.store()).sweep(AT_ONCE).await.unwrap_err();
    assert!(
        matches!(refused, SweepError::Implausible { .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_explains_goes_in_a_later_sweep() {
    let bucket = Bucket::embedded().await;
    let (hub, saved) = with_pictures(&bucket).await;
    let store = bucket.store();
    let before = keys(&store).await;
    let stray = format!("img/00/{}.png", "00".repeat(32));
    store.put(&stray, picture(9), "image/png").await.unwrap();
    let orphan = format!("ref/{}/{}", "11".repeat(32), saved[0].id);
    let orphan = orphan.replace(&saved[0].id, "zzzzzzzzz0000000000");
    store.put_marker(&orphan).await.unwrap();
    let sweeper = images(bucket.store());
    // Young, as far as anybody can tell.
    let patient = SweepOptions::older_than(Duration::from_secs(3600));
    sweeper.sweep(patient).await.unwrap();
    assert!(keys(&store).await.contains(&stray));
    let first = sweeper.sweep(AT_ONCE).await.unwrap();
    assert_eq!((first.marked, first.pictures), (1, 0), "{first:?}");
    let marked = keys(&store).await;
    assert!(marked.contains(&stray));
    // What is needed again meanwhile stays.
    let needed = format!("ref/{}/{}", "00".repeat(32), saved[0].id);
    store.put_marker(&needed).await.unwrap();
    for _ in 0..3 {
        sweeper.sweep(AT_ONCE).await.unwrap();
    }
    assert!(keys(&store).await.contains(&stray));
    store.delete(&needed).await.unwrap();
    for _ in 0..3 {
        sweeper.sweep(AT_ONCE).await.unwrap();
    }
    assert_eq!(keys(&store).await, before);
    for record in &saved {
        assert_eq!(opened(&hub, record).await.len() as u64, record.bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_mended_and_ask_the_record() {
    let bucket = Bucket::embedded().await;
    let (hub, saved) = with_pictures(&bucket).await;
    let store = bucket.store();
    let before = keys(&store).await;
    // Markers of before a change that was cut short: they lead to nothing.
    let stale: Vec<&String> = before
        .iter()
        .filter(|key| {
            ["listed/", "model/", "creator/"]
                .iter()
                .any(|p| key.starts_with(p))
        })
        .collect();
    for id in [&saved[0].id, &saved[1].id] {
        let state = if id == &saved[0].id {
            "private"
        } else {
            "unlisted"
        };
        let change = serde_json::json!({ "visibility": state });
        assert_eq!(hub.patch(id, change).await.status(), StatusCode::OK);
    }
    assert_eq!(
        hub.delete(&saved[2].id).await.status(),
        StatusCode::NO_CONTENT
    );
    let right = keys(&store).await;
    for key in stale {
        store.put_marker(key).await.unwrap();
    }
    let shown = |records: Vec<protocol::ImageRecord>| {
        let mut ids: Vec<String> = records.into_iter().map(|record| record.id).collect();
        ids.sort();
        ids
    };
    let mut left = vec![saved[3].id.clone(), saved[4].id.clone()];
    left.sort();
    for filter in ["", "&model=demo-hub/glyph", "&creator=demo-hub"] {
        let path = format!("/api/v1/images?limit=60{filter}");
        let page: protocol::GalleryPage = crate::hub::json(hub.get(&path).await).await;
        assert_eq!(shown(page.items), left, "{filter}");
    }
    bucket.sweep().await;
    let mended = keys(&store).await;
    let deleted = &saved[2].id;
    let expected = right.iter().filter(|key| !key.contains(deleted.as_str()));
    assert_eq!(mended, expected.cloned().collect());
    // And the other way: lists that were lost.
    for prefix in ["listed/", "model/", "creator/", "own/", "ref/"] {
        delete_all(&bucket, prefix).await;
    }
    assert!(hub.listed().await.is_empty());
    assert_eq!(
        bucket.sweep().await.repaired,
        8,
        "four references, four records' markers"
    );
    assert_eq!(keys(&store).await, mended);
    assert_eq!(shown(hub.listed().await), left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_removal_is_ended() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let record = hub.save(picture(1)).await;
    let store = bucket.store();
    let whole = keys(&store).await;
    assert_eq!(
        hub.delete(&record.id).await.status(),
        StatusCode::NO_CONTENT
    );
    // As if the server had died right after the tombstone: everything else is still there.
    for key in whole.iter().filter(|key| !key.starts_with("record/")) {
        if !key.starts_with("img/") {
            store.put_marker(key).await.unwrap();
        }
    }
    let png = format!("img/{}/{}.png", &record.sha256[..2], record.sha256);
    store.put(&png, picture(1), "image/png").await.unwrap();
    assert_eq!(hub.get(&record.url).await.status(), StatusCode::NOT_FOUND);
    assert!(hub.own().await.is_empty());
    bucket.sweep().await;
    assert!(keys(&store).await.is_empty(), "{:?}", keys(&store).await);
    // An upload that was never committed leaves as little.
    hub.announce(&upload_request(&picture(2))).await;
    bucket.sweep().await;
    assert!(keys(&store).await.is_empty());
}
