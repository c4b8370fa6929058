//! What happens where an endpoint is away, slow, failing or lying.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diffusion::Cancel;
use protocol::ProblemCode;
use serde_json::{Value, json};
use server::render::hosted::{Endpoint, EndpointErrorKind as Kind, config};

use super::stand_in::{Act, StandIn};
use super::{KEY, endpoint, fox, kind, render, render_until, toml};

fn good() -> Act {
    Act::json(
        200,
        &json!({"data": [{"b64_json": STANDARD.encode(fox().0)}]}),
    )
}

fn openai(stand_in: &StandIn, extra: &str) -> Arc<Endpoint> {
    endpoint(&toml("openai-images", &stand_in.url, extra, ""))
}

fn openai_error(message: &str) -> Value {
    json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_is_asked_again_when_it_says() {
    let busy = Act::json(429, &openai_error("slow down")).header("retry-after", "1");
    let stand_in = StandIn::start([busy, good()]).await;
    let started = Instant::now();
    render(&openai(&stand_in, "")).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(stand_in.seen().len(), 2);

    let loading = json!({"error": "Model painter-v2 is currently loading", "estimated_time": 1.0});
    let stand_in = StandIn::start([
        Act::json(503, &loading),
        Act::say(200, "image/png", fox().0),
    ])
    .await;
    let started = Instant::now();
    let hosted = endpoint(&toml("huggingface", &stand_in.url, "", ""));
    render(&hosted).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));

    let stand_in = StandIn::start([Act::json(503, &openai_error("later"))]).await;
    let failed = render(&openai(&stand_in, "attempts = 2"))
        .await
        .unwrap_err();
    assert!(failed.is_transient());
    assert_eq!(failed.problem().code, ProblemCode::EndpointUnavailable);
    assert_eq!(stand_in.seen().len(), 2);

    // Waiting longer than the whole time-out is pointless.
    let busy = Act::json(429, &openai_error("tomorrow")).header("retry-after", "86400");
    let stand_in = StandIn::start([busy]).await;
    let problem = render(&openai(&stand_in, "")).await.unwrap_err().problem();
    assert_eq!(problem.retry_after, Some(86_400));
    assert_eq!(stand_in.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_is_tried_again_by_the_queue() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let away = endpoint(&toml("openai-images", &url, "attempts = 2", ""));
    assert_eq!(kind(render(&away).await), (Kind::Unreachable, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_worked_on_is_not_sent_twice() {
    let error = Act::json(500, &openai_error("oops"));
    let late = good().after(Duration::from_secs(30));
    let cut_off = good().cut_off();
    for (act, expected) in [
        (error.clone(), Kind::Failed { status: 500 }),
        (late, Kind::TimedOut),
        (cut_off.clone(), Kind::BrokenOff),
    ] {
        let stand_in = StandIn::start([act, good()]).await;
        let failed = render(&openai(&stand_in, "timeout_seconds = 2")).await;
        assert_eq!(kind(failed), (expected, false));
        assert_eq!(stand_in.seen().len(), 1);
    }
    for act in [error, cut_off] {
        let stand_in = StandIn::start([act, good()]).await;
        render(&openai(&stand_in, "idempotent = true"))
            .await
            .unwrap();
        assert_eq!(stand_in.seen().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_are_found_out() {
    let image = |bytes: &[u8]| json!({"data": [{"b64_json": STANDARD.encode(bytes)}]});
    let html = b"<!doctype html><h1>Login</h1>".to_vec();
    let large = crate::hub::png_of(32, 8, 3);
    let half = &fox().0[..fox().0.len() / 2];
    let elsewhere = json!({"data": [{"url": "http://169.254.169.254/latest/meta-data"}]});
    let cases = [
        (
            "openai-images",
            Act::json(200, &image(&html)),
            "neither PNG",
        ),
        ("openai-images", Act::json(200, &image(&large)), "32x8"),
        ("openai-images", Act::json(200, &image(half)), "decoded"),
        (
            "openai-images",
            Act::json(200, &json!({"data": [{"b64_json": "@@@"}]})),
            "base64",
        ),
        (
            "openai-images",
            Act::json(200, &json!({"data": []})),
            "no image",
        ),
        (
            "openai-images",
            Act::json(200, &json!({"data": [{}]})),
            "neither",
        ),
        (
            "openai-images",
            Act::say(200, "application/json", html.clone()),
            "images response",
        ),
        ("openai-images", Act::json(200, &elsewhere), "image_origins"),
        (
            "openai-images",
            Act::say(302, "text/html", "").header("location", "/login"),
            "302",
        ),
        (
            "openai-images",
            Act::say(200, "application/json", vec![b' '; 65_536]).endless(),
            "bytes",
        ),
        (
            "openai-images",
            Act::say(200, "application/json", vec![b' '; 200_000]),
            "bytes",
        ),
        (
            "huggingface",
            Act::say(200, "image/png", html.clone()),
            "neither PNG",
        ),
        ("huggingface", Act::say(200, "image/png", half), "decoded"),
        ("huggingface", Act::say(200, "text/html", html), "text/html"),
    ];
    for (protocol, act, word) in cases {
        let stand_in = StandIn::start([act]).await;
        let config = toml(protocol, &stand_in.url, "max_response_bytes = 100000", "");
        let failed = render(&endpoint(&config)).await.unwrap_err();
        assert!(failed.to_string().contains(word), "{failed} / {word}");
        assert!(!failed.is_transient(), "{failed}");
        assert_eq!(failed.problem().code, ProblemCode::GenerationFailed);
        assert_eq!(stand_in.seen().len(), 1, "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_passed_on_without_the_key() {
    let message = format!(
        "Your prompt was rejected ({KEY}).\nSee the policy. {}",
        "x".repeat(900)
    );
    for (protocol, body) in [
        ("openai-images", openai_error(&message)),
        ("huggingface", json!({"error": [message]})),
        ("open-inference", json!({"error": message})),
    ] {
        let stand_in = StandIn::start([Act::json(400, &body)]).await;
        let failed = render(&endpoint(&toml(protocol, &stand_in.url, "", ""))).await;
        let problem = failed.as_ref().unwrap_err().problem();
        assert_eq!(problem.code, ProblemCode::RequestRefused);
        assert!(
            problem.detail.contains("prompt was rejected (…). See"),
            "{problem}"
        );
        assert!(problem.detail.chars().count() < 300);
        assert!(!format!("{failed:?}").contains(KEY));
        assert_eq!(stand_in.seen().len(), 1);
    }
    let body = openai_error(&format!("Incorrect API key provided: {KEY}"));
    let stand_in = StandIn::start([Act::json(401, &body)]).await;
    let failed = render(&openai(&stand_in, "")).await;
    let problem = failed.as_ref().unwrap_err().problem();
    assert!(!format!("{failed:?} {problem:?}").contains(KEY));
    assert_eq!(kind(failed), (Kind::Credentials { status: 401 }, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_keeps_failing_is_left_alone_and_then_probed() {
    let broken = Act::json(500, &openai_error("oops"));
    let stand_in = StandIn::start([broken.clone(), broken.clone(), broken, good()]).await;
    let hosted = openai(&stand_in, "breaker_failures = 2\nbreaker_seconds = 1");
    for _ in 0..2 {
        assert_eq!(kind(render(&hosted).await).0, Kind::Failed { status: 500 });
    }
    let (left_alone, transient) = kind(render(&hosted).await);
    assert!(matches!(left_alone, Kind::LeftAlone { .. }) && transient);
    assert_eq!(stand_in.seen().len(), 2);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The probe fails, so the endpoint is left alone again, twice as long.
    assert_eq!(kind(render(&hosted).await).0, Kind::Failed { status: 500 });
    assert!(matches!(
        kind(render(&hosted).await).0,
        Kind::LeftAlone { .. }
    ));
    assert_eq!(stand_in.seen().len(), 3);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    render(&hosted).await.unwrap();
    render(&hosted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_in_flight_than_allowed() {
    let stand_in = StandIn::start([good().after(Duration::from_millis(50))]).await;
    let hosted = openai(&stand_in, "max_in_flight = 2");
    let all = futures::future::join_all((0..8).map(|_| render(&hosted))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(stand_in.seen().len(), 8);
    assert!(stand_in.peak() <= 2, "{}", stand_in.peak());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_does_not_wait_for_the_endpoint() {
    let stand_in = StandIn::start([good().after(Duration::from_secs(3600))]).await;
    let hosted = openai(&stand_in, "");
    let cancel = Cancel::default();
    let running = tokio::spawn({
        let (hosted, cancel) = (Arc::clone(&hosted), cancel.clone());
        async move { render_until(&hosted, cancel).await }
    });
    while stand_in.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(60), running).await;
    let error = ended.unwrap().unwrap().unwrap_err();
    assert!(error.is_cancelled() && !error.is_transient());
}

#[test]
fn wrong_lists_of_endpoints_are_named() {
    let good = toml("openai-images", "https://api.example/v1", "", "");
    assert_eq!(config::read(&good).unwrap().len(), 1);
    let twice = format!("{good}{good}");
    for (list, word) in [
        (good.replace("openai-images", "soap"), "soap"),
        (good.replace("https://", "ftp://"), "http(s)"),
        (good.replace("https://", "https://me:secret@"), "secret"),
        (good.replace("width = 16", "width = 0"), "width"),
        (good.replace("default = 30", "default = 300"), "steps"),
        (good.replace("id = \"acme/", "id = \"acme"), "owner/name"),
        (
            good.replace("name = \"acme\"", "name = \"acme\"\ncolour = 1"),
            "colour",
        ),
        (
            good.replace("name = \"acme\"", "name = \"acme\"\ntimeout_seconds = 900"),
            "timeout_seconds",
        ),
        (
            good.replace("name = \"acme\"", "name = \"acme\"\nmax_in_flight = 0"),
            "max_in_flight",
        ),
        (twice, "two endpoints"),
        ("/no/such/file.toml".to_owned(), "/no/such/file.toml"),
    ] {
        let error = format!("{:#}", config::read(&list).unwrap_err());
        assert!(error.contains(word), "{error}");
        assert!(!error.contains("me:secret"), "{error}");
    }
    let keyed = good.replace(
        "name = \"acme\"",
        "name = \"acme\"\napi_key_env = \"NO_SUCH_KEY\"",
    );
    let config = config::read(&keyed).unwrap().remove(0);
    let error = format!("{:#}", Endpoint::new(config).err().unwrap());
    assert!(error.contains("NO_SUCH_KEY"), "{error}");
}
