//! The OpenAPI document, its page, and the problem codes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{Problem, ProblemCode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::hub::{Hub, json as read};

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_the_routes() {
    let hub = Hub::start().await;
    let document: Value = read(hub.get("/api/openapi.json").await).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut described = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let address = path.replace("{id}", "0").replace("{file}", "0.png");
        for method in ["get", "post", "delete", "put", "patch"] {
            let upper = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = hub.send(upper, &address).await;
            let is_described = methods.get(method).is_some();
            assert_eq!(
                answer.status() != StatusCode::METHOD_NOT_ALLOWED,
                is_described,
                "{method} {path}"
            );
            if answer.status() == StatusCode::NOT_FOUND {
                let text = answer.text().await.unwrap();
                assert!(!text.contains("there is nothing at"), "{path}: {text}");
            }
            described += u32::from(is_described);
        }
    }
    assert!(described >= 19, "{described}");
    // Routes come from the handlers' descriptions alone, so there is none without one.
    let source = include_str!("../../src/api.rs");
    assert!(source.contains(".routes(routes!(") && !source.contains(".route("));

    let codes: Vec<String> = ProblemCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(
        document["components"]["schemas"]["ProblemCode"]["enum"],
        json!(codes)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_all_of_it_within_its_policy() {
    let hub = Hub::start().await;
    let document: Value = read(hub.get("/api/openapi.json").await).await;
    let answer = hub.get("/api/docs").await;
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    let page = answer.text().await.unwrap();
    assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("http://"));
    let style = page.split_once("<style>").unwrap().1;
    let style = style.split_once("</style>").unwrap().0;
    let digest = STANDARD.encode(Sha256::digest(style));
    assert!(
        policy.contains(&format!("style-src 'sha256-{digest}'")),
        "{policy}"
    );
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        let found = page.contains(&format!("id=\"{id}\"")) || page.contains(&format!("id={id}"));
        assert!(found, "{id}");
    }

    // A problem's type leads to its code on that page.
    let problem: Problem = hub.get("/api/v1/jobs/0").await.json().await.unwrap();
    let (address, anchor) = problem.type_uri.split_once('#').unwrap();
    assert_eq!(address, "/api/docs");
    assert!(page.contains(&format!("id=\"{anchor}\"")));
}

#[test]
fn the_list_of_problem_codes_is_complete() {
    let list = include_str!("../../../docs/problems.md");
    for code in ProblemCode::ALL {
        let row = format!("| `{}` | {} |", code.name(), code.status());
        assert!(list.contains(&row), "{row}");
    }
    let rows = list.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, ProblemCode::ALL.len());
}

/// RFC 6901: a reference within the document points at something in it.
#[tokio::test]
async fn every_reference_resolves() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(target) if name == "$ref" => found.push(target.to_owned()),
                        _ => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|i| references(i, found)),
            _ => {}
        }
    }
    let hub = Hub::start().await;
    let document: Value = read(hub.get("/api/openapi.json").await).await;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}
