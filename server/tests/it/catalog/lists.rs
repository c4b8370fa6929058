//! Search and creators.

use super::*;
use crate::hub::{GLYPH, assert_problem, json as read};
use protocol::{CreatorPage, ModelPage, ProblemCode};

/// A hub with five models by two makers, two a page.
async fn five_models() -> StandIn {
    StandIn::answering(|seen| {
        if seen.path != "/api/models" {
            return nothing();
        }
        let query: std::collections::HashMap<String, String> =
            url::form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
        assert_eq!(query["pipeline_tag"], "text-to-image");
        let license = |i: u32| if i.is_multiple_of(2) { "apache-2.0" } else { "cc-by-nc-4.0" };
        let all = (0..5).map(|i| {
            let id = if i < 4 { format!("maker/model-{i}") } else { format!("other/model-{i}") };
            (i, model(&id, json!({"cardData": {"license": license(i)}, "siblings": [{"rfilename": "README.md"}]})))
        });
        let wanted: Vec<Value> = all
            .filter(|(i, _)| query.get("filter").is_none_or(|f| *f == format!("license:{}", license(*i))))
            .map(|(_, model)| model)
            .filter(|model| query.get("author").is_none_or(|author| model["author"] == **author))
            .filter(|model| query.get("search").is_none_or(|q| model["id"].as_str().unwrap().contains(q)))
            .collect();
        let start: usize = query.get("cursor").map_or(0, |cursor| cursor.parse().unwrap());
        let end = (start + query["limit"].parse::<usize>().unwrap().min(2)).min(wanted.len());
        let act = Act::json(200, &json!(wanted[start..end]));
        if end < wanted.len() {
            act.header("link", &format!("</api/models?cursor={end}&limit=2>; rel=\"next\""))
        } else {
            act
        }
    })
    .await
}

async fn walk(hub: &Hub, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: ModelPage = read(
            hub.get(&format!("/api/v1/models/search?{query}{cursor}"))
                .await,
        )
        .await;
        ids.extend(page.items.into_iter().map(|card| card.id));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn pages_lead_from_the_models_here_through_the_hubs() {
    let stand_in = five_models().await;
    let hub = hub_asking(&stand_in, &[]).await;
    let all = [
        GLYPH,
        "maker/model-0",
        "maker/model-1",
        "maker/model-2",
        "maker/model-3",
        "other/model-4",
    ];
    assert_eq!(walk(&hub, "").await, all);
    assert_eq!(walk(&hub, "limit=1").await, all);
    for (query, expected) in [
        ("q=model-3", vec!["maker/model-3"]),
        ("q=GLYPH", vec![GLYPH]),
        ("owner=other", vec!["other/model-4"]),
        ("license=mit", vec![GLYPH]),
        (
            "license=cc-by-nc-4.0",
            vec!["maker/model-1", "maker/model-3"],
        ),
        (
            "permits=any",
            vec![GLYPH, "maker/model-0", "maker/model-2", "other/model-4"],
        ),
        ("runs=browser", vec![GLYPH]),
        ("runs=server", vec![GLYPH]),
        ("max_bytes=1000000000", vec![GLYPH]),
        ("max_bytes=1000", vec![]),
        ("runs=browser&max_buffer_size=1000", vec![]),
        ("runs=browser&max_buffer_size=268435456", vec![GLYPH]),
    ] {
        assert_eq!(walk(&hub, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn bad_queries_are_named() {
    let hub = Hub::start().await;
    let long = format!("q={}", "x".repeat(101));
    for (query, code) in [
        ("limit=0", ProblemCode::OutOfRange),
        ("limit=61", ProblemCode::OutOfRange),
        ("limit=many", ProblemCode::MalformedRequest),
        ("runs=nowhere", ProblemCode::MalformedRequest),
        ("owner=..%2Fx", ProblemCode::OutOfRange),
        ("cursor=x", ProblemCode::MalformedRequest),
        (&*long, ProblemCode::OutOfRange),
    ] {
        assert_problem(
            hub.get(&format!("/api/v1/models/search?{query}")).await,
            code,
        )
        .await;
    }
}

#[tokio::test]
async fn creators_have_their_models() {
    let stand_in = five_models().await;
    let hub = hub_asking(&stand_in, &[]).await;
    let first: CreatorPage = read(hub.get("/api/v1/creators/maker/models").await).await;
    assert_eq!(first.owner, "maker");
    assert_eq!(first.items.len(), 2);
    assert_eq!(first.hub_url, Some(format!("{}/maker", stand_in.url)));
    let cursor = first.next_cursor.unwrap();
    let second: CreatorPage = read(
        hub.get(&format!("/api/v1/creators/maker/models?cursor={cursor}"))
            .await,
    )
    .await;
    assert_eq!(second.items[1].id, "maker/model-3");
    assert_eq!(second.next_cursor, None);

    let own: CreatorPage = read(hub.get("/api/v1/creators/demo-hub/models").await).await;
    assert_eq!((own.items.len(), own.hub_url), (1, None));
    for nobody in ["nobody", "a%2Fb"] {
        assert_problem(
            hub.get(&format!("/api/v1/creators/{nobody}/models")).await,
            ProblemCode::NotFound,
        )
        .await;
    }
    // A hub in trouble is no proof that there is nobody.
    let broken = StandIn::start([Act::json(500, &json!({}))]).await;
    let hub = hub_asking(&broken, &[]).await;
    let page: CreatorPage = read(hub.get("/api/v1/creators/maker/models").await).await;
    assert_eq!(
        page.provenance[0].trouble.as_ref().unwrap().kind,
        TroubleKind::UpstreamFailed
    );
}

#[tokio::test]
async fn known_models_are_listed_once_and_have_cards() {
    let hub = Hub::with(&[]).await;
    let page = |query: &'static str| {
        let found = hub.get(query);
        async { read::<ModelPage>(found.await).await }
    };
    let all = page("/api/v1/models/search").await;
    assert_eq!(all.items.len(), 1);
    assert!(all.known.len() >= 20, "{}", all.known.len());
    let turbo = page("/api/v1/models/search?q=sd-turbo").await;
    assert_eq!(turbo.known.len(), 1);
    assert_eq!(turbo.known[0].weights.len(), 3);
    // Not on later pages, and not where only models that run are asked for.
    for query in [
        "/api/v1/models/search?cursor=l1",
        "/api/v1/models/search?runs=browser",
    ] {
        assert!(page(query).await.known.is_empty(), "{query}");
    }
    let card: protocol::ModelCard = read(hub.get("/api/v1/models/segmind/SSD-1B").await).await;
    assert_eq!(card.license.unwrap().id, "apache-2.0");
    assert_eq!(card.papers[0].arxiv_id.as_deref(), Some("2401.02677"));
    assert!(card.runnable.is_none() && card.known.is_some());
}
