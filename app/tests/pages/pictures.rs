//! The gallery and the pictures’ own pages.

use axum::http::StatusCode;

use crate::hub::Fixed;
use crate::{page, page_of};

#[tokio::test]
async fn the_gallery_pages_by_links() {
    let first = page("/gallery").await;
    assert!(first.html.contains("href=\"/i/new\""));
    assert!(
        first.html.contains("href=\"/gallery?cursor=a%2Fb%3D\""),
        "{}",
        first.html
    );
    let second = page("/gallery?cursor=a%2Fb%3D").await;
    assert!(second.html.contains("href=\"/i/old\""));
    assert!(!second.html.contains("Older pictures"));
    assert!(second.html.contains("Newest pictures"));
}

#[tokio::test]
async fn filters_are_a_form_and_empty_lists_say_why() {
    let filtered = page("/gallery?model=no%2Fsuch").await;
    for expected in [
        "No picture passes these filters",
        "<form action=\"/gallery\"",
        "<option value=\"no/such\" selected",
        "<option value=\"demo-hub/glyph\">Glyph</option>",
        "href=\"/gallery?model=no%2Fsuch&amp;mine=true\"",
    ] {
        assert!(
            filtered.html.contains(expected),
            "{expected} in {}",
            filtered.html
        );
    }
    let mine = page("/gallery?mine=true").await;
    for expected in [
        "My pictures",
        "You have not saved a picture from this browser",
        "href=\"/api/v1/images/export\"",
        "type=\"hidden\" name=\"mine\" value=\"true\"",
    ] {
        assert!(mine.html.contains(expected), "{expected} in {}", mine.html);
    }
}

#[tokio::test]
async fn only_the_owner_is_offered_to_delete() {
    let own = page("/i/mine").await;
    for expected in [
        "data-testid=\"delete\"",
        "Put it into the gallery",
        "name=\"robots\" content=\"noindex\"",
        "content=\"summary_large_image\"",
    ] {
        assert!(own.html.contains(expected), "{expected} in {}", own.html);
    }
    let other = page("/i/known").await;
    for absent in ["data-testid=\"delete\"", "noindex", "summary_large_image"] {
        assert!(!other.html.contains(absent), "{absent} in {}", other.html);
    }
    assert!(
        other
            .html
            .contains("href=\"/images/abab.png?download=red-b-apple-b-pear-7.png\""),
        "{}",
        other.html
    );
}

#[tokio::test]
async fn a_store_that_is_down_is_said_with_its_status() {
    let page = page_of(Fixed { storage_down: true }, "/gallery").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.html.contains("The picture store does not answer"));
    let start = page_of(Fixed { storage_down: true }, "/").await;
    assert_eq!(start.status, StatusCode::OK);
    assert!(start.html.contains("data-testid=\"generate\""));
}

#[tokio::test]
async fn a_permalink_tells_everything_and_escapes_it() {
    let page = page("/i/known").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "property=\"og:image\" content=\"https://hub.example/images/abab.png\"",
        "property=\"og:url\" content=\"https://hub.example/i/known\"",
        "flow-match-euler",
        "Example GPU",
        "2026-01-01 00:00 UTC",
        "prompt=red%20%3Cb%3Eapple",
        "seed=7",
        "Clip skip</th><td>2</td>",
        "LoRAs</th><td>ink wash at 0.8, for the text at 0.5</td>",
        "Made larger</th><td>2 times, by demo-hub/esrgan-thick</td>",
        "Seed 9, strength 0.25",
        "AUTOMATIC1111",
        "Another picture, strength 0.6",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
    assert!(!page.html.contains("<b>apple"), "{}", page.html);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    for path in ["/i/unknown", "/models/no/such", "/creators/no", "/nowhere"] {
        let page = page(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.html.contains("There is nothing here"), "{path}");
    }
}
