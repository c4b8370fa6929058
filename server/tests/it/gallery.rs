//! Listing.

use protocol::{GalleryPage, ProblemCode};

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
    let folders = hub.stop().await;
    let record = folders.data.path().join(format!(
        "s3/demo-hub/gallery/{}-{}.json",
        &damaged.id[..9],
        damaged.id
    ));
    std::fs::write(&record, b"{").unwrap();
    let hub = Hub::over(folders, &[]).await;
    assert_eq!(hub.listed().await, vec![good]);
    let response = hub.get(&format!("/api/v1/images/{}", damaged.id)).await;
    assert_problem(response, ProblemCode::Internal).await;
}
