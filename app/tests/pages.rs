//! The pages as the server sends them: status, policy, and text that needs no JavaScript.

#![cfg(feature = "ssr")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use app::ssr::{Assets, HubData, SsrContext, fallback, pages};
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use protocol::{
    Author, CreatorPage, GalleryPage, GalleryQuery, Gated, GenerationRequest, ImageRecord, License,
    LicenseUse, ModelCard, ModelDefaults, ModelLimits, ModelNeeds, ModelPage, ModelQuery,
    ModelSummary, Paper, PaperRecord, Problem, ProblemCode, Provenance, Recipe, Runs, Source,
    Trouble, TroubleKind,
};
use tower::ServiceExt;

const PROMPT: &str = "red <b>apple</b> & \"pear\"";

struct Fixed {
    storage_down: bool,
}

fn record(id: &str) -> ImageRecord {
    ImageRecord {
        id: id.into(),
        sha256: "ab".repeat(32),
        bytes: 9_100,
        width: 64,
        height: 64,
        created_at: 1_767_225_600_000,
        recipe: Recipe {
            request: GenerationRequest {
                model: "demo-hub/glyph".into(),
                prompt: PROMPT.into(),
                negative_prompt: Some("blue".into()),
                seed: Some(7),
                num_inference_steps: Some(8),
                guidance_scale: Some(3.5),
                clip_skip: Some(2),
                variation_seed: Some(9),
                variation_strength: Some(0.25),
                prompt_syntax: Some(protocol::PromptSyntax::A1111),
                ..GenerationRequest::default()
            },
            weights_digest: "cd".repeat(32),
            scheduler: "flow-match-euler".into(),
            backend: "onnx-gpu (WebGPU)".into(),
            adapter: "Example GPU".into(),
            place: protocol::RunsOn::Browser,
            start: Some(protocol::StartOf {
                sha256: "ef".repeat(32),
                strength: 0.6,
                mask_sha256: None,
                mask_by: protocol::MaskBy::default(),
            }),
            duration_ms: 3_210,
        },
        url: "/images/abab.png".into(),
        permalink: format!("/i/{id}"),
        thumbnail: None,
        unlisted: false,
        visibility: protocol::Visibility::Listed,
        expires_at: None,
        mine: false,
    }
}

#[async_trait]
impl HubData for Fixed {
    async fn models(&self) -> Vec<ModelSummary> {
        let glyph = ModelSummary {
            id: "demo-hub/glyph".into(),
            name: "Glyph".into(),
            creator: "demo-hub".into(),
            summary: "Small pictures from words.".into(),
            license: "Apache-2.0".into(),
            paper: Some(Paper {
                title: "Flow Straight and Fast".into(),
                authors: vec!["Xingchao Liu".into(), "Chengyue Gong".into()],
                arxiv: "2209.03003".into(),
                abstract_text: "We present rectified flow.".into(),
            }),
            package_url: Some("/models/glyph/manifest.json".into()),
            weights_digest: "cd".repeat(32),
            download_bytes: 74_500_000,
            width: 64,
            height: 64,
            sizes: None,
            weighted_prompts: false,
            max_clip_skip: 1,
            begins_with_pictures: false,
            samplers: Vec::new(),
            negative_prompt: true,
            limits: ModelLimits {
                min_steps: 1,
                max_steps: 50,
                min_guidance: 1.0,
                max_guidance: 15.0,
            },
            defaults: ModelDefaults {
                num_inference_steps: 8,
                guidance_scale: 3.0,
            },
            needs: ModelNeeds {
                max_buffer_size: 64 << 20,
                max_storage_buffer_binding_size: 64 << 20,
                memory_bytes: 256 << 20,
            },
            needs_of_largest: None,
            work: None,
            example_prompts: vec!["green heart".into()],
        };
        let brief = ModelSummary {
            id: "demo-hub/brief".into(),
            name: "Brief".into(),
            negative_prompt: false,
            begins_with_pictures: true,
            max_clip_skip: 12,
            ..glyph.clone()
        };
        vec![glyph, brief]
    }

    async fn gallery(
        &self,
        query: GalleryQuery,
        _cookies: Option<String>,
    ) -> Result<GalleryPage, Problem> {
        if self.storage_down {
            return Err(Problem::new(
                ProblemCode::StorageUnavailable,
                "connection refused",
            ));
        }
        if query.mine || query.model.as_deref() == Some("no/such") {
            return Ok(GalleryPage::default());
        }
        Ok(match query.cursor.as_deref() {
            None => GalleryPage {
                items: vec![record("new"); query.limit.unwrap_or(24).min(3)],
                next_cursor: Some("a/b=".into()),
            },
            Some("a/b=") => GalleryPage {
                items: vec![record("old")],
                next_cursor: None,
            },
            Some(other) => panic!("unexpected cursor {other}"),
        })
    }

    async fn search(&self, query: ModelQuery) -> Result<ModelPage, Problem> {
        Ok(ModelPage {
            items: vec![self.card("demo-hub/glyph").await?, elsewhere()],
            next_cursor: query.cursor.is_none().then(|| "a/b=".to_owned()),
            provenance: vec![down()],
        })
    }

    async fn card(&self, id: &str) -> Result<ModelCard, Problem> {
        match id {
            "demo-hub/glyph" => Ok(card_of(&self.models().await[0])),
            "demo-hub/brief" => Ok(card_of(&self.models().await[1])),
            "lab/elsewhere" => Ok(elsewhere()),
            _ => Err(Problem::new(ProblemCode::NotFound, "no such model")),
        }
    }

    async fn creator(&self, owner: &str, _: Option<String>) -> Result<CreatorPage, Problem> {
        if owner != "lab" {
            return Err(Problem::new(ProblemCode::NotFound, "no such creator"));
        }
        Ok(CreatorPage {
            owner: owner.to_owned(),
            items: vec![elsewhere()],
            provenance: vec![down()],
            ..CreatorPage::default()
        })
    }

    async fn image(&self, id: &str, _cookies: Option<String>) -> Result<ImageRecord, Problem> {
        if id == "known" {
            Ok(record(id))
        } else if id == "mine" {
            Ok(ImageRecord {
                mine: true,
                unlisted: true,
                visibility: protocol::Visibility::Unlisted,
                width: 512,
                ..record(id)
            })
        } else {
            Err(Problem::new(ProblemCode::NotFound, "no such picture"))
        }
    }
}

const HOSTILE: &str = "</script><script>alert(1)</script><b>bold</b>";

/// The card of a model that runs here.
fn card_of(model: &ModelSummary) -> ModelCard {
    ModelCard {
        id: model.id.clone(),
        owner: "demo-hub".into(),
        name: "glyph".into(),
        title: model.name.clone(),
        summary: Some(model.summary.clone()),
        license: Some(License {
            id: model.license.clone(),
            name: "Apache License 2.0".into(),
            url: Some("https://www.apache.org/licenses/LICENSE-2.0".into()),
            permits: LicenseUse::Any,
            limits: Some(vec!["Keep the notices.".into()]),
        }),
        papers: model.paper.iter().map(PaperRecord::from).collect(),
        total_bytes: Some(model.download_bytes),
        needs: Some(model.needs),
        runs: Runs {
            browser: true,
            server: true,
        },
        runnable: Some(model.clone()),
        ..ModelCard::default()
    }
}

/// A model of the hub that does not run here, with as much mischief and as many authors as there can be.
fn elsewhere() -> ModelCard {
    ModelCard {
        id: "lab/elsewhere".into(),
        owner: "lab".into(),
        name: "elsewhere".into(),
        title: "elsewhere".into(),
        gated: Some(Gated::Manual),
        papers: vec![
            PaperRecord {
                title: Some("Many Hands".into()),
                abstract_text: Some(HOSTILE.into()),
                authors: (1..=400)
                    .map(|n| Author::named(format!("Author {n}")))
                    .collect(),
                ..PaperRecord::of_arxiv("2401.00001")
            },
            PaperRecord::of_arxiv("2401.00002"),
        ],
        tags: vec![HOSTILE.into()],
        provenance: vec![down()],
        ..ModelCard::default()
    }
}

fn down() -> Provenance {
    Provenance {
        source: Source::Hub,
        fetched_at: Some(1_767_225_600_000),
        stale: true,
        trouble: Some(Trouble {
            kind: TroubleKind::Timeout,
            detail: "no answer within 3 s".into(),
        }),
    }
}

struct Page {
    status: StatusCode,
    policy: String,
    html: String,
}

async fn page_of(data: Fixed, path: &str) -> Page {
    let context = SsrContext {
        data: Arc::new(data),
        assets: Assets {
            client_js: "/client-0.js".into(),
            client_wasm: "/client-0_bg.wasm".into(),
            worker_js: "/render-worker-0.js".into(),
            worker_wasm: "/render-worker-0_bg.wasm".into(),
            cpu_worker_js: "/cpu-worker-0.js".into(),
            cpu_worker_wasm: "/cpu-worker-0_bg.wasm".into(),
            css: "/style-0.css".into(),
        },
        storage_origin: "http://127.0.0.1:9000".into(),
        public_url: "https://hub.example".into(),
    };
    let response = pages(context.clone())
        .fallback_service(fallback(context))
        .oneshot(Request::get(path).body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = response.status();
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Page {
        status,
        policy,
        // Without the empty comments that tell hydration where a text ends.
        html: String::from_utf8(body.to_vec()).unwrap().replace("<!>", ""),
    }
}

async fn page(path: &str) -> Page {
    page_of(
        Fixed {
            storage_down: false,
        },
        path,
    )
    .await
}

#[tokio::test]
async fn the_start_page_has_a_filled_form() {
    let page = page("/?prompt=a%26b&seed=5&accept-software=1").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "a&amp;b</textarea>",
        "value=\"5\"",
        "green heart",
        "74.5 MB",
        "<noscript>",
        "/render-worker-0.js",
        "Newest pictures",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
}

#[tokio::test]
async fn the_field_of_a_negative_prompt_is_off_where_the_model_takes_none() {
    const NOTE: &str = "This model takes no negative prompt.";
    let field = async |model: &str| {
        let path = format!("/?model=demo-hub/{model}&negative_prompt=leaf");
        let html = page(&path).await.html;
        let (_, rest) = html.split_once("<input id=\"negative-prompt\"").unwrap();
        let (tag, rest) = rest.split_once("</div>").unwrap();
        assert!(tag.contains("value=\"leaf\""), "{tag}");
        assert!(!rest.contains(NOTE));
        tag.to_owned()
    };
    let off = field("brief").await;
    for expected in [
        " disabled",
        "aria-describedby=\"negative-prompt-note\"",
        "id=\"negative-prompt-note\"",
        NOTE,
    ] {
        assert!(off.contains(expected), "{expected} in {off}");
    }
    let on = field("glyph").await;
    for absent in [" disabled", "aria-describedby", NOTE] {
        assert!(!on.contains(absent), "{absent} in {on}");
    }
    for (model, answer) in [("brief", "no"), ("glyph", "yes")] {
        let html = page(&format!("/models/demo-hub/{model}")).await.html;
        let row = format!("<th scope=\"row\">Negative prompt</th><td>{answer}</td>");
        assert!(html.contains(&row), "{html}");
    }
}

#[tokio::test]
async fn a_picture_to_begin_with_is_asked_for_where_the_model_takes_one() {
    for (model, offered) in [("demo-hub/glyph", false), ("demo-hub/brief", true)] {
        let page = page(&format!("/?model={model}")).await;
        assert_eq!(
            page.html.contains("Start from a picture"),
            offered,
            "{model}"
        );
        assert_eq!(page.html.contains("data-testid=\"start-file\""), offered);
    }
}

#[tokio::test]
async fn a_layer_of_the_text_encoder_is_asked_for_where_the_model_offers_one() {
    for (model, offered) in [("glyph", false), ("brief", true)] {
        let page = page(&format!("/?model=demo-hub/{model}&clip_skip=2")).await;
        let field = page.html.split_once("<input id=\"clip-skip\"");
        assert_eq!(field.is_some(), offered, "{model}");
        if let Some((_, field)) = field {
            let (tag, _) = field.split_once('>').unwrap();
            for expected in ["name=\"clip_skip\"", "max=\"12\"", "value=\"2\""] {
                assert!(tag.contains(expected), "{expected} in {tag}");
            }
        }
    }
}

#[tokio::test]
async fn inline_scripts_carry_the_nonce_of_the_policy() {
    let page = page("/").await;
    let nonce = page
        .policy
        .split("'nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .expect("a nonce");
    assert!(nonce.len() >= 16);
    let scripts: Vec<&str> = page.html.split("<script").skip(1).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        let tag = script.split('>').next().unwrap();
        assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "{tag}");
    }
    assert!(!page.html.contains(" style=\""));
    assert!(
        page.policy
            .contains("connect-src 'self' http://127.0.0.1:9000;")
    );
}

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

#[tokio::test]
async fn a_comparison_can_be_linked_to() {
    let page = page("/compare?prompt=a%26b&seed=7&a=demo-hub%2Fglyph%40server").await;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "a&amp;b</textarea>",
        "value=\"7\"",
        "data-testid=\"model-a\"",
        "data-testid=\"place-b\"",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
    assert!(!page.html.contains(" style=\""));
}
