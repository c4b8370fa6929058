//! The pages as the server sends them: status, policy, and text that needs no JavaScript.

#![cfg(feature = "ssr")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use app::ssr::{Assets, HubData, SsrContext, fallback, pages};
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use protocol::{
    GalleryPage, GalleryQuery, GenerationRequest, ImageRecord, ModelDefaults, ModelLimits,
    ModelNeeds, ModelSummary, Paper, Problem, ProblemCode, Recipe,
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
                negative_prompt: "blue".into(),
                seed: Some(7),
                num_inference_steps: Some(8),
                guidance_scale: Some(3.5),
            },
            weights_digest: "cd".repeat(32),
            scheduler: "flow-match-euler".into(),
            backend: "onnx-gpu (WebGPU)".into(),
            adapter: "Example GPU".into(),
            place: "browser".into(),
            duration_ms: 3_210,
        },
        url: "/images/abab.png".into(),
        permalink: format!("/i/{id}"),
        thumbnail: None,
        unlisted: false,
        mine: false,
    }
}

#[async_trait]
impl HubData for Fixed {
    async fn models(&self) -> Vec<ModelSummary> {
        vec![ModelSummary {
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
            work: None,
            example_prompts: vec!["green heart".into()],
        }]
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

    async fn image(&self, id: &str, _cookies: Option<String>) -> Result<ImageRecord, Problem> {
        if id == "known" {
            Ok(record(id))
        } else if id == "mine" {
            Ok(ImageRecord {
                mine: true,
                unlisted: true,
                width: 512,
                ..record(id)
            })
        } else {
            Err(Problem::new(ProblemCode::NotFound, "no such picture"))
        }
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
        html: String::from_utf8(body.to_vec()).unwrap(),
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
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
    assert!(!page.html.contains("<b>apple"), "{}", page.html);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    for path in ["/i/unknown", "/models/no/such", "/nowhere"] {
        let page = page(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.html.contains("There is nothing here"), "{path}");
    }
}

#[tokio::test]
async fn the_card_names_paper_authors_and_licence() {
    let page = page("/models/demo-hub/glyph").await;
    for expected in [
        "Flow Straight and Fast",
        "Xingchao Liu, Chengyue Gong",
        "https://arxiv.org/abs/2209.03003",
        "We present rectified flow.",
        "Apache-2.0",
    ] {
        assert!(page.html.contains(expected), "{expected} in {}", page.html);
    }
}
