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

/// The sources of a directive.
fn sources<'a>(policy: &'a str, directive: &str) -> Vec<&'a str> {
    let mut parts = policy.split(';').map(str::split_whitespace);
    let found = parts.find_map(|mut words| (words.next() == Some(directive)).then_some(words));
    found.map(Iterator::collect).unwrap_or_default()
}

/// A worker obeys the policy of its own script (<https://www.w3.org/TR/CSP3/#policy-applicability>), so every script has one.
#[tokio::test]
async fn what_may_become_a_worker_connects_where_pages_do() {
    const SCRIPTS: [&str; 7] = [
        "/client-0123456789abcdef.js",
        "/render-worker.js",
        "/cpu-worker.js",
        "/engine-0123456789abcdef.js",
        "/sw.js",
        "/lib/later.mjs",
        "/snippets/inline0.js",
    ];
    let models = crate::elsewhere::package(crate::elsewhere::ADDRESS, true);
    let folders = Folders::new();
    for script in SCRIPTS {
        let path = folders.site().join(&script[1..]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "plain").unwrap();
    }
    for other in ["onnx.html", "icon.svg", "engine-0123456789abcdef.wasm"] {
        std::fs::write(folders.site().join(other), "plain").unwrap();
    }
    let policy_of = |response: &reqwest::Response| {
        let all: Vec<_> = response
            .headers()
            .get_all("content-security-policy")
            .iter()
            .collect();
        assert_eq!(all.len(), 1, "{}: {all:?}", response.url());
        all[0].to_str().unwrap().to_owned()
    };
    let options = ["--models-dir", models.path().to_str().unwrap()];
    let hub = Hub::over(folders, &options).await;
    let page = policy_of(&hub.get("/").await);
    let allowed = sources(&page, "connect-src");
    assert!(allowed.contains(&"https://weights.example"), "{page}");
    for script in SCRIPTS {
        let response = hub.get(script).await;
        assert_eq!(response.status(), StatusCode::OK, "{script}");
        let policy = policy_of(&response);
        assert_eq!(sources(&policy, "connect-src"), allowed, "{script}");
        let run = sources(&policy, "script-src");
        assert_eq!(run, ["'self'", "'wasm-unsafe-eval'"], "{script}");
        assert_eq!(sources(&policy, "default-src"), ["'none'"], "{script}");
        assert!(!policy.contains('*') || page.contains('*'), "{policy}");
        // What a browser has already is bound by what it is told now.
        let modified = &response.headers()["last-modified"];
        let again = hub
            .http
            .get(format!("{}{script}", hub.url))
            .header("if-modified-since", modified);
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{script}");
        assert_eq!(policy_of(&again), policy, "{script}");
        let head = hub.send(Method::HEAD, script).await;
        assert_eq!(policy_of(&head), policy, "{script}");
    }
    // And whatever else this hub answers with has one too.
    for (path, expected) in [
        ("/onnx.html", "default-src 'self'"),
        ("/icon.svg", "default-src 'none'"),
        ("/robots.txt", "default-src 'none'"),
        ("/assets.json", "default-src 'none'"),
        ("/engine-0123456789abcdef.wasm", "default-src 'none'"),
        ("/no/such/page", "default-src 'self'"),
        ("/no/such/worker.js", "default-src 'self'"),
        ("/models/glyph/manifest.json", "default-src 'none'"),
        ("/api/v1/nothing", "default-src 'none'"),
        ("/api/docs", "default-src 'none'"),
        ("/healthz", "default-src 'none'"),
    ] {
        let policy = policy_of(&hub.get(path).await);
        assert!(policy.starts_with(expected), "{path}: {policy}");
        assert_eq!(sources(&policy, "frame-ancestors"), ["'none'"], "{path}");
    }
    let refused = policy_of(&hub.send(Method::DELETE, "/robots.txt").await);
    assert!(refused.starts_with("default-src 'none'"), "{refused}");
}

/// Scripts are kept for ever together with their policy, so another policy is another address.
#[tokio::test]
async fn a_worker_of_another_policy_has_another_address() {
    let worker = async |hub: &Hub| {
        let assets: serde_json::Value = hub.get("/assets.json").await.json().await.unwrap();
        let path = assets["worker_js"].as_str().unwrap().to_owned();
        let page = hub.get("/").await.text().await.unwrap();
        assert!(page.contains(&format!("content=\"{path}\"")), "{path}");
        path
    };
    let caching = async |hub: &Hub, path: &str| {
        let answer = hub.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.headers()["cache-control"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    let folders = Folders::new();
    let assets = folders.site().join("assets.json");
    let hashed = std::fs::read_to_string(&assets).unwrap();
    let hashed = hashed.replace("/render-worker.js", "/render-worker-0123456789abcdef.js");
    std::fs::write(assets, hashed).unwrap();
    std::fs::write(
        folders.site().join("render-worker-0123456789abcdef.js"),
        "plain",
    )
    .unwrap();
    let hub = Hub::over(folders, &[]).await;
    let alone = worker(&hub).await;
    assert!(caching(&hub, &alone).await.contains("immutable"));
    let folders = hub.stop().await;

    let models = crate::elsewhere::package(crate::elsewhere::ADDRESS, true);
    let options = ["--models-dir", models.path().to_str().unwrap()];
    let hub = Hub::over(folders, &options).await;
    let led_on = worker(&hub).await;
    assert_ne!(alone, led_on);
    assert!(caching(&hub, &led_on).await.contains("immutable"));
    // A page of before still starts its worker; nobody keeps what came with another policy than the address says.
    assert_eq!(caching(&hub, &alone).await, "no-store");
}
