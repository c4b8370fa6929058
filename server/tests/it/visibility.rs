//! Who sees a picture, and how long one stays that nobody saved.

use protocol::{ImageRecord, JobCreated, ProblemCode, Visibility};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::hub::{Hub, STRANGER, assert_problem, json as read, picture, request, upload_request};
use crate::stores::{Bucket, images, keys};

/// Everything by which somebody else may come to a picture.
fn addresses(record: &ImageRecord) -> Vec<String> {
    vec![
        format!("/api/v1/images/{}", record.id),
        record.url.clone(),
        record.thumbnail_url().to_owned(),
    ]
}

async fn made(hub: &Hub, query: &str) -> ImageRecord {
    let path = format!("/api/v1/jobs{query}");
    let job: JobCreated = read(hub.post(&path, &request("red apple", 1)).await).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert!(view.image.is_some(), "{view:?}");
    read(hub.get(&format!("/api/v1/images/{}", job.id)).await).await
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_millis() as u64
}

async fn only_its_owner_sees(hub: &Hub, record: &ImageRecord) {
    for path in addresses(record) {
        let own = hub.get(&path).await;
        assert!(
            own.status().is_success() || own.status().is_redirection(),
            "{path}"
        );
        let caching = own.headers()["cache-control"].to_str().unwrap();
        assert!(
            caching.starts_with("private") && caching.contains("no-cache"),
            "{path}: {caching}"
        );
        assert!(
            own.headers()["vary"].to_str().unwrap().contains("cookie"),
            "{path}"
        );
        for cookie in [None, Some(STRANGER)] {
            let other = hub.with_cookie(cookie).send(Method::GET, &path).await;
            assert_problem(other, ProblemCode::NotFound).await;
        }
    }
    let page = &record.permalink;
    assert_eq!(hub.get(page).await.status(), StatusCode::OK);
    for cookie in [None, Some(STRANGER)] {
        let other = hub.with_cookie(cookie).send(Method::GET, page).await;
        assert_eq!(other.status(), StatusCode::NOT_FOUND);
        let prompt = &record.recipe.request.prompt;
        assert!(!other.text().await.unwrap().contains(prompt.as_str()));
        let path = format!("/api/v1/images/{}", record.id);
        let other = hub.with_cookie(cookie);
        // A stranger cannot even tell that there is something to change.
        let answer = other.send(Method::DELETE, &path).await;
        assert_problem(answer, ProblemCode::NotFound).await;
        let report = json!({"reason": "other"});
        let answer = other.post(&format!("{path}/reports"), &report).await;
        assert_problem(answer, ProblemCode::NotFound).await;
    }
    assert!(hub.listed().await.iter().all(|other| other.id != record.id));
    assert!(hub.own().await.iter().any(|own| own.id == record.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_made_on_the_server_is_its_owners_until_it_is_saved() {
    let hub = Hub::start().await;
    let record = made(&hub, "").await;
    assert_eq!(record.visibility, Visibility::Private);
    let hours = record
        .expires_at
        .unwrap()
        .saturating_sub(now())
        .div_ceil(3_600_000);
    assert_eq!(hours, 24);
    only_its_owner_sees(&hub, &record).await;

    let saved = hub
        .patch(&record.id, json!({"visibility": "unlisted"}))
        .await;
    let saved: ImageRecord = read(saved).await;
    assert_eq!(
        (saved.visibility, saved.expires_at),
        (Visibility::Unlisted, None)
    );
    assert!(saved.unlisted && hub.listed().await.is_empty());
    let stranger = hub.with_cookie(Some(STRANGER));
    for path in addresses(&record) {
        let other = stranger.send(Method::GET, &path).await.status();
        assert!(
            other.is_success() || other.is_redirection(),
            "{path}: {other}"
        );
    }
    let published = hub.patch(&record.id, json!({"visibility": "listed"})).await;
    assert!(!read::<ImageRecord>(published).await.unlisted);
    assert_eq!(hub.listed().await.len(), 1);
    let back = hub
        .patch(&record.id, json!({"visibility": "private"}))
        .await;
    let back: ImageRecord = read(back).await;
    assert_eq!(back.expires_at, None, "it was saved");
    only_its_owner_sees(&hub, &back).await;
    for change in [
        json!({}),
        json!({"visibility": "hidden"}),
        json!({"visibility": "listed", "unlisted": true}),
    ] {
        let refused = hub.patch(&record.id, change).await;
        assert_problem(refused, ProblemCode::MalformedRequest).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_say_who_sees_its_picture() {
    let hub = Hub::start().await;
    let unlisted = made(&hub, "?unlisted=true").await;
    assert_eq!(
        (unlisted.visibility, unlisted.expires_at),
        (Visibility::Unlisted, None)
    );
    let listed = made(&hub, "?visibility=listed").await;
    assert_eq!(
        (listed.visibility, listed.expires_at),
        (Visibility::Listed, None)
    );
    let unasked = made(&hub, "?unlisted=false").await;
    assert_eq!(unasked.visibility, Visibility::Private);
    let ids: Vec<String> = hub.listed().await.into_iter().map(|r| r.id).collect();
    assert_eq!(ids, [listed.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_nobodys_is_never_listed_and_expires() {
    let hub = Hub::with(&["--ownerless-hours=5"]).await;
    let body = json!({"model": crate::hub::GLYPH, "prompt": "red apple", "seed": 1, "response_format": "url"});
    let nobody = hub.with_cookie(None);
    let answer: serde_json::Value = read(nobody.post("/v1/images/generations", &body).await).await;
    let url = answer["data"][0]["url"].as_str().unwrap();
    let opened = nobody
        .send(Method::GET, url.strip_prefix(&hub.url).unwrap())
        .await;
    assert_eq!(opened.status(), StatusCode::TEMPORARY_REDIRECT);
    assert!(hub.listed().await.is_empty());
    let records = hub.records().await;
    assert_eq!((records.len(), records[0].state.as_str()), (1, "unlisted"));
    let hours = records[0]
        .expires_at
        .unwrap()
        .saturating_sub(now())
        .div_ceil(3_600_000);
    assert_eq!(hours, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_seen_by_whom_the_page_asked_for() {
    let hub = Hub::start().await;
    for (n, (visibility, unlisted, expected)) in [
        (None, false, Visibility::Listed),
        (None, true, Visibility::Unlisted),
        (Some(Visibility::Private), false, Visibility::Private),
        (Some(Visibility::Listed), true, Visibility::Listed),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = picture(n as u32);
        let mut announced = upload_request(&bytes);
        (announced.visibility, announced.unlisted) = (visibility, unlisted);
        let ticket = hub.announce(&announced).await;
        hub.put(&ticket, bytes).await;
        let record: ImageRecord = read(hub.commit(&ticket.id).await).await;
        assert_eq!((record.visibility, record.expires_at), (expected, None));
        if expected == Visibility::Private {
            only_its_owner_sees(&hub, &record).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_saved_is_swept_away() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let store = bucket.store();
    let before = keys(&store).await;
    let (expired, saved) = (made(&hub, "").await, {
        let bytes = picture(1);
        let mut announced = upload_request(&bytes);
        announced.visibility = Some(Visibility::Private);
        let ticket = hub.announce(&announced).await;
        hub.put(&ticket, bytes).await;
        read::<ImageRecord>(hub.commit(&ticket.id).await).await
    });
    bucket.sweep().await;
    assert_eq!(hub.own().await.len(), 2, "its time has not come");
    // As a day later.
    for key in keys(&store).await {
        if key.starts_with("expiry/") {
            store.delete(&key).await.unwrap();
        }
    }
    for record in [&expired, &saved] {
        let key = format!("record/{}.json", record.id);
        let json = store.get(&key, 1 << 16).await.unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        if json["expires_at"].is_u64() {
            json["expires_at"] = 1.into();
        }
        json["of_a_newer_version"] = true.into();
        store
            .put_json(&key, json.to_string().into_bytes())
            .await
            .unwrap();
        store
            .put_marker(&format!("expiry/0000000000001-{}", record.id))
            .await
            .unwrap();
    }
    let swept = images(bucket.store())
        .sweep(server::images::SweepOptions::older_than(
            std::time::Duration::from_secs(3600),
        ))
        .await
        .unwrap();
    assert_eq!(swept.expired, 1, "{swept:?}");
    for path in addresses(&expired) {
        assert_problem(hub.get(&path).await, ProblemCode::NotFound).await;
    }
    let late = hub
        .patch(&expired.id, json!({"visibility": "unlisted"}))
        .await;
    assert_problem(late, ProblemCode::NotFound).await;
    let kept: Vec<String> = hub.own().await.into_iter().map(|r| r.id).collect();
    assert_eq!(kept, std::slice::from_ref(&saved.id));
    // A change keeps what a newer version wrote.
    hub.patch(&saved.id, json!({"visibility": "listed"})).await;
    let json = store
        .get(&format!("record/{}.json", saved.id), 1 << 16)
        .await
        .unwrap();
    assert!(
        String::from_utf8(json)
            .unwrap()
            .contains("\"of_a_newer_version\":true")
    );
    assert_eq!(hub.listed().await.len(), 1);
    hub.delete(&saved.id).await;
    bucket.sweep().await;
    assert_eq!(keys(&store).await, before);
}
