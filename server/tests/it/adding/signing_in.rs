//! Who may add models, and from where.

use super::*;

/// The hub's own page, as a browser names it.
fn own(hub: &Hub) -> String {
    hub.url.clone()
}

/// Sends a form as a browser does that is on the hub's page.
pub async fn form(
    hub: &Hub,
    path: &str,
    fields: &[(&str, &str)],
    cookie: Option<&str>,
) -> Response {
    from(hub, path, fields, cookie, &own(hub)).await
}

async fn from(
    hub: &Hub,
    path: &str,
    fields: &[(&str, &str)],
    cookie: Option<&str>,
    origin: &str,
) -> Response {
    let posted = hub.with_cookie(cookie).request(Method::POST, path);
    posted
        .header("origin", origin)
        .form(fields)
        .send()
        .await
        .unwrap()
}

/// The cookie of a new session.
pub async fn session(hub: &Hub) -> String {
    let answer = form(hub, "/operator/sign-in", &[("token", ADMIN)], None).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "/models/add");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(ADMIN));
    cookie.split(';').next().unwrap().to_owned()
}

async fn location(answer: Response) -> String {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_without_a_token_has_no_operator() {
    let hub = Hub::start().await;
    for (method, path) in [
        (Method::GET, "/api/v1/operator/look?id=a/b"),
        (Method::GET, ADDITIONS),
        (Method::POST, ADDITIONS),
        (Method::GET, "/api/v1/operator/additions/events"),
        (
            Method::DELETE,
            "/api/v1/operator/additions/1767225600000-abcdef01",
        ),
        (Method::DELETE, "/api/v1/operator/models/demo-hub/glyph"),
    ] {
        let asked = hub.with_cookie(None).request(method, path).bearer_auth("");
        assert_problem(asked.send().await.unwrap(), ProblemCode::NotFound).await;
    }
    assert_eq!(hub.get("/models/add").await.status(), StatusCode::NOT_FOUND);
    let posted = form(&hub, "/operator/sign-in", &[("token", "")], None).await;
    assert!(!posted.status().is_success() && !posted.status().is_redirection());
    let folders = Folders::new();
    let short = folders.config(&["--admin-token", "short"]);
    let error = server::start(short).await.err().unwrap();
    assert!(format!("{error:#}").contains("16 characters"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_for_the_pages_of_the_hub_alone() {
    let hub = Hub::with(&["--admin-token", ADMIN]).await;
    let page = hub.get("/models/add").await.text().await.unwrap();
    assert!(page.contains("/operator/sign-in") && !page.contains(ADMIN));
    for path in [ADDITIONS, "/api/v1/operator/additions/events"] {
        let refused = hub.get(path).await;
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        assert_problem(refused, ProblemCode::NotSignedIn).await;
    }
    // The token is asked for by the hub's own page.
    let fields = [("token", ADMIN), ("id", "a/b")];
    let elsewhere = from(
        &hub,
        "/operator/sign-in",
        &fields,
        None,
        "https://evil.example",
    )
    .await;
    assert!(elsewhere.headers().get("set-cookie").is_none());
    assert_eq!(
        location(elsewhere).await,
        "/models/add?id=a%2Fb&problem=foreign_origin"
    );

    let cookie = session(&hub).await;
    let signed_in = hub.with_cookie(Some(&cookie));
    let page = signed_in.send(Method::GET, "/models/add").await;
    assert_eq!(page.headers()["cache-control"], "no-store");
    let page = page.text().await.unwrap();
    assert!(page.contains("Sign out") && !page.contains(ADMIN));
    let models = signed_in.send(Method::GET, "/models").await;
    assert!(
        models
            .text()
            .await
            .unwrap()
            .contains("href=\"/models/add\"")
    );
    let nobody = hub.get("/models").await.text().await.unwrap();
    assert!(!nobody.contains("/models/add"));
    assert_eq!(
        signed_in.send(Method::GET, ADDITIONS).await.status(),
        StatusCode::OK
    );

    // What changes something is not taken of other pages, nor of who does not say where it comes from.
    let request = json!({"id": "a/b"});
    for headers in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-site"), ("origin", &*hub.url)],
    ] {
        let mut posted = signed_in.request(Method::POST, ADDITIONS).json(&request);
        for (name, value) in headers {
            posted = posted.header(*name, *value);
        }
        assert_problem(posted.send().await.unwrap(), ProblemCode::ForeignOrigin).await;
    }
    for path in [
        "/operator/additions",
        "/operator/remove",
        "/operator/sign-out",
    ] {
        let answer = from(
            &hub,
            path,
            &[("id", "demo-hub/glyph")],
            Some(&cookie),
            "https://evil.example",
        )
        .await;
        assert_problem(answer, ProblemCode::ForeignOrigin).await;
        let answer = form(&hub, path, &[("id", "demo-hub/glyph")], None).await;
        assert_problem(answer, ProblemCode::NotSignedIn).await;
    }
    let kind = signed_in.request(Method::POST, "/operator/additions");
    let kind = kind.header("sec-fetch-site", "same-origin").body("id=a");
    assert_problem(kind.send().await.unwrap(), ProblemCode::UnsupportedType).await;
    let wrong = form(
        &hub,
        "/operator/additions",
        &[("id", "nothing")],
        Some(&cookie),
    )
    .await;
    assert_eq!(
        location(wrong).await,
        "/models/add?id=nothing&problem=out_of_range"
    );
    let out = form(&hub, "/operator/sign-out", &[], Some(&cookie)).await;
    assert!(
        out.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_stopped_and_who_is_in_stays_in() {
    let options = [
        "--admin-token",
        ADMIN,
        "--client-address-header",
        "x-forwarded-for",
    ];
    let hub = Hub::with(&options).await;
    let cookie = session(&hub).await;
    let guess = async |token: &str, address: &str| {
        let asked = hub.with_cookie(None).request(Method::GET, ADDITIONS);
        let asked = asked.bearer_auth(token).header("x-forwarded-for", address);
        asked.send().await.unwrap()
    };
    for number in 0..10 {
        let wrong = guess(&format!("guess number {number} of many"), "192.0.2.7").await;
        assert_problem(wrong, ProblemCode::NotSignedIn).await;
    }
    // Now a right one is not listened to, either.
    let problem = assert_problem(guess(ADMIN, "192.0.2.7").await, ProblemCode::RateLimited).await;
    assert!(problem.retry_after.unwrap() > 0);
    assert_eq!(problem.limit.unwrap().name(), "wrong_tokens_of_address");
    assert_eq!(guess(ADMIN, "192.0.2.8").await.status(), StatusCode::OK);
    let signed_in = hub
        .with_cookie(Some(&cookie))
        .request(Method::GET, ADDITIONS);
    let signed_in = signed_in.header("x-forwarded-for", "192.0.2.7");
    assert_eq!(signed_in.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_https_the_cookie_is_this_hosts_alone_and_api_keys_stay_apart() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        keys.path(),
        format!("[[key]]\nname = \"ci\"\nsha256 = \"{}\"\n", "ab".repeat(32)),
    )
    .unwrap();
    let keys = keys.path().to_str().unwrap();
    let options = [
        "--admin-token",
        ADMIN,
        "--public-url",
        "https://hub.example",
        "--api-keys",
        keys,
    ];
    let hub = Hub::with(&options).await;
    let fields = [("token", ADMIN)];
    let answer = from(
        &hub,
        "/operator/sign-in",
        &fields,
        None,
        "https://hub.example",
    )
    .await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-demo-hub-operator=") && cookie.contains("Secure"),
        "{cookie}"
    );
    let operator = Operator::of(&hub.url);
    assert!(operator.list().await.is_empty());
}
