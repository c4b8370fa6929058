//! The catalogue and the cards of models.

use axum::http::StatusCode;

use crate::hub::HOSTILE;
use crate::page;

#[tokio::test]
async fn the_card_names_paper_authors_and_licence() {
    let page = page("/models/demo-hub/glyph").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "<title>Glyph by demo-hub · Demo Hub</title>",
        "Flow Straight and Fast",
        "searchtype=author&amp;query=Xingchao%20Liu",
        "https://arxiv.org/abs/2209.03003",
        "We present rectified flow.",
        "Apache-2.0",
        "@misc{liu2022flow,",
        "href=\"/creators/demo-hub\"",
        "property=\"og:url\" content=\"https://hub.example/models/demo-hub/glyph\"",
        "href=\"https://hub.example/models/demo-hub/glyph\" rel=\"canonical\"",
        // Three records of 3,210 ms and 8 steps.
        "Example GPU",
        "3.2 s",
        "401 ms",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
}

/// The block of JSON-LD of a page.
fn json_ld(html: &str) -> serde_json::Value {
    let block = html
        .split("<script type=\"application/ld+json\">")
        .nth(1)
        .and_then(|rest| rest.split("</script>").next())
        .expect("a block of JSON-LD");
    serde_json::from_str(block).expect("the block is JSON")
}

#[tokio::test]
async fn machines_can_read_the_card() {
    let page = page("/models/demo-hub/glyph").await;
    let json = json_ld(&page.html);
    assert_eq!(json["@context"], "https://schema.org");
    assert_eq!(json["name"], "Glyph");
    assert_eq!(json["citation"][0]["author"][1]["name"], "Chengyue Gong");
    assert_eq!(json["citation"][0]["identifier"][0], "arXiv:2209.03003");
    let creator = self::page("/creators/lab").await;
    let list = &json_ld(&creator.html)["hasPart"]["itemListElement"];
    assert_eq!(list[0]["url"], "https://hub.example/models/lab/elsewhere");
}

#[tokio::test]
async fn a_model_that_does_not_run_here_says_so_and_shows_what_is_known() {
    let page = page("/models/lab/elsewhere").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "Not available here",
        "<code>demo-hub models add lab/elsewhere</code>",
        "No licence is stated",
        "after their authors have agreed",
        "Author 24<",
        "and 376 more",
        "Author 400<",
        "arXiv:2401.00002",
        "not known here yet",
        "as of 2026-01-01 00:00 UTC, and not since: no answer within 3 s.",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
    // Markup of the hub's texts is text, on the page and in the block for machines.
    assert!(!page.html.contains("<script>alert"), "{}", page.html);
    assert!(!page.html.contains("<b>bold"), "{}", page.html);
    assert_eq!(json_ld(&page.html)["citation"][0]["abstract"], HOSTILE);
}

#[tokio::test]
async fn models_that_people_ask_for_are_on_a_shelf() {
    let catalogue = page("/models").await;
    let card = self::page("/models/lab/asked-for").await;
    for (page, expected) in [
        (&catalogue, "Not here yet"),
        (&catalogue, "href=\"/models/lab/asked-for\""),
        (
            &catalogue,
            "licence: see its page · asks for an agreement · 2.50 GB",
        ),
        (
            &catalogue,
            "<code>demo-hub models add lab/asked-for:whole.safetensors</code>",
        ),
        (&card, "1 step at guidance 0"),
        (&card, "What it takes"),
        (&card, "<td>1.30 GB</td>"),
        (&card, "<td>1.60 GB</td>"),
        (&card, "<td>101 MB</td>"),
        (&card, "Tried with its author"),
        (&card, "this browser was not asked yet"),
    ] {
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
    // What runs here comes before what could, and that before what is only known of.
    let at = |text: &str| catalogue.html.find(text).unwrap_or_default();
    let (here, known) = (at("/models/demo-hub/glyph"), at("/models/lab/asked-for"));
    assert!(0 < here && here < known && known < at("/models/lab/elsewhere"));
}

#[tokio::test]
async fn the_catalogue_lists_and_filters_by_links() {
    let page = page("/models?q=gl%22y&runs=browser&max_bytes=1000000000").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "<title>Models · Demo Hub</title>",
        "value=\"gl&quot;y\"",
        "href=\"/models/demo-hub/glyph\"",
        "href=\"/models/lab/elsewhere\"",
        "href=\"/creators/lab\"",
        "74.5 MB",
        "href=\"/models?q=gl%22y&amp;runs=browser&amp;max_bytes=1000000000&amp;cursor=a%2Fb%3D\"",
        "not since: no answer within 3 s",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
    let second = self::page("/models?cursor=a%2Fb%3D").await;
    assert!(!second.html.contains("More models"));
    assert!(second.html.contains("First page"));
}
