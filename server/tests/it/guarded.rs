//! What every answer is guarded by: names, ids, addresses, headers, cookies, and methods, ranges and origins as the RFCs
//! have them.

use std::net::SocketAddr;

use protocol::ProblemCode;
use reqwest::{Method, Response, StatusCode};

use crate::hub::{Hub, OWNER, assert_problem, json, picture, upload_request};
use crate::serving::{address, exchange};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn with(hub: &Hub, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = hub.http.request(method, format!("{}{path}", hub.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// DNS rebinding: a page's own name resolves to this machine.
#[tokio::test]
async fn a_hub_on_a_laptop_answers_to_its_own_names_alone() {
    let hub = Hub::start().await;
    for path in [
        "/",
        "/api/v1/models",
        "/robots.txt",
        "/models/glyph/manifest.json",
        "/v1/nothing",
    ] {
        let refused = with(&hub, Method::GET, path, &[("host", "evil.example")]).await;
        assert!(refused.headers().contains_key("x-request-id"));
        let problem = assert_problem(refused, ProblemCode::MisdirectedRequest).await;
        assert!(problem.detail.contains("evil.example") && problem.hint.contains("DEMO_HUB_HOSTS"));
        for host in ["localhost:3000", "127.0.0.1", "[::1]:80"] {
            let taken = with(&hub, Method::GET, path, &[("host", host)]).await;
            assert_ne!(taken.status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
    }
    // Supervisors come by any name, and old ones by none.
    let probe = with(&hub, Method::GET, "/healthz", &[("host", "10.1.2.3:3000")]).await;
    assert_eq!(probe.status(), StatusCode::OK);
    let old = exchange(address(&hub), "GET /readyz HTTP/1.0\r\n\r\n").await;
    assert!(old.contains(" 200 "), "{old}");
    // The address in the first line counts, and two names are none.
    for (request, status) in [
        (
            "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            "421",
        ),
        (
            "GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nhost: user@localhost\r\nconnection: close\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.0\r\nhost: user@localhost\r\n\r\n", "421"),
    ] {
        let answer = exchange(address(&hub), request).await;
        let told = answer.split(' ').nth(1);
        assert_eq!(told, Some(status), "{request}{answer}");
    }
    hub.stop().await;

    let known = Hub::with(&["--public-url=https://hub.example", "--hosts=mirror.example"]).await;
    for (host, taken) in [
        ("hub.example", true),
        ("mirror.example:8443", true),
        ("app:3000", true),
        ("evil.example", false),
    ] {
        let answer = with(&known, Method::GET, "/api/v1/models", &[("host", host)]).await;
        assert_eq!(answer.status() == StatusCode::OK, taken, "{host}");
    }
}

#[tokio::test]
async fn ids_of_requests_are_taken_over_where_they_are_plain() {
    let hub = Hub::start().await;
    let long = "x".repeat(3_000);
    for (given, kept) in [
        ("from-the-proxy", true),
        (long.as_str(), false),
        ("a b", false),
        ("\"x\"", false),
    ] {
        let answer = with(&hub, Method::GET, "/healthz", &[("x-request-id", given)]).await;
        let id = header(&answer, "x-request-id");
        assert_eq!(id == given, kept, "{given:.40}");
        assert!((1..=128).contains(&id.len()), "{id:.40}");
    }
}

/// Two uploads an hour are allowed to a client, and four times as many to an address.
#[tokio::test]
async fn whatever_the_header_says_uploads_are_limited() {
    let all = [
        "--client-address-header=x-forwarded-for",
        "--uploads-per-hour=2",
    ];
    for told in [
        Some("203.0.113.9:4711"),
        Some("[2001:db8::7]:4711"),
        Some("unknown"),
        Some("_hidden"),
        Some(""),
        None,
    ] {
        let hub = Hub::with(&all).await;
        let stranger = hub.with_cookie(None);
        let mut accepted = 0;
        for variant in 0..40 {
            let mut request = stranger.request(Method::POST, "/api/v1/uploads");
            if let Some(told) = told {
                request = request.header("x-forwarded-for", told);
            }
            let mut upload = upload_request(b"x");
            upload.sha256 = format!("{variant:064x}");
            let answer = request.json(&upload).send().await.unwrap();
            accepted += u32::from(answer.status() == StatusCode::CREATED);
        }
        println!("{told:?}: {accepted} of 40 uploads");
        assert_eq!(accepted, 8, "{told:?}");
        hub.stop().await;
    }
}

#[tokio::test]
async fn answers_carry_what_browsers_heed() {
    let hub = Hub::with(&["--public-url=https://hub.example"]).await;
    let record = hub.save(picture(1)).await;
    let thumbnail = format!("/thumbnails/{}.webp", record.sha256);
    for (path, shared) in [
        ("/", false),
        ("/api/v1/models", false),
        ("/nothing", false),
        (thumbnail.as_str(), true),
        (&record.url, true),
    ] {
        let answer = hub.get(path).await;
        assert_eq!(
            header(&answer, "strict-transport-security"),
            "max-age=63072000",
            "{path}"
        );
        let from = if shared {
            "cross-origin"
        } else {
            "same-origin"
        };
        assert_eq!(
            header(&answer, "cross-origin-resource-policy"),
            from,
            "{path}"
        );
        assert_eq!(
            header(&answer, "cross-origin-opener-policy"),
            "same-origin",
            "{path}"
        );
        assert!(
            header(&answer, "permissions-policy").contains("camera=()"),
            "{path}"
        );
    }
    let plain = Hub::start().await;
    assert_eq!(
        header(&plain.get("/").await, "strict-transport-security"),
        ""
    );
}

#[tokio::test]
async fn an_owner_is_renewed_and_moves_to_the_safer_name() {
    let token = OWNER.split_once('=').unwrap().1;
    for (extra, name) in [
        (&[][..], "demo-hub-owner"),
        (
            &["--public-url=https://hub.example"][..],
            "__Host-demo-hub-owner",
        ),
    ] {
        let hub = Hub::with(extra).await;
        let record = hub.save(picture(2)).await;
        let visit = hub.get("/").await;
        let cookie = header(&visit, "set-cookie").to_owned();
        assert!(cookie.starts_with(&format!("{name}={token}.")), "{cookie}");
        assert!(
            cookie.contains("Max-Age=34560000") && cookie.contains("HttpOnly"),
            "{cookie}"
        );
        assert_eq!(cookie.contains("Secure"), !extra.is_empty(), "{cookie}");
        // The renewed one is fresh, and still the owner's.
        let pair = cookie.split(';').next().unwrap();
        let renewed = hub.with_cookie(Some(pair));
        let path = format!("/api/v1/images/{}", record.id);
        let answer = renewed.send(Method::GET, &path).await;
        assert_eq!(header(&answer, "set-cookie"), "");
        let gone = renewed.send(Method::DELETE, &path).await;
        assert_eq!(gone.status(), StatusCode::NO_CONTENT);
        // What caches may share sets none.
        let asset = hub.get("/client-0123456789abcdef.js").await;
        assert_eq!(header(&asset, "set-cookie"), "");
        let nobody = hub.with_cookie(None).send(Method::GET, "/").await;
        assert_eq!(header(&nobody, "set-cookie"), "");
    }
}

#[tokio::test]
async fn pages_come_compressed_and_events_do_not() {
    let hub = Hub::start().await;
    let plain = hub.get("/").await.bytes().await.unwrap().len();
    for (accepted, encoding) in [("br", "br"), ("gzip", "gzip"), ("gzip, br", "br")] {
        let answer = with(&hub, Method::GET, "/", &[("accept-encoding", accepted)]).await;
        assert_eq!(header(&answer, "content-encoding"), encoding);
        assert!(header(&answer, "vary").contains("accept-encoding"));
        let sent = answer.bytes().await.unwrap().len();
        assert!(sent * 2 < plain, "{sent} of {plain}");
    }
    let job = hub.submit(&crate::hub::request("red apple", 1)).await;
    for path in [
        format!("/api/v1/jobs/{}/events", job.id),
        "/api/v1/models".into(),
    ] {
        let answer = with(&hub, Method::GET, &path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(header(&answer, "content-encoding"), "", "{path}");
    }
}

/// Link previews, download managers and ffmpeg ask by HEAD first and follow redirects.
#[tokio::test]
async fn head_says_of_every_file_what_get_would() {
    let hub = Hub::start().await;
    let record = hub.save(picture(3)).await;
    let following = reqwest::Client::new();
    let thumbnail = format!("/thumbnails/{}.webp", record.sha256);
    let saved = format!("{}?download=apple.png", record.url);
    let files = [
        record.url.as_str(),
        &saved,
        &thumbnail,
        "/models/glyph/manifest.json",
        "/models/glyph/denoiser.onnx",
        "/robots.txt",
        "/client-0123456789abcdef.js",
        "/api/v1/models",
        &format!("/api/v1/images/{}", record.id),
        "/api/v1/images",
    ];
    for path in files {
        let url = format!("{}{path}", hub.url);
        let head = following.head(&url).send().await.unwrap();
        let get = following.get(&url).send().await.unwrap();
        assert_eq!(
            (head.status(), get.status()),
            (StatusCode::OK, StatusCode::OK),
            "{path}"
        );
        for name in [
            "content-type",
            "content-length",
            "etag",
            "last-modified",
            "accept-ranges",
            "cache-control",
        ] {
            let said = if name == "accept-ranges" && header(&get, name).is_empty() {
                ""
            } else {
                header(&head, name)
            };
            assert_eq!(said, header(&get, name), "{path}: {name}");
        }
        assert!(head.bytes().await.unwrap().is_empty());
    }
    let none = format!("/images/{}.png", "0".repeat(64));
    for path in [
        none.as_str(),
        "/images/x.png",
        "/models/glyph/nothing",
        "/api/v1/jobs/0",
        "/api/v1/images/0",
    ] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(
                hub.send(method, path).await.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
    // An export is not made for a question.
    for _ in 0..3 {
        let head = hub.send(Method::HEAD, "/api/v1/images/export").await;
        assert_eq!(
            (head.status(), header(&head, "content-type")),
            (StatusCode::OK, "application/zip")
        );
    }
    assert_eq!(
        hub.get("/api/v1/images/export").await.status(),
        StatusCode::OK
    );
}

/// RFC 9110, 13 and 14, on every kind of file.
#[tokio::test]
async fn files_come_in_ranges_and_under_conditions() {
    let hub = Hub::start().await;
    let record = hub.save(picture(4)).await;
    let thumbnail = format!("/thumbnails/{}.webp", record.sha256);
    for path in [
        thumbnail.as_str(),
        "/models/glyph/manifest.json",
        "/robots.txt",
    ] {
        let whole = hub.get(path).await;
        let (tag, date) = (
            header(&whole, "etag").to_owned(),
            header(&whole, "last-modified").to_owned(),
        );
        let bytes = whole.bytes().await.unwrap();
        let (length, end) = (bytes.len(), bytes.len() - 1);
        let known = if tag.is_empty() {
            ("if-modified-since", date.as_str())
        } else {
            ("if-none-match", tag.as_str())
        };
        let validator = if tag.is_empty() {
            date.as_str()
        } else {
            tag.as_str()
        };
        let part = |first: usize, last: usize| (206, bytes[first..=last].to_vec());
        let all = || (200, bytes.to_vec());
        for (headers, (status, content)) in [
            (vec![("range", "bytes=0-7")], part(0, 7)),
            (vec![("range", "bytes=5-")], part(5, end)),
            (vec![("range", "bytes=-3")], part(length - 3, end)),
            (vec![("range", "bytes=2-99999999")], part(2, end)),
            (vec![("range", "bytes=99999999-")], (416, vec![])),
            (vec![("range", "bytes=-0")], (416, vec![])),
            (vec![("range", "bytes=7-2")], all()),
            (vec![("range", "bytes=0-1,4-5")], all()),
            (vec![("range", "lines=0-1")], all()),
            (
                vec![("range", "bytes=0-7"), ("if-range", validator)],
                part(0, 7),
            ),
            (vec![("range", "bytes=0-7"), ("if-range", "\"x\"")], all()),
            (
                vec![
                    ("range", "bytes=0-7"),
                    ("if-range", "Thu, 01 Jan 1970 00:00:00 GMT"),
                ],
                all(),
            ),
            (vec![known], (304, vec![])),
            (vec![known, ("range", "bytes=0-7")], (304, vec![])),
            (vec![("if-none-match", "*")], (304, vec![])),
            (
                vec![
                    ("if-none-match", "\"x\""),
                    ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"),
                ],
                all(),
            ),
            (vec![("if-match", "\"x\"")], (412, vec![])),
            (vec![("if-match", "*"), ("range", "bytes=1-1")], part(1, 1)),
        ] {
            let answer = with(&hub, Method::GET, path, &headers).await;
            assert_eq!(answer.status(), status, "{path} {headers:?}");
            let range = header(&answer, "content-range").to_owned();
            match status {
                206 => assert!(range.ends_with(&format!("/{length}")), "{path} {range}"),
                416 => assert_eq!(range, format!("bytes */{length}"), "{path}"),
                _ => assert_eq!(range, "", "{path} {headers:?}"),
            }
            if status == 304 {
                assert_eq!(header(&answer, "etag"), tag, "{path}");
            }
            assert_eq!(answer.bytes().await.unwrap(), content, "{path} {headers:?}");
        }
        let head = with(&hub, Method::HEAD, path, &[("range", "bytes=0-7")]).await;
        assert_eq!(
            (head.status(), header(&head, "content-length")),
            (StatusCode::OK, length.to_string().as_str())
        );
    }
    // A picture's bytes are the store's; what the hub says of them holds there too.
    let head = hub.send(Method::HEAD, &record.url).await;
    let tag = header(&head, "etag").to_owned();
    let fresh = with(&hub, Method::GET, &record.url, &[("if-none-match", &tag)]).await;
    assert_eq!(fresh.status(), StatusCode::NOT_MODIFIED);
    let following = reqwest::Client::new();
    let part = following
        .get(format!("{}{}", hub.url, record.url))
        .header("range", "bytes=0-7")
        .header("if-match", &tag);
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(&part.bytes().await.unwrap()[..], b"\x89PNG\r\n\x1a\n");
}

#[tokio::test]
async fn every_refused_method_is_told_which_are_taken() {
    let hub = Hub::start().await;
    for (path, allowed) in [
        ("/", "GET"),
        ("/gallery", "GET"),
        ("/robots.txt", "GET"),
        ("/models/glyph/manifest.json", "GET"),
        ("/api/v1/models", "GET"),
        ("/api/v1/jobs", "POST"),
        ("/api/v1/jobs/0", "DELETE"),
        ("/api/v1/images/0", "PATCH"),
        ("/images/0.png", "GET"),
        ("/thumbnails/0.webp", "GET"),
        ("/v1/images/generations", "POST"),
        ("/healthz", "GET"),
    ] {
        for method in [Method::PUT, Method::TRACE] {
            let refused = hub.send(method.clone(), path).await;
            let allow = header(&refused, "allow").to_owned();
            assert!(
                allow.split(',').any(|m| m.trim() == allowed),
                "{method} {path}: {allow:?}"
            );
            assert_eq!(
                refused.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_problem(refused, ProblemCode::MethodNotAllowed).await;
        }
        let asked = hub.send(Method::OPTIONS, path).await;
        assert_eq!(asked.status(), StatusCode::NO_CONTENT, "{path}");
        assert!(header(&asked, "allow").contains(allowed), "{path}");
    }
}

/// As api.openai.com answers browsers; the header names are those that its clients for JavaScript send.
#[tokio::test]
async fn pages_of_any_origin_may_use_the_images_api() {
    let wanted = "authorization, content-type, openai-organization, openai-project, x-stainless-lang, \
                  x-stainless-retry-count, idempotency-key";
    let preflight = |method: &'static str| {
        [
            ("origin", "https://app.example"),
            ("access-control-request-method", method),
            ("access-control-request-headers", wanted),
        ]
    };
    let hub = Hub::start().await;
    let asked = with(
        &hub,
        Method::OPTIONS,
        "/v1/images/generations",
        &preflight("POST"),
    )
    .await;
    assert_eq!(asked.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&asked, "access-control-allow-origin"), "*");
    assert!(header(&asked, "access-control-allow-methods").contains("POST"));
    assert_eq!(header(&asked, "access-control-allow-headers"), wanted);
    assert_eq!(header(&asked, "access-control-allow-credentials"), "");
    assert!(
        header(&asked, "access-control-max-age")
            .parse::<u32>()
            .unwrap()
            > 0
    );
    for body in [
        "{\"prompt\": \"\"}",
        "{",
        "{\"prompt\": \"red apple\", \"response_format\": \"url\"}",
    ] {
        let request = hub.http.post(format!("{}/v1/images/generations", hub.url));
        let request = request
            .header("origin", "https://app.example")
            .header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(
            header(&answer, "access-control-allow-origin"),
            "*",
            "{body}"
        );
        assert!(header(&answer, "access-control-expose-headers").contains("x-request-id"));
    }
    // What is public may be read; what acts for an owner may not be touched.
    for (path, method, open) in [
        ("/api/v1/models", "GET", true),
        ("/api/v1/images", "GET", true),
        ("/api/v1/jobs", "POST", false),
        ("/api/v1/uploads", "POST", false),
        ("/api/v1/images/export", "GET", false),
    ] {
        let asked = with(&hub, Method::OPTIONS, path, &preflight(method)).await;
        assert_eq!(asked.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(
            header(&asked, "access-control-allow-origin") == "*",
            open,
            "{path}"
        );
        assert!(
            !header(&asked, "access-control-allow-methods").contains("DELETE"),
            "{path}"
        );
        assert_eq!(
            header(&asked, "access-control-allow-credentials"),
            "",
            "{path}"
        );
    }
    hub.stop().await;

    let few = Hub::with(&["--api-origins=https://app.example"]).await;
    for (origin, allowed) in [
        ("https://app.example", "https://app.example"),
        ("https://evil.example", ""),
    ] {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        let asked = with(&few, Method::OPTIONS, "/v1/images/generations", &headers).await;
        assert_eq!(header(&asked, "access-control-allow-origin"), allowed);
        assert!(header(&asked, "vary").contains("origin"));
    }
}

/// One export of an owner at a time, whether or not the client reads it.
#[tokio::test]
async fn an_owner_exports_once_at_a_time() {
    let hub = Hub::start().await;
    hub.save(picture(5)).await;
    let to: SocketAddr = address(&hub);
    let held = hub.get("/api/v1/images/export").await;
    // A small archive may be over before the next one is asked for; what counts is that none is lost or stuck.
    let second = hub.get("/api/v1/images/export").await;
    if second.status() == StatusCode::TOO_MANY_REQUESTS {
        assert!(second.headers().contains_key("retry-after"));
        assert_problem(second, ProblemCode::RateLimited).await;
    }
    drop(held);
    let mut left = 100;
    while hub.get("/api/v1/images/export").await.status() != StatusCode::OK {
        left -= 1;
        assert!(left > 0, "{to}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let _: serde_json::Value = json(hub.get("/api/v1/models").await).await;
}
