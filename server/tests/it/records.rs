//! One picture, one record: changes, deletions, commits and sweeps of one picture at the same time, on every store,
//! with requests held up where it hurts and without.

use std::time::Duration;

use protocol::{ImageRecord, ProblemCode, UploadTicket};
use reqwest::{Method, StatusCode};
use serde_json::json;
use server::images::SweepOptions;

use crate::hostile::opened;
use crate::hub::{Hub, STRANGER, assert_problem, json as read, picture, upload_request};
use crate::slow_store::SlowStore;
use crate::stores::{Bucket, images, keys};

const TRIES: u32 = 4;
/// Milliseconds that a held-up request waits.
const HELD: u64 = 60;

/// Two replicas over one bucket, whose requests can be held up.
struct Site {
    bucket: Bucket,
    slow: SlowStore,
    hubs: [Hub; 2],
}

impl Site {
    async fn over(bucket: Bucket) -> Self {
        let slow = bucket.slow().await;
        let options = ["--upload-mebibytes-per-day=4000"];
        let hubs = [
            bucket.hub_at(&slow.endpoint, &options).await,
            bucket.hub_at(&slow.endpoint, &options).await,
        ];
        Self { bucket, slow, hubs }
    }

    /// Runs `race` as the store is, then with each of these kinds of requests held up.
    async fn race(&self, name: &str, held: &[(Method, &str)], race: impl AsyncFn(u32) -> ()) {
        for n in 0..TRIES {
            race(n).await;
        }
        for (i, (method, part)) in held.iter().enumerate() {
            self.slow.delay(method.clone(), part, HELD);
            for n in 0..TRIES / 2 {
                race(TRIES * (i as u32 + 1) + n).await;
            }
            self.slow.hurry();
        }
        println!(
            "{}: {name}: nothing lost, nothing revived",
            self.bucket.name
        );
    }

    /// The record is there, everywhere the same, with its bytes, and in the lists that it names.
    async fn is_whole(&self, id: &str) -> ImageRecord {
        let path = format!("/api/v1/images/{id}");
        let record: ImageRecord = read(self.hubs[0].get(&path).await).await;
        assert_eq!(record, read(self.hubs[1].get(&path).await).await);
        assert_eq!(
            opened(&self.hubs[1], &record).await.len() as u64,
            record.bytes
        );
        let lists = |records: Vec<ImageRecord>| records.iter().any(|r| r.id == id);
        assert!(lists(self.hubs[0].own().await));
        assert_eq!(lists(self.hubs[0].listed().await), !record.unlisted);
        record
    }

    async fn is_gone(&self, id: &str) {
        let path = format!("/api/v1/images/{id}");
        for hub in &self.hubs {
            assert_problem(hub.get(&path).await, ProblemCode::NotFound).await;
        }
        let listed = [self.hubs[0].listed().await, self.hubs[1].own().await];
        assert!(listed.iter().flatten().all(|record| record.id != id));
        let revived = self.hubs[0]
            .patch(id, json!({"visibility": "listed"}))
            .await;
        assert_problem(revived, ProblemCode::NotFound).await;
        assert_problem(self.hubs[0].commit(id).await, ProblemCode::NotFound).await;
        assert_problem(self.hubs[0].get(&path).await, ProblemCode::NotFound).await;
    }

    async fn announced(&self, bytes: &[u8]) -> UploadTicket {
        let ticket = self.hubs[0].announce(&upload_request(bytes)).await;
        if !ticket.already_stored {
            let put = self.hubs[0].put(&ticket, bytes.to_vec()).await.status();
            assert!(
                put.is_success() || put == StatusCode::PRECONDITION_FAILED,
                "{put}"
            );
        }
        ticket
    }
}

async fn everything_at_once(bucket: Bucket) {
    let site = Site::over(bucket).await;
    two_changes(&site).await;
    a_change_beside_a_deletion(&site).await;
    a_commit_beside_a_deletion(&site).await;
    a_strangers_upload_beside_a_deletion(&site).await;
    two_deletions_and_an_upload(&site).await;
    sweeps_beside_changes(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_the_embedded_store() {
    everything_at_once(Bucket::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_moto() {
    everything_at_once(Bucket::moto().await).await;
}

const CHANGES: [(Method, &str); 4] = [
    (Method::PUT, "/record/"),
    (Method::GET, "/record/"),
    (Method::DELETE, "/listed/"),
    (Method::PUT, "/listed/"),
];

async fn two_changes(site: &Site) {
    let id = site.hubs[0].save(picture(1)).await.id;
    site.race("two changes", &CHANGES, async |n| {
        let (one, two) = if n % 2 == 0 {
            ("unlisted", "listed")
        } else {
            ("private", "listed")
        };
        let (a, b) = tokio::join!(
            site.hubs[0].patch(&id, json!({ "visibility": one })),
            site.hubs[1].patch(&id, json!({ "visibility": two })),
        );
        read::<ImageRecord>(a).await;
        read::<ImageRecord>(b).await;
        site.is_whole(&id).await;
    })
    .await;
}

async fn a_change_beside_a_deletion(site: &Site) {
    let held = [
        (Method::PUT, "/record/"),
        (Method::GET, "/record/"),
        (Method::PUT, "/listed/"),
        (Method::DELETE, "/ref/"),
    ];
    site.race("a change beside a deletion", &held, async |n| {
        let id = site.hubs[0].save(picture(100 + n)).await.id;
        let (deleted, _) = tokio::join!(
            site.hubs[0].delete(&id),
            site.hubs[1].patch(&id, json!({"visibility": "unlisted"})),
        );
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
        site.is_gone(&id).await;
    })
    .await;
}

/// The same upload committed again, and another ticket of the deleter's own for the same bytes.
async fn a_commit_beside_a_deletion(site: &Site) {
    let held = [
        (Method::PUT, "/record/"),
        (Method::GET, "/pending/"),
        (Method::GET, "/img/"),
        (Method::DELETE, "/img/"),
    ];
    site.race("a commit beside a deletion", &held, async |n| {
        let bytes = picture(200 + n);
        let id = site.hubs[0].save(bytes.clone()).await.id;
        let ticket = site.announced(&bytes).await;
        let (deleted, _, second) = tokio::join!(
            site.hubs[0].delete(&id),
            site.hubs[1].commit(&id),
            site.hubs[1].commit(&ticket.id),
        );
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
        site.is_gone(&id).await;
        if second.status().is_success() {
            // It was done before the deletion looked for tickets: a picture of its own, which is whole.
            site.is_whole(&ticket.id).await;
        } else {
            // The presigned address is still valid, and so is the announcement in the client's hands.
            site.hubs[0].put(&ticket, bytes).await;
            site.is_gone(&ticket.id).await;
        }
    })
    .await;
}

async fn a_strangers_upload_beside_a_deletion(site: &Site) {
    let held = [
        (Method::DELETE, "/img/"),
        (Method::GET, "/ref/"),
        (Method::PUT, "/ref/"),
        (Method::PUT, "/record/"),
        (Method::GET, "list-type=2"),
    ];
    site.race("a stranger's upload beside a deletion", &held, async |n| {
        let bytes = picture(300 + n);
        let id = site.hubs[0].save(bytes.clone()).await.id;
        let stranger = site.hubs[1].with_cookie(Some(STRANGER));
        let uploading = async {
            let announced = stranger
                .post("/api/v1/uploads", &upload_request(&bytes))
                .await;
            if announced.status() == StatusCode::CONFLICT {
                return None;
            }
            let ticket: UploadTicket = read(announced).await;
            if !ticket.already_stored {
                site.hubs[1].put(&ticket, bytes.clone()).await;
            }
            let path = format!("/api/v1/uploads/{}/commit", ticket.id);
            let committed = stranger.send(Method::POST, &path).await;
            let done = committed.status().is_success();
            if !done {
                let status = committed.status();
                assert!(status.is_client_error(), "{status}");
            }
            done.then_some(ticket.id)
        };
        let (deleted, theirs) = tokio::join!(site.hubs[0].delete(&id), uploading);
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
        site.is_gone(&id).await;
        if let Some(theirs) = theirs {
            let path = format!("/api/v1/images/{theirs}");
            let record: ImageRecord = read(stranger.send(Method::GET, &path).await).await;
            assert_eq!(opened(&site.hubs[0], &record).await, bytes);
        }
    })
    .await;
}

/// The end of one removal must not hide the other from an upload that comes in between.
async fn two_deletions_and_an_upload(site: &Site) {
    let held = [(Method::DELETE, "/img/"), (Method::DELETE, "/thumb/")];
    site.race("two deletions and an upload", &held, async |n| {
        let bytes = picture(400 + n);
        let a = site.hubs[0].save(bytes.clone()).await.id;
        let b: ImageRecord =
            read(site.hubs[0].commit(&site.announced(&bytes).await.id).await).await;
        let later = async {
            tokio::time::sleep(Duration::from_millis(u64::from(n % 5) * 10)).await;
            let answer = site.hubs[1]
                .post("/api/v1/uploads", &upload_request(&bytes))
                .await;
            if answer.status() == StatusCode::CONFLICT {
                return None;
            }
            let ticket: UploadTicket = read(answer).await;
            if !ticket.already_stored {
                site.hubs[1].put(&ticket, bytes.clone()).await;
            }
            let committed = site.hubs[1].commit(&ticket.id).await;
            committed.status().is_success().then_some(ticket.id)
        };
        let (_, _, third) =
            tokio::join!(site.hubs[0].delete(&a), site.hubs[1].delete(&b.id), later);
        site.is_gone(&a).await;
        site.is_gone(&b.id).await;
        if let Some(third) = third {
            site.is_whole(&third).await;
            assert_eq!(
                site.hubs[0].delete(&third).await.status(),
                StatusCode::NO_CONTENT
            );
        }
    })
    .await;
}

/// Pictures that are listed and taken out all the time, while sweeps follow each other that spare nothing young.
async fn sweeps_beside_changes(site: &Site) {
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(site.hubs[0].save(picture(500 + n)).await.id);
    }
    let store = site.bucket.store();
    let sweeper = images(site.bucket.store());
    for held in [None, Some("prefix=record"), Some("prefix=listed")] {
        if let Some(part) = held {
            site.slow.delay(Method::GET, part, HELD);
        }
        let changing = async {
            for n in 0..TRIES {
                let state = ["unlisted", "private", "listed"][n as usize % 3];
                for id in &ids {
                    let changed = site.hubs[n as usize % 2].patch(id, json!({"visibility": state}));
                    read::<ImageRecord>(changed.await).await;
                }
            }
        };
        let sweeping = async {
            let mut sweeps = 0;
            loop {
                sweeper
                    .sweep(SweepOptions::older_than(Duration::ZERO))
                    .await
                    .unwrap();
                sweeps += 1;
                tokio::task::yield_now().await;
                if sweeps > 1000 {
                    return sweeps;
                }
            }
        };
        tokio::select! {
            () = changing => {}
            _ = sweeping => {}
        }
        site.slow.hurry();
    }
    let swept = site.bucket.sweep().await;
    assert_eq!(swept.missing, 0, "{swept:?}");
    for id in &ids {
        site.is_whole(id).await;
    }
    for id in &ids {
        site.hubs[0].delete(id).await;
    }
    let first = site.hubs[0].own().await;
    for record in &first {
        site.hubs[0].delete(&record.id).await;
    }
    let stranger = site.hubs[0].with_cookie(Some(STRANGER));
    let theirs = stranger
        .send(Method::GET, "/api/v1/images?mine=true&limit=60")
        .await;
    for record in read::<protocol::GalleryPage>(theirs).await.items {
        let path = format!("/api/v1/images/{}", record.id);
        stranger.send(Method::DELETE, &path).await;
    }
    site.bucket.sweep().await;
    let mut left = keys(&store).await;
    // A sweep that was broken off leaves the mark of a removal for a minute.
    left.retain(|key| !key.starts_with("removing/"));
    assert!(left.is_empty(), "{}: {left:?}", site.bucket.name);
    println!(
        "{}: sweeps beside changes: every picture whole, nothing left at the end",
        site.bucket.name
    );
}
