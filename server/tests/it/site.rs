//! Pages, client files and packages.

use reqwest::{Method, StatusCode};
use server::images::verify::sha256_hex;

use crate::hub::{Folders, Hub, assert_problem, picture};

#[tokio::test]
async fn pages_are_rendered_with_their_policy() {
    let hub = Hub::start().await;
    let record = hub.save(picture(1)).await;
    for path in ["/", "/gallery", &record.permalink] {
        let response = hub.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains(hub.storage_origin()), "{policy}");
        assert!(policy.contains("'nonce-"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(
            headers["referrer-policy"],
            "strict-origin-when-cross-origin"
        );
        assert!(headers.contains_key("x-request-id"));
        let html = response.text().await.unwrap();
        assert!(html.contains("/client-0123456789abcdef.js"), "{path}");
    }
    let html = hub.get(&record.permalink).await.text().await.unwrap();
    assert!(
        html.contains(&record.url),
        "the permalink page shows the picture"
    );
    let unknown = hub.get("/no/such/page").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert!(
        unknown.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
}

#[tokio::test]
async fn client_files_are_compressed_and_cached() {
    let hub = Hub::start().await;
    let url = format!("{}/client-0123456789abcdef.js", hub.url);
    let response = hub
        .http
        .get(&url)
        .header("accept-encoding", "br")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-encoding"], "br");
    assert!(
        response.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    assert_eq!(response.text().await.unwrap(), "brotli");
    let response = hub.http.get(&url).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "plain");
    let response = hub.get("/robots.txt").await;
    assert_eq!(response.headers()["cache-control"], "no-cache");
    for path in [
        "/../assets.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
    ] {
        assert_ne!(
            hub.get(path).await.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{path}"
        );
    }
}

#[tokio::test]
async fn packages_are_served_in_ranges_with_their_digest() {
    let hub = Hub::start().await;
    let models: serde_json::Value = hub.get("/api/v1/models").await.json().await.unwrap();
    let manifest_url = models[0]["package_url"].as_str().unwrap().to_owned();
    let manifest = hub.get(&manifest_url).await;
    assert_eq!(manifest.headers()["content-type"], "application/json");
    let etag = manifest.headers()["etag"].to_str().unwrap().to_owned();
    let bytes = manifest.bytes().await.unwrap();
    assert_eq!(etag, format!("\"{}\"", sha256_hex(&bytes)));
    assert_eq!(models[0]["weights_digest"], sha256_hex(&bytes));

    let url = format!("{}{manifest_url}", hub.url);
    let fresh = hub
        .http
        .get(&url)
        .header("if-none-match", &etag)
        .send()
        .await
        .unwrap();
    assert_eq!(fresh.status(), StatusCode::NOT_MODIFIED);
    let part = hub
        .http
        .get(&url)
        .header("range", "bytes=5-14")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), bytes[5..15]);
    let beyond = hub
        .http
        .get(&url)
        .header("range", "bytes=99999999-")
        .send()
        .await
        .unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);

    let denoiser = hub.send(Method::HEAD, "/models/glyph/denoiser.onnx").await;
    assert_eq!(denoiser.status(), StatusCode::OK);
    assert_eq!(denoiser.headers()["accept-ranges"], "bytes");
}

#[tokio::test]
async fn only_files_of_the_manifest_are_served() {
    let hub = Hub::start().await;
    for path in [
        "/models/glyph/README.md",
        "/models/glyph/nothing",
        "/models/glyph/..%2fglyph%2fmanifest.json",
    ] {
        assert_problem(hub.get(path).await, protocol::ProblemCode::NotFound).await;
    }
    for path in [
        "/models/..%2f..%2fserver/Cargo.toml",
        "/models/nobody/manifest.json",
    ] {
        assert_eq!(hub.get(path).await.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn without_the_built_client_the_server_says_what_to_do() {
    let folders = Folders::new();
    let mut config = folders.config(&[]);
    config.site_dir = folders.data.path().to_owned();
    let error = server::start(config).await.err().unwrap();
    assert!(
        format!("{error:#}").contains("cargo xtask build"),
        "{error:#}"
    );
}
