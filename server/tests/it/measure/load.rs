//! `wrk` against app replicas over one NATS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use server::jobs::Role;

use super::{idle_worker, measured};
use crate::cluster::{Cluster, Process};
use crate::hub::request;

/// Connections per replica.
const CONNECTIONS: usize = 16;
/// Jobs that wait while their states are asked for.
const WAITING: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn submitting_and_asking() {
    let seconds: u32 =
        std::env::var("BENCH_SECONDS").map_or(5, |text| text.parse().expect("seconds"));
    for replicas in [1, 2, 4] {
        let cluster = Cluster::start(&["--queue-capacity=10000"]).await;
        let apps: Vec<Process> = (0..replicas).map(|_| cluster.app()).collect();
        let mut waiting = Vec::new();
        for seed in 0..WAITING {
            waiting.push(
                cluster
                    .submit(&apps[0], &request("red apple", seed))
                    .await
                    .id,
            );
        }
        wrk("status", &apps, &waiting.join(","), seconds);
        let queue = cluster
            .nats
            .queue_of("demo-hub", 10_000, Duration::from_secs(3600), Role::Worker)
            .await;
        let working = idle_worker(std::sync::Arc::new(queue));
        wrk("submit", &apps, "", seconds);
        wrk("mixed", &apps, "", seconds);
        working.abort();
    }
}

fn wrk(scenario: &str, apps: &[Process], jobs: &str, seconds: u32) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/jobs/load.lua");
    let hubs: Vec<&str> = apps
        .iter()
        .map(|app| app.url.trim_start_matches("http://"))
        .collect();
    let connections = apps.len() * CONNECTIONS;
    let ran = Command::new("wrk")
        .args(["--latency", "--timeout", "10s"])
        .args(["--threads", &apps.len().to_string()])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--script"])
        .arg(script)
        .arg(&apps[0].url)
        .env("SCENARIO", scenario)
        .env("HUBS", hubs.join(","))
        .env("JOBS", jobs)
        .output()
        .expect("wrk on PATH: `cargo xtask bench jobs` installs it");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{printed}");
    let last = printed.trim_end().lines().next_back().unwrap();
    let counted: Value = serde_json::from_str(last).expect(&printed);
    let number = |name: &str| counted[name].as_f64().unwrap();
    measured(&json!({
        "figure": "load", "scenario": scenario, "replicas": apps.len(), "connections": connections,
        "requests": counted["requests"],
        "requests_per_second": number("requests") / number("duration_us") * 1e6,
        "median_ms": number("median_us") / 1e3, "p99_ms": number("p99_us") / 1e3,
        "refused": counted["refused"], "broken": counted["broken"],
    }));
}
