//! Hosts that fail: every answer comes, and says what is missing.

use super::*;
use crate::hub::{GLYPH, assert_problem, json as read};
use protocol::{ModelPage, ProblemCode};

const ID: &str = "maker/model";
const CARD: &str = "/api/v1/models/maker/model";

#[tokio::test]
async fn every_trouble_of_the_hub_gives_a_card_that_says_so() {
    use TroubleKind::*;
    let full = model(ID, json!({})).to_string();
    let fifty_mib = vec![b' '; 50 << 20];
    let cases = [
        (
            "429",
            Act::json(429, &json!({"error": "Too Many Requests"})).header("retry-after", "3600"),
            RateLimited,
        ),
        (
            "500",
            Act::json(500, &json!({"error": "Internal Error"})),
            UpstreamFailed,
        ),
        ("503", Act::say(503, "text/html", "<html>"), UpstreamFailed),
        (
            "time-out",
            Act::json(200, &model(ID, json!({}))).after(NEVER),
            Timeout,
        ),
        (
            "half a body",
            Act::say(200, "application/json", full.clone()).cut_off(),
            Malformed,
        ),
        (
            "half a JSON",
            Act::say(200, "application/json", &full[..full.len() / 2]),
            Malformed,
        ),
        (
            "HTML",
            Act::say(200, "text/html", "<html>login</html>"),
            Malformed,
        ),
        (
            "no identifier",
            Act::json(200, &json!({"id": null, "tags": null})),
            Malformed,
        ),
        (
            "50 MiB",
            Act::say(200, "application/json", fifty_mib),
            TooLarge,
        ),
        (
            "endless",
            Act::say(200, "application/json", [b' '; 4096]).endless(),
            TooLarge,
        ),
        (
            "gated",
            Act::json(403, &json!({"error": "Access to model is restricted"}))
                .header("x-error-code", "GatedRepo"),
            Forbidden,
        ),
        (
            "elsewhere",
            Act::say(307, "text/plain", "")
                .header("location", "http://192.0.2.1/api/models/maker/model"),
            UpstreamFailed,
        ),
    ];
    for (name, act, expected) in cases {
        let stand_in = one_model(ID, act).await;
        let timeout = if expected == Timeout { "400" } else { "60000" };
        let timeout = format!("--catalog-timeout-ms={timeout}");
        let options = [&*timeout, "--catalog-max-bytes=65536"];
        let hub = hub_asking(&stand_in, &options).await;
        let card: ModelCard = read(hub.get(CARD).await).await;
        assert_eq!(kind(&card, Source::Hub), Some(expected), "{name}: {card:?}");
        assert_eq!((&*card.id, &*card.title), (ID, "model"), "{name}");
        assert_eq!(of(&card, Source::Hub).fetched_at, None, "{name}");
        assert!(card.license.is_none() && card.papers.is_empty() && card.total_bytes.is_none());
        assert_eq!(card.hub_url, Some(format!("{}/maker/model", stand_in.url)));
        let before = stand_in.seen().len();
        let again: ModelCard = read(hub.get(CARD).await).await;
        assert_eq!(again, card, "{name}: a failure is remembered");
        assert_eq!(stand_in.seen().len(), before, "{name}");
        hub.stop().await;
    }
}

#[tokio::test]
async fn fifty_mebibytes_are_too_much_by_default() {
    let chunk = vec![b' '; 50 << 20];
    let stand_in = one_model(ID, Act::say(200, "application/json", chunk)).await;
    let hub = hub_asking(&stand_in, &[]).await;
    let card: ModelCard = read(hub.get(CARD).await).await;
    assert_eq!(kind(&card, Source::Hub), Some(TroubleKind::TooLarge));
}

#[tokio::test]
async fn what_the_hub_does_not_know_is_not_found() {
    for act in [
        Act::json(404, &json!({"error": "Repository not found"})),
        Act::json(401, &json!({"error": "Invalid username or password."}))
            .header("x-error-code", "RepoNotFound"),
    ] {
        let stand_in = one_model(ID, act).await;
        let hub = hub_asking(&stand_in, &[]).await;
        assert_problem(hub.get(CARD).await, ProblemCode::UnknownModel).await;
    }
    let stand_in = one_model(ID, nothing()).await;
    let hub = hub_asking(&stand_in, &[]).await;
    for path in [
        "/api/v1/models/..%2F../x",
        "/api/v1/models/a/%3Cb%3E",
        "/api/v1/models/a/b%2Fc",
    ] {
        assert_problem(hub.get(path).await, ProblemCode::UnknownModel).await;
    }
    assert!(stand_in.seen().is_empty(), "no such name reaches the hub");
}

#[tokio::test]
async fn a_page_waits_no_longer_than_its_deadline() {
    let stand_in = one_model(ID, Act::json(200, &model(ID, json!({}))).after(NEVER)).await;
    let options = ["--catalog-timeout-ms=600000", "--catalog-deadline-ms=200"];
    let hub = hub_asking(&stand_in, &options).await;
    // The answer would come after ten minutes; the client of the test gives up after one.
    let card: ModelCard = read(hub.get(CARD).await).await;
    assert_eq!(kind(&card, Source::Hub), Some(TroubleKind::Timeout));
    // The model of this hub waits for nobody, although arXiv does not answer.
    let card: ModelCard = read(hub.get(&format!("/api/v1/models/{GLYPH}")).await).await;
    assert!(card.runnable.is_some());
}

#[tokio::test]
async fn retry_after_holds_for_every_request_to_the_host() {
    let limited = Act::json(429, &json!({})).header("retry-after", "3600");
    let stand_in = StandIn::answering(move |_| limited.clone()).await;
    let hub = hub_asking(&stand_in, &[]).await;
    let card: ModelCard = read(hub.get(CARD).await).await;
    assert_eq!(kind(&card, Source::Hub), Some(TroubleKind::RateLimited));
    for path in ["/api/v1/models/maker/other", "/api/v1/models/someone/else"] {
        let card: ModelCard = read(hub.get(path).await).await;
        assert_eq!(kind(&card, Source::Hub), Some(TroubleKind::RateLimited));
    }
    let page: ModelPage = read(hub.get("/api/v1/models/search").await).await;
    assert_eq!(page.items[0].id, GLYPH);
    assert_eq!(
        page.provenance[0].trouble.as_ref().unwrap().kind,
        TroubleKind::RateLimited
    );
    assert_eq!(stand_in.seen().len(), 1);
}

#[tokio::test]
async fn an_old_answer_outlives_the_hub_and_a_restart() {
    let stand_in = one_model(ID, Act::json(200, &model(ID, json!({})))).await;
    let hub = hub_asking(&stand_in, &["--catalog-ttl-seconds=0"]).await;
    let fresh: ModelCard = read(hub.get(CARD).await).await;
    assert!(!of(&fresh, Source::Hub).stale);
    let folders = hub.stop().await;

    let broken = one_model(ID, Act::json(500, &json!({}))).await;
    let options = [
        "--hub-url",
        &broken.url,
        "--arxiv-url",
        &broken.url,
        "--catalog-ttl-seconds=0",
    ];
    let hub = Hub::over(folders, &options).await;
    let old = loop {
        let card: ModelCard = read(hub.get(CARD).await).await;
        if of(&card, Source::Hub).stale {
            break card;
        }
    };
    assert_eq!(old.downloads, fresh.downloads);
    assert_eq!(
        of(&old, Source::Hub).fetched_at,
        of(&fresh, Source::Hub).fetched_at
    );
    assert_eq!(kind(&old, Source::Hub), Some(TroubleKind::UpstreamFailed));
}

#[tokio::test]
async fn without_a_network_the_models_here_are_all_there() {
    let hub = Hub::start().await;
    let card: ModelCard = read(hub.get(&format!("/api/v1/models/{GLYPH}")).await).await;
    assert_eq!(card.provenance.len(), 1);
    assert_eq!(card.papers[0].arxiv_id.as_deref(), Some("2209.03003"));
    assert!(card.papers[0].abstract_text.is_some());
    assert_eq!(
        card.papers[1].title.as_deref(),
        Some("Classifier-Free Diffusion Guidance")
    );
    assert_eq!((card.downloads, card.gated), (None, None));
    assert_problem(hub.get(CARD).await, ProblemCode::UnknownModel).await;

    // Nobody listens there.
    let nowhere = [
        "--hub-url",
        "http://127.0.0.1:9",
        "--arxiv-url",
        "http://127.0.0.1:9",
    ];
    let hub = Hub::with(&nowhere).await;
    let card = loop {
        let card: ModelCard = read(hub.get(&format!("/api/v1/models/{GLYPH}")).await).await;
        if kind(&card, Source::Arxiv) == Some(TroubleKind::Unreachable) {
            break card;
        }
    };
    assert_eq!(of(&card, Source::Arxiv).fetched_at, None);
    let card: ModelCard = read(hub.get(CARD).await).await;
    assert_eq!(kind(&card, Source::Hub), Some(TroubleKind::Unreachable));
}
