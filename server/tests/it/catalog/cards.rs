//! Cards of models that the hub knows.

use super::*;
use crate::hub::{GLYPH, json as read};
use futures::stream::{self, StreamExt};
use protocol::{Gated, LicenseUse};

async fn card(answers: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> (ModelCard, StandIn) {
    let stand_in = StandIn::answering(answers).await;
    let hub = hub_asking(&stand_in, &["--hub-token", "hf_correct_horse"]).await;
    let response = hub.get("/api/v1/models/maker/model").await;
    let text = response.text().await.unwrap();
    assert!(!text.contains("hf_correct_horse"));
    (serde_json::from_str(&text).unwrap(), stand_in)
}

fn tagged(papers: &[&str]) -> Value {
    let papers: Vec<String> = papers.iter().map(|id| format!("arxiv:{id}")).collect();
    model("maker/model", json!({ "tags": papers }))
}

#[tokio::test]
async fn a_card_has_what_hub_and_arxiv_say() {
    let (card, stand_in) = card(|seen| match &*seen.path {
        "/api/models/maker/model" => Act::json(200, &tagged(&["2207.12598"])),
        "/api/papers/2207.12598" => {
            let mut paper = paper(
                "2207.12598",
                "As the hub has it",
                "Short.",
                &["Jonathan Ho", "Tim Salimans"],
            );
            paper["authors"][0]["user"] =
                json!({"_id": "1", "user": "jho", "fullname": "J. Ho", "isPro": false});
            Act::json(200, &paper)
        }
        "/api/query" => nothing().after(NEVER),
        _ => nothing(),
    })
    .await;
    assert_eq!((card.downloads, card.likes), (Some(2_345_678), Some(901)));
    assert_eq!(card.last_modified, Some(1_725_726_030_000));
    assert_eq!(card.gated, Some(Gated::Open));
    assert_eq!(card.total_bytes, Some(3_438_167_534 + 334_643_276));
    let license = card.license.unwrap();
    assert_eq!(
        (&*license.id, license.permits),
        ("creativeml-openrail-m", LicenseUse::Restricted)
    );
    assert!(!license.limits.unwrap().is_empty());
    let paper = &card.papers[0];
    assert_eq!(paper.title.as_deref(), Some("As the hub has it"));
    assert_eq!(
        paper.doi, None,
        "arXiv is waited for only where the hub does not know the paper"
    );
    assert_eq!(paper.authors[0].hub_user.as_deref(), Some("jho"));
    assert_eq!(paper.authors[1].hub_user, None);
    assert_eq!(paper.published.as_deref(), Some("2022-07-26"));
    let with_token = async |path: &str| loop {
        if let Some(seen) = stand_in.seen().iter().find(|seen| seen.path == path) {
            let token = seen.headers.get("authorization");
            return token.map(|value| value.to_str().unwrap().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(
        with_token("/api/models/maker/model").await.as_deref(),
        Some("Bearer hf_correct_horse")
    );
    assert_eq!(with_token("/api/query").await, None);
}

#[tokio::test]
async fn a_paper_that_the_hub_does_not_have_comes_from_arxiv() {
    let (card, _) = card(|seen| match &*seen.path {
        "/api/models/maker/model" => Act::json(200, &tagged(&["2207.12598"])),
        "/api/query" => atom(&feed(
            "2207.12598",
            "Classifier-Free\n  Diffusion Guidance",
            "  &lt;script&gt;alert(1)&lt;/script&gt; &amp;\n  more ",
            &["Jonathan Ho", "Tim Salimans"],
            "10.1/x",
        )),
        _ => nothing(),
    })
    .await;
    let paper = &card.papers[0];
    assert_eq!(
        paper.title.as_deref(),
        Some("Classifier-Free Diffusion Guidance")
    );
    assert_eq!(
        paper.abstract_text.as_deref(),
        Some("<script>alert(1)</script> & more")
    );
    assert_eq!(paper.doi.as_deref(), Some("10.1/x"));
    assert_eq!(paper.source, Some(Source::Arxiv));
    assert_eq!(
        paper.url.as_deref(),
        Some("https://arxiv.org/abs/2207.12598")
    );
    assert_eq!(kind(&card, Source::Hub), None);
    assert!(of(&card, Source::Arxiv).fetched_at.is_some());
}

#[tokio::test]
async fn three_papers_four_hundred_authors_and_markup() {
    let (card, stand_in) = card(|seen| match &*seen.path {
        "/api/models/maker/model" => Act::json(200, &tagged(&["2207.12598", "2209.03003", "2112.10752"])),
        "/api/papers/2207.12598" => {
            let authors: Vec<String> = (0..400).map(|i| format!("Author {i}")).collect();
            let authors: Vec<&str> = authors.iter().map(String::as_str).collect();
            Act::json(200, &paper("2207.12598", "Many", "<img src=x onerror=alert(1)>", &authors))
        }
        "/api/papers/2209.03003" => Act::json(200, &json!({"id": "2209.03003", "title": "Nulls", "summary": null, "authors": [null, {"name": null}, {"name": "One"}], "publishedAt": null})),
        _ => nothing(),
    })
    .await;
    let titles: Vec<Option<&str>> = card.papers.iter().map(|p| p.title.as_deref()).collect();
    assert_eq!(titles, [Some("Many"), Some("Nulls"), None]);
    assert_eq!(card.papers[0].authors.len(), 400);
    assert_eq!(card.papers[0].authors[399].name, "Author 399");
    assert_eq!(
        card.papers[0].abstract_text.as_deref(),
        Some("<img src=x onerror=alert(1)>")
    );
    assert_eq!(card.papers[1].authors.len(), 1);
    assert_eq!(card.papers[1].abstract_text, None);
    assert_eq!(card.papers[2].arxiv_id.as_deref(), Some("2112.10752"));
    assert_eq!(kind(&card, Source::Arxiv), Some(TroubleKind::NotFound));
    let queries: Vec<String> = stand_in
        .seen()
        .into_iter()
        .filter(|s| s.path == "/api/query")
        .map(|s| s.query)
        .collect();
    assert_eq!(queries.len(), 1, "one request for all papers: {queries:?}");
}

#[tokio::test]
async fn a_gated_model_without_papers_or_sizes() {
    let (card, stand_in) = card(|seen| match &*seen.path {
        "/api/models/maker/model" => Act::json(
            200,
            &model("maker/model", json!({
                "gated": "manual", "downloads": null, "siblings": null, "tags": null,
                "cardData": {"license": "other", "license_name": "own-license", "license_link": "javascript:alert(1)"}
            })),
        ),
        _ => nothing(),
    })
    .await;
    assert_eq!(card.gated, Some(Gated::Manual));
    assert_eq!((card.downloads, card.total_bytes), (None, None));
    assert!(card.papers.is_empty() && card.components.is_empty());
    let license = card.license.unwrap();
    assert_eq!(
        (&*license.id, license.permits),
        ("own-license", LicenseUse::Unknown)
    );
    assert_eq!((license.url, license.limits), (None, None));
    assert_eq!(stand_in.seen().len(), 1, "there is no paper to ask for");
}

#[tokio::test]
async fn a_thousand_views_are_one_request_of_each_kind() {
    let stand_in = StandIn::answering(|seen| match &*seen.path {
        "/api/models/maker/model" => {
            Act::json(200, &tagged(&["2207.12598"])).after(Duration::from_millis(50))
        }
        "/api/papers/2207.12598" => Act::json(200, &paper("2207.12598", "T", "S", &["A"])),
        "/api/query" => atom(&feed("2207.12598", "T", "S", &["A"], "10.1/x")),
        _ => nothing(),
    })
    .await;
    let hub = hub_asking(&stand_in, &["--catalog-deadline-ms=30000"]).await;
    let views = stream::iter(0..1000).map(|_| async {
        let card: ModelCard = read(hub.get("/api/v1/models/maker/model").await).await;
        assert_eq!(card.downloads, Some(2_345_678));
    });
    views.buffer_unordered(100).collect::<Vec<()>>().await;
    let mut paths: Vec<String> = stand_in.seen().into_iter().map(|seen| seen.path).collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/models/maker/model",
            "/api/papers/2207.12598",
            "/api/query"
        ]
    );
}

#[tokio::test]
async fn the_built_in_model_is_never_looked_up_on_the_hub_under_its_name() {
    let stand_in = StandIn::answering(|seen| match &*seen.path {
        "/api/papers/2207.12598" => Act::json(
            200,
            &paper(
                "2207.12598",
                "Another title",
                "From the hub.",
                &["Someone Else"],
            ),
        ),
        _ => nothing(),
    })
    .await;
    let hub = hub_asking(&stand_in, &[]).await;
    let path = format!("/api/v1/models/{GLYPH}");
    let card = loop {
        let card: ModelCard = read(hub.get(&path).await).await;
        if card.papers[1].abstract_text.is_some() {
            break card;
        }
    };
    assert_eq!(
        card.papers[1].title.as_deref(),
        Some("Classifier-Free Diffusion Guidance")
    );
    assert_eq!(
        card.papers[1].authors.len(),
        2,
        "what the package says stays"
    );
    assert_eq!(
        card.papers[1].abstract_text.as_deref(),
        Some("From the hub.")
    );
    assert!(
        stand_in
            .seen()
            .iter()
            .all(|seen| !seen.path.contains("glyph"))
    );
    assert_eq!(card.hub_url, None);
    let parts: Vec<&str> = card.components.iter().map(|c| &*c.name).collect();
    assert_eq!(parts, ["text_encoder", "denoiser", "decoder"]);
    assert!(card.runs.browser && card.runs.server);
    let sample = hub.get(&card.sample.unwrap().url).await;
    assert_eq!(sample.headers()["content-type"], "image/png");
    assert_eq!(sample.status(), 200);
}

/// arXiv as its manual has it: one identifier that is none, and the whole request is refused, with an entry that says so.
fn strict_arxiv(seen: &Seen, refused: &[&str], status: u16) -> Act {
    let query: Vec<(String, String)> = url::form_urlencoded::parse(seen.query.as_bytes())
        .into_owned()
        .collect();
    let list = &query.iter().find(|(name, _)| name == "id_list").unwrap().1;
    if let Some(bad) = list.split(',').find(|id| refused.contains(id)) {
        let error = format!(
            r#"<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/api/errors#incorrect_id_format_for_{bad}</id>
               <title>Error</title><summary>incorrect id format for {bad}</summary></entry></feed>"#
        );
        return Act::say(status, "application/atom+xml", error);
    }
    let entries: String = list
        .split(',')
        .map(|id| {
            format!(
                "<entry><id>http://arxiv.org/abs/{id}v1</id><title>Title of {id}</title></entry>"
            )
        })
        .collect();
    atom(&format!(
        r#"<feed xmlns="http://www.w3.org/2005/Atom">{entries}</feed>"#
    ))
}

#[tokio::test]
async fn one_bad_identifier_loses_no_other_paper() {
    let tags = [
        "2207.12598",
        "2409.99999",
        "hep-th/9901001",
        "2112.10752v2",
        "nonsense",
        "2213.00001",
        "2112.10752",
        "2209.03003",
    ];
    for status in [200, 400] {
        let (card, stand_in) = card(move |seen| match &*seen.path {
            "/api/models/maker/model" => Act::json(200, &tagged(&tags)),
            "/api/query" => strict_arxiv(seen, &["2409.99999"], status),
            _ => nothing(),
        })
        .await;
        let papers: Vec<(Option<&str>, Option<&str>)> = card
            .papers
            .iter()
            .map(|paper| (paper.arxiv_id.as_deref(), paper.title.as_deref()))
            .collect();
        assert_eq!(
            papers,
            [
                (Some("2207.12598"), Some("Title of 2207.12598")),
                (Some("2409.99999"), None),
                (Some("hep-th/9901001"), Some("Title of hep-th/9901001")),
                (Some("2112.10752"), Some("Title of 2112.10752")),
                (Some("2209.03003"), Some("Title of 2209.03003")),
            ],
            "status {status}"
        );
        assert_eq!(kind(&card, Source::Arxiv), None);
        let queries = stand_in
            .seen()
            .iter()
            .filter(|seen| seen.path == "/api/query")
            .count();
        assert!(queries <= 7, "{queries} requests to find one of five");
    }
}

/// A host in trouble is asked once, not once for every paper.
#[tokio::test]
async fn a_failing_arxiv_is_not_asked_for_halves() {
    let (card, stand_in) = card(|seen| match &*seen.path {
        "/api/models/maker/model" => Act::json(200, &tagged(&["2207.12598", "2112.10752"])),
        "/api/query" => Act::say(500, "text/plain", "no"),
        _ => nothing(),
    })
    .await;
    assert_eq!(
        kind(&card, Source::Arxiv),
        Some(TroubleKind::UpstreamFailed)
    );
    assert_eq!(card.papers.len(), 2);
    let queries = stand_in
        .seen()
        .iter()
        .filter(|seen| seen.path == "/api/query")
        .count();
    assert_eq!(queries, 1);
}

#[tokio::test]
async fn papers_of_templates_are_no_papers_of_the_model() {
    let (card, stand_in) = card(|seen| match &*seen.path {
        "/api/models/maker/model" => {
            Act::json(200, &tagged(&["1910.09700", "1810.03993v2", "2307.01952"]))
        }
        "/api/papers/2307.01952" => Act::json(200, &paper("2307.01952", "SDXL", "S", &["A"])),
        _ => nothing(),
    })
    .await;
    let ids: Vec<&str> = card
        .papers
        .iter()
        .filter_map(|p| p.arxiv_id.as_deref())
        .collect();
    assert_eq!(ids, ["2307.01952"]);
    let asked = |text: &str| {
        let seen = stand_in.seen();
        seen.iter()
            .any(|seen| seen.path.contains(text) || seen.query.contains(text))
    };
    assert!(
        !asked("1910.09700") && !asked("README.md"),
        "one paper needs no telling apart"
    );
}

/// The order of tags says nothing; the README's BibTeX does.
#[tokio::test]
async fn the_base_paper_is_the_one_that_the_readme_cites() {
    let readme = "# Model\nAfter https://arxiv.org/abs/2207.12598.\n```bibtex\n@misc{p, title={SDXL}, eprint={2307.01952}}\n```\n";
    for (readme, expected) in [
        (Some(readme), Some("2307.01952")),
        (Some("# Model"), None),
        (None, None),
    ] {
        let (card, _) = card(move |seen| match &*seen.path {
            "/api/models/maker/model" => Act::json(200, &tagged(&["2207.12598", "2307.01952"])),
            "/maker/model/raw/main/README.md" => {
                readme.map_or_else(nothing, |text| Act::say(200, "text/plain", text))
            }
            _ => nothing(),
        })
        .await;
        let base: Vec<&str> = card
            .papers
            .iter()
            .filter(|paper| paper.base)
            .filter_map(|paper| paper.arxiv_id.as_deref())
            .collect();
        assert_eq!(base, Vec::from_iter(expected));
        assert_eq!(card.papers.len(), 2);
        assert_eq!(card.papers[0].base, expected.is_some());
    }
}
