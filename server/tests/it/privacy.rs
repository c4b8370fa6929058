//! What belongs to an owner: hidden, deleted and exported pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use protocol::{GalleryPage, ImageRecord, ProblemCode};
use reqwest::{Method, StatusCode};

use crate::hub::{Hub, OWNER, STRANGER, assert_problem, json, picture, request, upload_request};
use crate::stores::{Bucket, keys};

async fn unlisted(hub: &Hub, variant: u32) -> ImageRecord {
    let bytes = picture(variant);
    let mut announced = upload_request(&bytes);
    announced.unlisted = true;
    let ticket = hub.announce(&announced).await;
    hub.put(&ticket, bytes).await;
    json(hub.commit(&ticket.id).await).await
}

async fn mine(hub: &Hub) -> Vec<ImageRecord> {
    let page: GalleryPage = json(hub.get("/api/v1/images?mine=true").await).await;
    page.items
}

#[tokio::test]
async fn a_client_without_a_cookie_becomes_an_owner() {
    let hub = Hub::start().await;
    let nobody = hub.with_cookie(None);
    let bytes = picture(1);
    let answer = nobody
        .post("/api/v1/uploads", &upload_request(&bytes))
        .await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let ticket: protocol::UploadTicket = json(answer).await;
    hub.put(&ticket, bytes).await;
    let commit = format!("/api/v1/uploads/{}/commit", ticket.id);
    assert_problem(
        nobody.send(Method::POST, &commit).await,
        ProblemCode::NotOwner,
    )
    .await;

    let owner = hub.with_cookie(cookie.split(';').next());
    let record: ImageRecord = json(owner.send(Method::POST, &commit).await).await;
    assert!(record.mine);
    let shown = hub.get(&format!("/api/v1/images/{}", record.id)).await;
    assert!(!json::<ImageRecord>(shown).await.mine);
    // One cookie is enough.
    let again = owner
        .post("/api/v1/uploads", &upload_request(&picture(2)))
        .await;
    assert_eq!(again.status(), StatusCode::CREATED);
    assert!(again.headers().get("set-cookie").is_none());
}

#[tokio::test]
async fn an_unlisted_picture_is_for_those_who_have_its_address() {
    let hub = Hub::start().await;
    let listed = hub.save(picture(1)).await;
    let hidden = unlisted(&hub, 2).await;
    assert!(hidden.unlisted);
    let ids =
        |records: Vec<ImageRecord>| -> Vec<String> { records.into_iter().map(|r| r.id).collect() };
    for filter in ["", "?model=demo-hub/glyph", "?creator=demo-hub"] {
        let page: GalleryPage = json(hub.get(&format!("/api/v1/images{filter}")).await).await;
        assert_eq!(
            ids(page.items),
            std::slice::from_ref(&listed.id),
            "{filter}"
        );
    }
    let own = ids(mine(&hub).await);
    assert_eq!(
        own.iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&listed.id, &hidden.id])
    );
    let path = format!("/api/v1/images/{}", hidden.id);
    let stranger = hub.with_cookie(Some(STRANGER));
    let shown: ImageRecord = json(stranger.send(Method::GET, &path).await).await;
    assert_eq!(
        shown,
        ImageRecord {
            mine: false,
            ..hidden.clone()
        }
    );

    let change = |unlisted| serde_json::json!({ "unlisted": unlisted });
    let url = format!("{}{path}", hub.url);
    let patch = async |client: &reqwest::Client, unlisted| {
        client
            .patch(&url)
            .json(&change(unlisted))
            .send()
            .await
            .unwrap()
    };
    assert_problem(
        patch(&reqwest::Client::new(), false).await,
        ProblemCode::NotOwner,
    )
    .await;
    let shown: ImageRecord = json(patch(&hub.http, false).await).await;
    assert!(!shown.unlisted);
    assert_eq!(hub.listed().await.len(), 2);
    json::<ImageRecord>(patch(&hub.http, true).await).await;
    assert_eq!(ids(hub.listed().await), [listed.id]);
    assert_eq!(mine(&hub).await.len(), 2);
}

#[tokio::test]
async fn deleting_leaves_nothing() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let before = keys(&bucket.store()).await;
    for record in [hub.save(picture(1)).await, unlisted(&hub, 2).await] {
        let path = format!("/api/v1/images/{}", record.id);
        for cookie in [Some(STRANGER), None] {
            let other = hub.with_cookie(cookie).send(Method::DELETE, &path).await;
            assert_problem(other, ProblemCode::NotOwner).await;
        }
        assert_eq!(
            hub.send(Method::DELETE, &path).await.status(),
            StatusCode::NO_CONTENT
        );
        for gone in [&path, &record.url, &record.thumbnail.unwrap().url] {
            assert_problem(hub.get(gone).await, ProblemCode::NotFound).await;
        }
        assert_problem(hub.send(Method::DELETE, &path).await, ProblemCode::NotFound).await;
        let commit = hub.commit(&record.id).await;
        assert_problem(commit, ProblemCode::NotFound).await;
    }
    // Tombstones stay until no ticket is valid any more.
    bucket.sweep().await;
    assert_eq!(keys(&bucket.store()).await, before);
    assert!(mine(&hub).await.is_empty());
}

#[tokio::test]
async fn the_picture_of_a_job_belongs_to_who_asked_for_it() {
    let hub = Hub::start().await;
    let answer = hub
        .post("/api/v1/jobs?unlisted=true", &request("red apple", 1))
        .await;
    let job: protocol::JobCreated = json(answer).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert!(view.image.is_some(), "{view:?}");
    assert!(hub.listed().await.is_empty());
    let own = mine(&hub).await;
    assert_eq!(own.len(), 1);
    assert!(own[0].mine && own[0].unlisted);
    let path = format!("/api/v1/images/{}", own[0].id);
    assert_eq!(
        hub.send(Method::DELETE, &path).await.status(),
        StatusCode::NO_CONTENT
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_export_holds_ones_own_pictures() {
    let hub = Hub::start().await;
    let own = [hub.save(picture(1)).await, unlisted(&hub, 2).await];
    let other = hub.with_cookie(Some(STRANGER));
    let theirs = other
        .post("/api/v1/uploads", &upload_request(&picture(3)))
        .await;
    let theirs: protocol::UploadTicket = json(theirs).await;
    hub.put(&theirs, picture(3)).await;
    let commit = format!("/api/v1/uploads/{}/commit", theirs.id);
    json::<ImageRecord>(other.send(Method::POST, &commit).await).await;

    let answer = hub.get("/api/v1/images/export").await;
    assert_eq!(answer.headers()["content-type"], "application/zip");
    let bytes = answer.bytes().await.unwrap();
    let files = unzip(&bytes);
    assert_eq!(files.len(), 4);
    for (record, variant) in own.iter().zip([1, 2]) {
        assert_eq!(files[&format!("{}.png", record.id)], picture(variant));
        let json = &files[&format!("{}.json", record.id)];
        assert_eq!(
            serde_json::from_slice::<ImageRecord>(json).unwrap(),
            *record
        );
    }
    let nobody = hub
        .with_cookie(None)
        .send(Method::GET, "/api/v1/images/export")
        .await;
    assert!(unzip(&nobody.bytes().await.unwrap()).is_empty());
}

/// Names and contents, read and verified by Python's `zipfile`.
fn unzip(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.zip");
    std::fs::write(&path, bytes).unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2])";
    let status = Command::new("python3")
        .args(["-c", script])
        .args([&path, &out])
        .status();
    assert!(status.unwrap().success());
    let files = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| {
            (
                file.file_name().into_string().unwrap(),
                std::fs::read(file.path()).unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn answers_do_not_name_the_owner() {
    let hub = Hub::start().await;
    let record = hub.save(picture(1)).await;
    let owner = server::images::OwnerId::from_cookies(OWNER)
        .unwrap()
        .to_string();
    for path in [
        "/api/v1/images".to_owned(),
        "/api/v1/images?mine=true".to_owned(),
        format!("/api/v1/images/{}", record.id),
    ] {
        let text = hub.get(&path).await.text().await.unwrap();
        assert!(
            text.contains(&record.id) && !text.contains(&owner),
            "{path}"
        );
        assert!(!text.contains("\"owner\""), "{path}");
    }
}

#[tokio::test]
async fn a_client_may_upload_so_much() {
    let hub = Hub::with(&["--uploads-per-hour=2"]).await;
    for variant in 0..2 {
        hub.announce(&upload_request(&picture(variant))).await;
    }
    let refused = hub
        .post("/api/v1/uploads", &upload_request(&picture(2)))
        .await;
    let wait = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!((1..=1801).contains(&wait.parse::<u32>().unwrap()), "{wait}");
    assert_problem(refused, ProblemCode::RateLimited).await;
}
