//! What one client may have, and what it may not see of others.

use std::time::Duration;

use protocol::{JobCreated, LimitName, Problem, ProblemCode};
use reqwest::header::{AUTHORIZATION, COOKIE, SET_COOKIE, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use server::config::KeysCommand;
use server::images::new_owner;

use crate::hub::{Hub, assert_problem, json as read};
use crate::renderers;
use crate::renderers::stand_in::{Act, StandIn};

/// A hub whose model is an endpoint that never answers, so that jobs stay where they are.
async fn hub(endpoint: &str, options: &[&str]) -> (Hub, StandIn) {
    let never = Act::json(200, &json!({})).after(Duration::from_secs(3_600));
    let stand_in = StandIn::start([never]).await;
    let list = renderers::toml("openai-images", &stand_in.url, endpoint, "");
    let mut all = vec!["--endpoints", &list];
    all.extend(options);
    (Hub::with(&all).await, stand_in)
}

fn body(prompt: &str) -> Value {
    json!({"model": renderers::MODEL, "prompt": prompt})
}

/// A client with a cookie jar of its own.
#[derive(Default)]
struct Person {
    http: Client,
    cookie: Option<String>,
    key: Option<String>,
}

impl Person {
    /// One that holds a cookie already.
    fn known() -> Self {
        let (_, cookie) = new_owner(false).unwrap();
        Self {
            cookie: cookie.split(';').next().map(str::to_owned),
            ..Self::default()
        }
    }

    async fn send(&mut self, request: RequestBuilder) -> Response {
        let mut request = request;
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let answer = request.send().await.unwrap();
        if let Some(cookie) = answer.headers().get(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer
    }

    async fn post(&mut self, hub: &Hub, path: &str, key: Option<&str>, body: &Value) -> Response {
        let mut request = self.http.post(format!("{}{path}", hub.url)).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request).await
    }

    async fn job(&mut self, hub: &Hub, query: &str, key: &str, prompt: &str) -> JobCreated {
        let path = format!("/api/v1/jobs{query}");
        let answer = self.post(hub, &path, Some(key), &body(prompt)).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        read(answer).await
    }

    async fn ask(&mut self, hub: &Hub, method: Method, path: &str) -> Response {
        self.send(self.http.request(method, format!("{}{path}", hub.url)))
            .await
    }
}

async fn unfinished(hub: &Hub) -> u64 {
    let depth: Value = read(hub.get("/api/v1/queue").await).await;
    let models = depth["models"].as_array().unwrap();
    let own = models.iter().find(|model| model["id"] == renderers::MODEL);
    own.unwrap()["unfinished"].as_u64().unwrap()
}

async fn unfinished_are(hub: &Hub, count: u64) {
    let so_many = async {
        while unfinished(hub).await != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), so_many)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_its_clients_own() {
    let (hub, _endpoint) = hub("", &[]).await;
    let (mut ann, mut bob) = (Person::default(), Person::default());
    let first = ann
        .job(&hub, "?unlisted=true", "order-1", "red apple")
        .await;
    let again = ann
        .job(&hub, "?unlisted=true", "order-1", "red apple")
        .await;
    assert_eq!(again, first);
    // Whose first request it is has no cookie yet, and is nobody else all the same.
    let bobs = bob
        .job(&hub, "?unlisted=true", "order-1", "red apple")
        .await;
    assert_ne!(bobs.id, first.id);
    bob.job(&hub, "", "order-2", "green pear").await;
    ann.job(&hub, "", "order-2", "red apple").await;
    // Another word of the same client with the same key is another request, wherever it is said.
    for (path, told) in [
        ("/api/v1/jobs", body("red apple")),
        ("/api/v1/jobs?unlisted=true", body("red apples")),
    ] {
        let answer = ann.post(&hub, path, Some("order-1"), &told).await;
        assert_problem(answer, ProblemCode::IdempotencyKeyReused).await;
    }
    // What became of the job changes nothing.
    let path = format!("/api/v1/jobs/{}", first.id);
    let cancelled = ann.ask(&hub, Method::DELETE, &path).await;
    assert!(cancelled.status().is_success());
    let again = ann
        .job(&hub, "?unlisted=true", "order-1", "red apple")
        .await;
    assert_eq!(again, first);
    unfinished_are(&hub, 3).await;
    // The pictures of the OpenAI address have keys that no client can send.
    let sending = {
        let request = ann.http.post(format!("{}/v1/images/generations", hub.url));
        let cookie = ann.cookie.clone().unwrap();
        let request = request
            .header("idempotency-key", "order-3")
            .header(COOKIE, cookie);
        tokio::spawn(request.json(&body("blue key")).send())
    };
    unfinished_are(&hub, 4).await;
    for key in ["order-3#0", "order-3"] {
        ann.job(&hub, "", key, "red apple").await;
    }
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_its_clients_alone() {
    let (hub, _endpoint) = hub("", &[]).await;
    let (mut ann, mut bob) = (Person::known(), Person::known());
    let job = ann.job(&hub, "", "k", "a secret").await;
    let path = format!("/api/v1/jobs/{}", job.id);
    let mut nobody = Person::default();
    for stranger in [&mut bob, &mut nobody] {
        for (method, address) in [
            (Method::GET, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::GET, format!("{path}/events")),
        ] {
            let answer = stranger.ask(&hub, method, &address).await;
            let problem = assert_problem(answer, ProblemCode::NotFound).await;
            assert!(!problem.detail.contains("secret"));
        }
    }
    let view: Value = read(ann.ask(&hub, Method::GET, &path).await).await;
    assert!(["queued", "generating"].contains(&view["status"].as_str().unwrap()));
    assert!(
        ann.ask(&hub, Method::DELETE, &path)
            .await
            .status()
            .is_success()
    );

    // A client that keeps no cookie follows what it asked for.
    let bare = Client::new();
    let url = format!("{}/api/v1/jobs", hub.url);
    let created: JobCreated = read(bare.post(&url).json(&body("p")).send().await.unwrap()).await;
    let followed = bare.get(format!("{url}/{}", created.id)).send().await;
    assert_eq!(followed.unwrap().status(), StatusCode::OK);
    let path = format!("/api/v1/jobs/{}", created.id);
    let answer = bob.ask(&hub, Method::DELETE, &path).await;
    assert_problem(answer, ProblemCode::NotFound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_cookie_leaves_room_for_forty_four_others() {
    let (hub, _endpoint) = hub("", &[]).await;
    let greedy = Client::new();
    let url = format!("{}/api/v1/jobs", hub.url);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..40 {
        let answer = greedy.post(&url).json(&body("more")).send().await.unwrap();
        if answer.status() == StatusCode::ACCEPTED {
            accepted += 1;
        } else {
            assert!(answer.headers().contains_key("retry-after"));
            let problem = assert_problem(answer, ProblemCode::RateLimited).await;
            assert_eq!(problem.limit, Some(LimitName::PicturesInFlight));
            refused += 1;
        }
    }
    assert_eq!((accepted, refused), (16, 24));
    for _ in 0..44 {
        Person::known().job(&hub, "", "k", "one").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_an_hour_and_an_endpoints_day_are_limited_by_name() {
    let (hub, _endpoint) = hub("pictures_per_day = 5", &["--pictures-per-hour=3"]).await;
    let (mut ann, mut bob) = (Person::known(), Person::known());
    for n in 0..3 {
        ann.job(&hub, "", &n.to_string(), "p").await;
    }
    let limit = async |answer: Response| {
        let problem: Problem = assert_problem(answer, ProblemCode::RateLimited).await;
        assert!(problem.retry_after.unwrap() <= 24 * 3600);
        problem.limit.unwrap()
    };
    let refused = ann.post(&hub, "/api/v1/jobs", None, &body("p")).await;
    assert_eq!(limit(refused).await, LimitName::PicturesPerHour);
    // A repeated request costs nothing, and what was refused is not counted for the endpoint.
    ann.job(&hub, "", "0", "p").await;
    bob.job(&hub, "", "0", "p").await;
    let three = json!({"model": renderers::MODEL, "prompt": "p", "n": 2});
    let refused = bob.post(&hub, "/v1/images/generations", None, &three).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");
    // All or none: one more is not too many.
    bob.job(&hub, "", "1", "p").await;
    let refused = bob.post(&hub, "/api/v1/jobs", None, &body("p")).await;
    assert_eq!(limit(refused).await, LimitName::EndpointPicturesPerDay);
}

fn new_key(name: &str) -> (String, String) {
    let mut out = Vec::new();
    let name = name.parse().unwrap();
    server::limits::command::run(KeysCommand::New { name }, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let key = text.lines().find(|line| line.starts_with("dh-")).unwrap();
    let lines = text.split_once("[[key]]").unwrap().1;
    (key.to_owned(), format!("[[key]]{lines}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_are_checked_and_have_budgets_of_their_own() {
    let ((ci, ci_lines), (team, team_lines)) = (new_key("ci"), new_key("team"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let list = format!("{ci_lines}pictures_per_day = 1\n{team_lines}");
    std::fs::write(file.path(), list).unwrap();
    let option = format!("--api-keys={}", file.path().display());
    let (hub, _endpoint) = hub("", &[&option]).await;
    let with = |key: &str| Person {
        key: Some(key.to_owned()),
        ..Person::default()
    };

    let mut stranger = with("sk-of-somewhere-else");
    let refused = stranger.ask(&hub, Method::GET, "/api/v1/models").await;
    assert!(refused.headers().contains_key(WWW_AUTHENTICATE));
    assert_problem(refused, ProblemCode::InvalidApiKey).await;
    let refused = stranger
        .post(&hub, "/v1/images/generations", None, &body("p"))
        .await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "invalid_api_key");
    assert_eq!(error["error"]["type"], "invalid_request_error");
    let page = stranger.ask(&hub, Method::GET, "/healthz").await;
    assert_eq!(page.status(), StatusCode::OK);
    // Without a key all is as before.
    Person::default().job(&hub, "", "k", "p").await;

    let (mut ci, mut team) = (with(&ci), with(&team));
    let job = ci.job(&hub, "", "k", "p").await;
    assert_eq!(ci.cookie, None);
    let again = ci.job(&hub, "", "k", "p").await;
    assert_eq!(again, job);
    let path = format!("/api/v1/jobs/{}", job.id);
    assert_eq!(
        ci.ask(&hub, Method::GET, &path).await.status(),
        StatusCode::OK
    );
    let answer = team.ask(&hub, Method::GET, &path).await;
    assert_problem(answer, ProblemCode::NotFound).await;
    let refused = ci.post(&hub, "/api/v1/jobs", None, &body("p")).await;
    let problem = assert_problem(refused, ProblemCode::RateLimited).await;
    assert_eq!(problem.limit, Some(LimitName::PicturesPerDay));
    team.job(&hub, "", "k", "p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_of_keys_any_key_will_do() {
    let (hub, _endpoint) = hub("", &[]).await;
    let mut person = Person {
        key: Some("sk-anything".to_owned()),
        ..Person::default()
    };
    person.job(&hub, "", "k", "p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_leaves_half_way_is_not_made() {
    let (hub, endpoint) = hub("", &[]).await;
    let several = json!({"model": renderers::MODEL, "prompt": "p", "n": 10});
    let request = Client::new()
        .post(format!("{}/v1/images/generations", hub.url))
        .json(&several);
    let sending = tokio::spawn(request.send());
    while endpoint.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(unfinished(&hub).await, 10);
    sending.abort();
    unfinished_are(&hub, 0).await;
}
