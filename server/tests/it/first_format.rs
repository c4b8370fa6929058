//! The bucket of a hub of the first format, as such a hub left it: listed, unlisted, shared, deleted and ownerless
//! pictures, and two uploads under way (`tests/buckets/first-format`, a file for each object).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protocol::{GalleryPage, ImageRecord, ProblemCode};
use reqwest::{Method, StatusCode};

use crate::hostile::opened;
use crate::hub::{Hub, STRANGER, assert_problem, json};
use crate::stores::{Bucket, keys};

const LISTED: &str = "ybqacnx7d71p85dx9t8";
const UNLISTED: &str = "ybqacnx5fqxx8d5mvem";
const SHARED: [&str; 2] = ["ybqacnx0g4kdpet5a1s", "ybqacnwwvprs7b03ydy"];
const OWNERLESS: &str = "ybqacnwed8agrwz4p29";
const SENT: &str = "ybqacnwggyw6vwftptg";
const ANNOUNCED: &str = "ybqacnwg0w0x70yw9p0";

fn objects() -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, dir: PathBuf, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, path, found);
            } else {
                let key = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(key.to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/buckets/first-format");
    let mut found = BTreeMap::new();
    walk(&root, root.clone(), &mut found);
    found
}

async fn filled(bucket: &Bucket) -> Hub {
    let store = bucket.store();
    for (key, bytes) in objects() {
        store
            .put(&key, bytes, "application/octet-stream")
            .await
            .unwrap();
    }
    bucket.hub(&[]).await
}

fn sorted(records: Vec<ImageRecord>) -> Vec<String> {
    let mut ids: Vec<String> = records.into_iter().map(|record| record.id).collect();
    ids.sort();
    ids
}

async fn everything_is_there(hub: &Hub) {
    let mut public = vec![LISTED, SHARED[0], SHARED[1], OWNERLESS];
    public.sort_unstable();
    assert_eq!(sorted(hub.listed().await), public);
    for filter in ["model=demo-hub/glyph", "creator=demo-hub"] {
        let page: GalleryPage = json(hub.get(&format!("/api/v1/images?{filter}")).await).await;
        assert_eq!(sorted(page.items), public, "{filter}");
    }
    let mut own = vec![LISTED, UNLISTED, SHARED[0]];
    own.sort_unstable();
    assert_eq!(sorted(hub.own().await), own);
    let stranger = hub.with_cookie(Some(STRANGER));
    for id in public.iter().chain([&UNLISTED]) {
        let path = format!("/api/v1/images/{id}");
        let record: ImageRecord = json(stranger.send(Method::GET, &path).await).await;
        assert_eq!(record.unlisted, *id == UNLISTED);
        assert_eq!(record.mine, *id == SHARED[1]);
        assert_eq!(record.expires_at, None);
        assert_eq!(opened(hub, &record).await.len() as u64, record.bytes);
        let small = stranger.send(Method::GET, record.thumbnail_url()).await;
        assert_eq!(small.status(), StatusCode::OK);
    }
    // Pages of two, newest first.
    let first: GalleryPage = json(hub.get("/api/v1/images?limit=2").await).await;
    let cursor = first.next_cursor.unwrap();
    let path = format!("/api/v1/images?limit=2&cursor={cursor}");
    let second: GalleryPage = json(hub.get(&path).await).await;
    assert_eq!(second.next_cursor, None);
    let all: Vec<String> = first
        .items
        .into_iter()
        .chain(second.items)
        .map(|r| r.id)
        .collect();
    assert_eq!(all, public);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_before_and_after_the_sweep_takes_it_over() {
    for bucket in [Bucket::embedded().await, Bucket::moto().await] {
        let hub = filled(&bucket).await;
        everything_is_there(&hub).await;
        let sent: ImageRecord = json(hub.commit(SENT).await).await;
        assert!(!sent.unlisted);
        assert_eq!(hub.delete(SENT).await.status(), StatusCode::NO_CONTENT);
        assert_problem(hub.commit(ANNOUNCED).await, ProblemCode::UploadMissing).await;
        everything_is_there(&hub).await;

        let swept = bucket.sweep().await;
        assert_eq!(swept.taken_over, 5, "{swept:?}");
        everything_is_there(&hub).await;
        let left = keys(&bucket.store()).await;
        let old = |key: &&String| key.starts_with("gallery/") || key.starts_with("unlisted/");
        assert_eq!(left.iter().filter(old).count(), 0, "{left:?}");
        let own = [
            "record/", "listed/", "model/", "creator/", "own/", "ref/", "img/", "thumb/",
        ];
        assert!(
            left.iter()
                .all(|key| own.iter().any(|p| key.starts_with(p))),
            "{left:?}"
        );
        assert_eq!(bucket.sweep().await.taken_over, 0);
        assert_eq!(keys(&bucket.store()).await, left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_pictures_are_changed_and_deleted_like_any() {
    let bucket = Bucket::embedded().await;
    let hub = filled(&bucket).await;
    let change = |visibility: &str| serde_json::json!({ "visibility": visibility });
    let published: ImageRecord = json(hub.patch(UNLISTED, change("listed")).await).await;
    assert!(!published.unlisted);
    let hidden: ImageRecord = json(hub.patch(LISTED, change("private")).await).await;
    assert!(hidden.unlisted);
    assert_eq!(hub.delete(SHARED[0]).await.status(), StatusCode::NO_CONTENT);
    let expected = || {
        let mut ids = vec![UNLISTED, SHARED[1], OWNERLESS];
        ids.sort_unstable();
        ids
    };
    assert_eq!(sorted(hub.listed().await), expected());

    // A replica of before that still runs writes its keys once more, and deletes what it knows.
    let store = bucket.store();
    let objects = objects();
    for id in [UNLISTED, LISTED, SHARED[0]] {
        let old = objects.iter().filter(|(key, _)| {
            (key.starts_with("gallery/") || key.starts_with("unlisted/")) && key.contains(id)
        });
        for (key, bytes) in old {
            store.put_json(key, bytes.clone()).await.unwrap();
        }
    }
    for _ in 0..2 {
        assert_eq!(sorted(hub.listed().await), expected());
        let path = format!("/api/v1/images/{}", SHARED[0]);
        assert_problem(hub.get(&path).await, ProblemCode::NotFound).await;
        let stranger = hub.with_cookie(Some(STRANGER));
        let path = format!("/api/v1/images/{LISTED}");
        assert_problem(
            stranger.send(Method::GET, &path).await,
            ProblemCode::NotFound,
        )
        .await;
        bucket.sweep().await;
    }
    let left = keys(&store).await;
    assert!(!left.iter().any(|key| key.contains(SHARED[0])), "{left:?}");
}
