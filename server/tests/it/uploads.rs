//! Presigned upload and commit.

use std::time::Duration;

use protocol::{ImageRecord, MaskBy, ProblemCode, StartOf};
use reqwest::StatusCode;

use crate::hub::{Hub, assert_problem, json, picture, png_of, size, upload_request};

#[tokio::test]
async fn a_picture_travels_from_the_browser_to_its_permalink() {
    let hub = Hub::start().await;
    let bytes = picture(3);
    let ticket = hub.announce(&upload_request(&bytes)).await;
    assert!(!ticket.already_stored);
    assert!(ticket.url.starts_with(hub.storage_origin()));
    assert!(ticket.expires_in <= 300);
    let names: Vec<_> = ticket
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for name in ["content-type", "x-amz-checksum-sha256", "if-none-match"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(
        ticket.url.contains("content-length"),
        "the length is signed"
    );
    assert!(
        hub.listed().await.is_empty(),
        "nothing is listed before the commit"
    );

    assert_eq!(
        hub.put(&ticket, bytes.clone()).await.status(),
        StatusCode::OK
    );
    assert!(
        hub.listed().await.is_empty(),
        "nothing is listed before the commit"
    );

    let record: ImageRecord = json(hub.commit(&ticket.id).await).await;
    assert_eq!((record.width, record.height), size().into());
    assert_eq!(record.permalink, format!("/i/{}", ticket.id));
    assert_eq!(hub.listed().await, vec![record.clone()]);
    let shown: ImageRecord = json(hub.get(&format!("/api/v1/images/{}", record.id)).await).await;
    assert_eq!(shown, record);

    let redirect = hub.get(&record.url).await;
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    let location = redirect.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(hub.storage_origin()));
    let served = hub.http.get(location).send().await.unwrap();
    assert_eq!(served.headers()["content-type"], "image/png");
    assert_eq!(served.headers()["x-content-type-options"], "nosniff");
    assert_eq!(served.bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn committing_twice_lists_once() {
    let hub = Hub::start().await;
    let bytes = picture(5);
    let ticket = hub.announce(&upload_request(&bytes)).await;
    hub.put(&ticket, bytes).await;
    let (first, second) = tokio::join!(hub.commit(&ticket.id), hub.commit(&ticket.id));
    let first: ImageRecord = json(first).await;
    assert_eq!(first, json(second).await);
    assert_eq!(first, json(hub.commit(&ticket.id).await).await);
    assert_eq!(hub.listed().await.len(), 1);
}

#[tokio::test]
async fn other_bytes_than_announced_are_refused() {
    let hub = Hub::start().await;
    let bytes = picture(7);
    let mut same_length = bytes.clone();
    let last = same_length.len() - 20;
    same_length[last] ^= 1;
    let longer = [bytes.clone(), vec![0; 10]].concat();
    for wrong in [same_length, longer] {
        let ticket = hub.announce(&upload_request(&bytes)).await;
        let refused = hub.put(&ticket, wrong).await;
        assert!(refused.status().is_client_error(), "{}", refused.status());
        assert_problem(hub.commit(&ticket.id).await, ProblemCode::UploadMissing).await;
    }
    assert!(hub.listed().await.is_empty());
    // A refused attempt does not block the right one.
    assert_eq!(hub.save(bytes).await.bytes, hub.listed().await[0].bytes);
}

#[tokio::test]
async fn a_wrong_announcement_of_stored_bytes_harms_nobody() {
    let hub = Hub::start().await;
    let bytes = picture(9);
    let record = hub.save(bytes.clone()).await;
    let mut request = upload_request(&bytes);
    request.bytes += 1;
    let response = hub.post("/api/v1/uploads", &request).await;
    assert_problem(response, ProblemCode::UploadMismatch).await;
    assert_eq!(hub.listed().await, vec![record.clone()]);
    assert_eq!(
        hub.get(&record.url).await.status(),
        StatusCode::TEMPORARY_REDIRECT
    );
}

#[tokio::test]
async fn stored_bytes_need_no_second_upload() {
    let hub = Hub::start().await;
    let bytes = picture(11);
    hub.save(bytes.clone()).await;
    let ticket = hub.announce(&upload_request(&bytes)).await;
    assert!(ticket.already_stored);
    // The store itself refuses to replace them.
    let again = hub.put(&ticket, bytes).await;
    assert_eq!(again.status(), StatusCode::PRECONDITION_FAILED);
    let _: ImageRecord = json(hub.commit(&ticket.id).await).await;
}

#[tokio::test]
async fn an_expired_url_stores_nothing() {
    let hub = Hub::with(&["--upload-expiry-seconds=1"]).await;
    let bytes = picture(13);
    let ticket = hub.announce(&upload_request(&bytes)).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let refused = hub.put(&ticket, bytes).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_problem(hub.commit(&ticket.id).await, ProblemCode::UploadMissing).await;
    assert!(hub.listed().await.is_empty());
}

#[tokio::test]
async fn only_pictures_of_the_model_are_listed() {
    let hub = Hub::start().await;
    for not_a_picture in [
        b"<svg onload=alert(1)>".to_vec(),
        [picture(15), b"<script>".to_vec()].concat(),
        picture(15)[..150].to_vec(),
        png_of(size()[0] + 1, size()[1], 1),
    ] {
        let ticket = hub.announce(&upload_request(&not_a_picture)).await;
        let stored = hub.put(&ticket, not_a_picture).await;
        assert_eq!(
            stored.status(),
            StatusCode::OK,
            "the bytes are as announced"
        );
        assert_problem(hub.commit(&ticket.id).await, ProblemCode::UploadMismatch).await;
    }
    assert!(hub.listed().await.is_empty());
}

#[tokio::test]
async fn a_commit_needs_an_announcement_and_bytes() {
    let hub = Hub::start().await;
    for id in ["0000000000000000000", "nonsense", "%2e%2e%2fgallery"] {
        assert_problem(hub.commit(id).await, ProblemCode::NotFound).await;
    }
    let ticket = hub.announce(&upload_request(&picture(17))).await;
    assert_problem(hub.commit(&ticket.id).await, ProblemCode::UploadMissing).await;
}

fn start(sha256: &str, mask: Option<&str>) -> StartOf {
    StartOf {
        sha256: sha256.to_owned(),
        strength: 0.5,
        mask_sha256: mask.map(str::to_owned),
        mask_by: MaskBy::Light,
    }
}

#[tokio::test]
async fn wrong_announcements_are_named() {
    use ProblemCode::{EmptyPrompt, MalformedRequest, OutOfRange, UnknownModel, UnsupportedType};
    let hub = Hub::start().await;
    let good = upload_request(&picture(19));
    type Change = fn(&mut protocol::UploadRequest);
    let cases: [(Change, ProblemCode); 15] = [
        (|r| r.sha256 = "AB".repeat(32), MalformedRequest),
        (|r| r.sha256 = "../../secret".into(), MalformedRequest),
        (|r| r.bytes = 0, MalformedRequest),
        (|r| r.bytes = (8 << 20) + 1, MalformedRequest),
        (|r| r.content_type = "text/html".into(), UnsupportedType),
        (|r| r.recipe.request.model = "no/such".into(), UnknownModel),
        (|r| r.recipe.request.prompt = " ".into(), EmptyPrompt),
        (
            |r| r.recipe.request.num_inference_steps = Some(0),
            OutOfRange,
        ),
        (|r| r.recipe.request.seed = None, MalformedRequest),
        (
            |r| r.recipe.weights_digest = "0".repeat(64),
            MalformedRequest,
        ),
        // Of another version of the model, which may have taken other requests.
        (
            |r| {
                r.recipe.weights_digest = "0".repeat(64);
                r.recipe.request.num_inference_steps = Some(0);
            },
            MalformedRequest,
        ),
        (|r| r.recipe.backend = "x".repeat(201), MalformedRequest),
        (
            |r| r.recipe.start = Some(start("<script>", None)),
            MalformedRequest,
        ),
        (
            |r| r.recipe.start = Some(start(&"0f".repeat(32), Some("x"))),
            MalformedRequest,
        ),
        // The model begins with noise alone.
        (
            |r| r.recipe.start = Some(start(&"0f".repeat(32), None)),
            OutOfRange,
        ),
    ];
    for (change, code) in cases {
        let mut request = good.clone();
        change(&mut request);
        assert_problem(hub.post("/api/v1/uploads", &request).await, code).await;
    }
}

#[tokio::test]
async fn pictures_and_announcements_survive_a_restart() {
    let hub = Hub::start().await;
    let record = hub.save(picture(21)).await;
    let later = picture(23);
    let ticket = hub.announce(&upload_request(&later)).await;
    assert_eq!(hub.put(&ticket, later).await.status(), StatusCode::OK);

    let hub = Hub::over(hub.stop().await, &[]).await;
    assert_eq!(hub.listed().await, vec![record.clone()]);
    let redirect = hub.get(&record.url).await;
    let location = redirect.headers()["location"].to_str().unwrap();
    let served = hub.http.get(location).send().await.unwrap();
    assert_eq!(served.bytes().await.unwrap(), picture(21));
    let second: ImageRecord = json(hub.commit(&ticket.id).await).await;
    assert_eq!(hub.listed().await, vec![second, record]);
}

/// An attacker's commits cost the hub next to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn commits_are_counted_and_an_upload_is_verified_once() {
    let bucket = crate::stores::Bucket::embedded().await;
    let slow = bucket.slow().await;
    let hub = bucket.hub_at(&slow.endpoint, &[]).await;
    // Right bytes, wrong recipe: nothing can be said without decoding them.
    let bytes = picture(25);
    let mut request = upload_request(&bytes);
    request.recipe.duration_ms += 1;
    let ticket = hub.announce(&request).await;
    hub.put(&ticket, bytes).await;
    let read = || slow.seen("GET", "/img/");
    let before = read();
    let all = (0..20).map(|_| hub.commit(&ticket.id));
    for answer in futures::future::join_all(all).await {
        assert_problem(answer, ProblemCode::UploadMismatch).await;
    }
    assert_eq!(read() - before, 1, "the bytes were read once");

    let good = picture(26);
    let ticket = hub.announce(&upload_request(&good)).await;
    hub.put(&ticket, good).await;
    let before = read();
    let all = (0..20).map(|_| hub.commit(&ticket.id));
    for answer in futures::future::join_all(all).await {
        json::<ImageRecord>(answer).await;
    }
    assert_eq!(read() - before, 1, "the bytes were read once");

    // Nonsense is refused before the store is asked.
    let before = slow.seen("", "");
    for id in ["nonsense", "%2e%2e%2fgallery"] {
        assert_problem(hub.commit(id).await, ProblemCode::NotFound).await;
    }
    let path = format!("/api/v1/uploads/{}/commit", ticket.id);
    let nobody = hub
        .with_cookie(None)
        .send(reqwest::Method::POST, &path)
        .await;
    assert_problem(nobody, ProblemCode::NotOwner).await;
    assert_eq!(slow.seen("", ""), before);

    let hub = Hub::with(&["--uploads-per-hour=4"]).await;
    let mut limited = 0;
    for _ in 0..80 {
        let answer = hub.commit("0000000000000000000").await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key("retry-after"));
            limited += 1;
        }
    }
    assert_eq!(limited, 72);
}
