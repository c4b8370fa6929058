//! Figures for docs/performance.md: `cargo test -p server --test it catalog::measure -- --ignored --nocapture`.

use std::time::Instant;

use futures::stream::{self, StreamExt};

use super::*;

/// What the stand-in takes for an answer.
const LATENCY: Duration = Duration::from_millis(100);
const COLD: usize = 9;
const WARM: usize = 200;
const VIEWS: usize = 1000;

async fn slow_hub() -> StandIn {
    StandIn::answering(|seen| {
        let act = match &*seen.path {
            "/api/models" => {
                let models: Vec<Value> = (0..24)
                    .map(|i| model(&format!("maker/model-{i}"), json!({"siblings": []})))
                    .collect();
                Act::json(200, &json!(models))
            }
            "/api/models/maker/model" => Act::json(
                200,
                &model("maker/model", json!({"tags": ["arxiv:2207.12598"]})),
            ),
            "/api/papers/2207.12598" => Act::json(200, &paper("2207.12598", "T", "S", &["A", "B"])),
            "/api/query" => atom(&feed("2207.12598", "T", "S", &["A", "B"], "10.1/x")),
            _ => nothing(),
        };
        act.after(LATENCY)
    })
    .await
}

async fn timed(hub: &Hub, path: &str) -> Duration {
    let started = Instant::now();
    let response = hub.get(path).await;
    assert!(
        response.status().is_success(),
        "{path}: {}",
        response.status()
    );
    response.bytes().await.unwrap();
    started.elapsed()
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("median {:.1} ms, p90 {:.1} ms", at(0.5), at(0.9))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn cold_and_warm() {
    for path in [
        "/api/v1/models/demo-hub/glyph",
        "/api/v1/models/maker/model",
        "/api/v1/models/search",
        "/api/v1/creators/maker/models",
        "/models/demo-hub/glyph",
        "/models/maker/model",
        "/models",
        "/creators/maker",
    ] {
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for round in 0..COLD {
            let stand_in = slow_hub().await;
            let hub = hub_asking(&stand_in, &["--catalog-deadline-ms=1500"]).await;
            if !hub.get(path).await.status().is_success() {
                println!("{path}: no such page");
                break;
            }
            let stand_in = slow_hub().await;
            let hub = hub_asking(&stand_in, &["--catalog-deadline-ms=1500"]).await;
            // The pages' own code is warm, the catalogue's answers are not.
            timed(&hub, "/healthz").await;
            cold.push(timed(&hub, path).await);
            if round == 0 {
                tokio::time::sleep(3 * LATENCY).await;
                for _ in 0..WARM {
                    warm.push(timed(&hub, path).await);
                }
            }
        }
        if !cold.is_empty() {
            println!("{path}: cold {}; warm {}", quantiles(cold), quantiles(warm));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_thousand_views() {
    for path in ["/api/v1/models/maker/model", "/models/maker/model"] {
        let stand_in = slow_hub().await;
        let hub = hub_asking(&stand_in, &["--catalog-deadline-ms=1500"]).await;
        let started = Instant::now();
        let views = stream::iter(0..VIEWS).map(|_| timed(&hub, path));
        let times: Vec<Duration> = views.buffer_unordered(100).collect().await;
        println!(
            "{path}: {VIEWS} views, 100 at a time, in {:.1} s: {}; {} requests upstream",
            started.elapsed().as_secs_f64(),
            quantiles(times),
            stand_in.seen().len()
        );
    }
}
