//! Listing.

use protocol::{GalleryPage, ImageRecord, ProblemCode};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, IF_NONE_MATCH};

use crate::hub::{Hub, assert_problem, json, picture};

#[tokio::test]
async fn pages_are_newest_first_and_complete() {
    let hub = Hub::start().await;
    let mut saved = Vec::new();
    for variant in 0..5 {
        saved.push(hub.save(picture(variant)).await.id);
        // Ids carry milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    saved.reverse();

    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut path = "/api/v1/images?limit=2".to_owned();
    loop {
        let page: GalleryPage = json(hub.get(&path).await).await;
        sizes.push(page.items.len());
        seen.extend(page.items.into_iter().map(|record| record.id));
        match page.next_cursor {
            Some(cursor) => path = format!("/api/v1/images?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, saved);
    assert_eq!(sizes, [2, 2, 1]);
}

#[tokio::test]
async fn bad_pages_are_named() {
    let hub = Hub::start().await;
    for (query, code) in [
        ("limit=0", ProblemCode::OutOfRange),
        ("limit=61", ProblemCode::OutOfRange),
        ("limit=x", ProblemCode::MalformedRequest),
        ("cursor=../pending/", ProblemCode::MalformedRequest),
        ("mine=perhaps", ProblemCode::MalformedRequest),
        ("modle=demo-hub/glyph", ProblemCode::MalformedRequest),
    ] {
        let response = hub.get(&format!("/api/v1/images?{query}")).await;
        assert_problem(response, code).await;
    }
    let response = hub.get("/api/v1/images/0000000000000000000").await;
    assert_problem(response, ProblemCode::NotFound).await;
}

#[tokio::test]
async fn one_damaged_record_hides_no_other() {
    let hub = Hub::start().await;
    let good = hub.save(picture(1)).await;
    let damaged = hub.save(picture(2)).await;
    let record = format!("record/{}.json", damaged.id);
    hub.store().put_json(&record, b"{".to_vec()).await.unwrap();
    assert_eq!(hub.listed().await, vec![good]);
    let response = hub.get(&format!("/api/v1/images/{}", damaged.id)).await;
    assert_problem(response, ProblemCode::Internal).await;
}

/// Ids of all pages of a filter, two pictures each.
async fn all(hub: &Hub, filter: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/images?limit=2&{filter}{cursor}");
        let page: GalleryPage = json(hub.get(&path).await).await;
        assert!(page.items.len() <= 2);
        ids.extend(page.items.into_iter().map(|record| record.id));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn filters_have_pages_of_their_own() {
    let hub = Hub::start().await;
    let mut saved = Vec::new();
    for variant in 0..5 {
        saved.push(hub.save(picture(variant)).await.id);
        // Ids carry milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    saved.reverse();
    for filter in [
        "model=demo-hub/glyph",
        "creator=demo-hub",
        "mine=true",
        "mine=true&model=demo-hub/glyph",
        "mine=true&creator=demo-hub&model=demo-hub/glyph",
        "creator=demo-hub&model=demo-hub/glyph",
    ] {
        assert_eq!(all(&hub, filter).await, saved, "{filter}");
    }
    for filter in [
        "model=demo-hub/gly",
        "model=demo-hub",
        "creator=demo",
        "creator=",
        "creator=..%2Fgallery",
        "creator=other&model=demo-hub/glyph",
        "mine=true&model=other/model",
        "mine=true&creator=other",
    ] {
        assert!(all(&hub, filter).await.is_empty(), "{filter}");
    }
    let path = "/api/v1/images?mine=true";
    for cookie in [None, Some(crate::hub::STRANGER), Some("demo-hub-owner=x")] {
        let answer = hub
            .with_cookie(cookie)
            .send(reqwest::Method::GET, path)
            .await;
        assert!(json::<GalleryPage>(answer).await.items.is_empty());
    }
}

#[tokio::test]
async fn thumbnails_are_small_and_kept_for_ever() {
    let hub = Hub::start().await;
    let record = hub.save(picture(1)).await;
    let thumbnail = record.thumbnail.clone().unwrap();
    assert_eq!(
        (thumbnail.width, thumbnail.height),
        crate::hub::size().into()
    );
    let answer = hub.get(&thumbnail.url).await;
    let headers = answer.headers().clone();
    assert_eq!(headers["content-type"], "image/webp");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(
        headers["cache-control"],
        "public, max-age=31536000, immutable"
    );
    let bytes = answer.bytes().await.unwrap();
    let small = image::load_from_memory_with_format(&bytes, image::ImageFormat::WebP).unwrap();
    let large = image::load_from_memory_with_format(&picture(1), image::ImageFormat::Png).unwrap();
    assert_eq!(small.into_rgb8(), large.into_rgb8());

    let url = format!("{}{}", hub.url, thumbnail.url);
    let again = hub
        .http
        .get(&url)
        .header(IF_NONE_MATCH, &headers["etag"])
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    for path in [
        "/thumbnails/x.webp",
        "/thumbnails/..%2Fgallery.webp",
        "/thumbnails/a.png",
    ] {
        assert_problem(hub.get(path).await, ProblemCode::NotFound).await;
    }
}

#[tokio::test]
async fn records_and_pages_are_asked_about_by_tag() {
    let hub = Hub::start().await;
    let record = hub.save(picture(1)).await;
    for path in [
        "/api/v1/images".to_owned(),
        format!("/api/v1/images/{}", record.id),
    ] {
        let first = hub.get(&path).await;
        assert_eq!(first.headers()["cache-control"], "private, no-cache");
        assert!(first.headers()["vary"].to_str().unwrap().contains("cookie"));
        let tag = first.headers()["etag"].clone();
        let url = format!("{}{path}", hub.url);
        let again = hub
            .http
            .get(&url)
            .header(IF_NONE_MATCH, &tag)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(again.headers()["etag"], tag);
    }
    hub.save(picture(2)).await;
    let page: GalleryPage = json(hub.get("/api/v1/images").await).await;
    assert_eq!(page.items.len(), 2);
}

#[tokio::test]
async fn a_permalink_is_a_record_for_those_who_want_json() {
    let hub = Hub::start().await;
    let record = hub.save(picture(1)).await;
    let url = format!("{}{}", hub.url, record.permalink);
    let get = |accept: &'static str| hub.http.get(&url).header(ACCEPT, accept).send();
    let answer = get("application/json").await.unwrap();
    assert!(
        answer.headers()["vary"]
            .to_str()
            .unwrap()
            .contains("accept")
    );
    assert_eq!(json::<ImageRecord>(answer).await, record);
    let page = get("text/html,application/xhtml+xml,*/*;q=0.8")
        .await
        .unwrap();
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(page.headers()["vary"].to_str().unwrap().contains("accept"));
    let missing = format!("{}/i/0000000000000000000", hub.url);
    let missing = hub.http.get(missing).header(ACCEPT, "application/json");
    assert_problem(missing.send().await.unwrap(), ProblemCode::NotFound).await;
}

#[tokio::test]
async fn a_picture_can_be_saved_under_a_name() {
    let hub = Hub::start().await;
    let record = hub.save(picture(1)).await;
    let redirect = hub
        .get(&format!("{}?download=red%20apple.png", record.url))
        .await;
    let location = redirect.headers()["location"].to_str().unwrap();
    let served = hub.http.get(location).send().await.unwrap();
    assert_eq!(
        served.headers()["content-disposition"],
        "attachment; filename=\"red-apple.png\""
    );
    assert!(
        served.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    // The address is the same for a while, so that browsers find it in their cache. An hour may end in between.
    let mut addresses = Vec::new();
    for _ in 0..3 {
        addresses.push(hub.get(&record.url).await.headers()["location"].clone());
    }
    addresses.dedup();
    assert!(addresses.len() < 3);
}
