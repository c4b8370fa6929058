//! What this process counts, in Prometheus' text form. Any part of the server counts through the `metrics` crate.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use protocol::RunsOn;

use crate::jobs::JobRecord;

/// Content type of the text form.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of requests' durations, in seconds.
const REQUEST_SECONDS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds of the durations of pictures and of waits for them, in seconds.
const PICTURE_SECONDS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 1_000.0,
];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// The counters of this process, started by the first call.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    RECORDER
        .get_or_init(|| match install() {
            Ok(handle) => Some(handle),
            Err(error) => {
                tracing::error!("nothing is counted: {error:#}");
                None
            }
        })
        .as_ref()
}

fn install() -> anyhow::Result<PrometheusHandle> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(full(names::HTTP_SECONDS), &REQUEST_SECONDS)?
        .set_buckets_for_metric(full(names::UPSTREAM_SECONDS), &REQUEST_SECONDS)?
        .set_buckets_for_metric(full(names::JOB_WAIT_SECONDS), &PICTURE_SECONDS)?
        .set_buckets_for_metric(full(names::JOB_SECONDS), &PICTURE_SECONDS)?
        .install_recorder()?;
    describe();
    metrics::gauge!("demo_hub_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// The code of a problem, as clients read it, for a label.
pub fn code(problem: &protocol::Problem) -> String {
    serde_json::to_value(problem.code)
        .ok()
        .and_then(|code| code.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Counts a job that a queue took in.
pub fn submitted(job: &JobRecord) {
    counter!(names::JOBS_SUBMITTED, "model" => job.view.request.model.clone()).increment(1);
}

/// Counts a picture whose record was written; `place` is where it was made.
pub fn stored(place: RunsOn, bytes: u64) {
    let origin = place.name();
    counter!(names::PICTURES, "origin" => origin).increment(1);
    counter!(names::PICTURE_BYTES, "origin" => origin).increment(bytes);
}

/// Counts a request to another host, whose name is bounded by the configuration.
pub fn upstream(host: &str, outcome: &'static str, took: Duration) {
    let host = host.to_owned();
    counter!(names::UPSTREAM_REQUESTS, "host" => host.clone(), "outcome" => outcome).increment(1);
    histogram!(names::UPSTREAM_SECONDS, "host" => host).record(took.as_secs_f64());
}

/// Names, as the dashboard and the table in `docs/operations.md` have them.
pub mod names {
    /// Requests by method, route and status.
    pub const HTTP_REQUESTS: &str = "demo_hub_http_requests_total";
    /// Seconds until a response began, by method and route.
    pub const HTTP_SECONDS: &str = "demo_hub_http_request_duration_seconds";
    /// Bytes of response bodies, by route.
    pub const HTTP_BYTES: &str = "demo_hub_http_response_bytes_total";
    /// Responses under way.
    pub const HTTP_OPEN: &str = "demo_hub_http_responses_open";
    /// Followers of jobs.
    pub const SSE_OPEN: &str = "demo_hub_sse_connections";
    /// Jobs taken in, by model.
    pub const JOBS_SUBMITTED: &str = "demo_hub_jobs_submitted_total";
    /// Jobs waiting, by model.
    pub const JOBS_WAITING: &str = "demo_hub_jobs_waiting";
    /// Jobs that are being made, by model.
    pub const JOBS_RUNNING: &str = "demo_hub_jobs_running";
    /// Workers heard of lately.
    pub const WORKERS: &str = "demo_hub_workers";
    /// Seconds from a job's submission to its first worker, by model.
    pub const JOB_WAIT_SECONDS: &str = "demo_hub_job_wait_seconds";
    /// Seconds that a worker had a job, by model and outcome.
    pub const JOB_SECONDS: &str = "demo_hub_job_duration_seconds";
    /// Attempts at jobs, by model.
    pub const JOB_ATTEMPTS: &str = "demo_hub_job_attempts_total";
    /// Ends of attempts by model, outcome and, for failures, problem code.
    pub const JOB_ENDS: &str = "demo_hub_job_attempt_ends_total";
    /// Pictures whose record was written, by origin.
    pub const PICTURES: &str = "demo_hub_pictures_stored_total";
    /// Their bytes.
    pub const PICTURE_BYTES: &str = "demo_hub_picture_bytes_stored_total";
    /// Bytes of pictures and thumbnails in the store, as this process knows it.
    pub const STORED_BYTES: &str = "demo_hub_store_bytes";
    /// Those that came in the last day.
    pub const STORED_BYTES_OF_DAY: &str = "demo_hub_store_bytes_of_day";
    /// Limits of the two, by the limit's name; absent where there is none.
    pub const STORED_BYTES_LIMIT: &str = "demo_hub_store_bytes_limit";
    /// Requests refused by a limit, by route and the limit's name.
    pub const REFUSED: &str = "demo_hub_requests_refused_total";
    /// Requests to other hosts by host and outcome.
    pub const UPSTREAM_REQUESTS: &str = "demo_hub_upstream_requests_total";
    /// Seconds that they took, by host.
    pub const UPSTREAM_SECONDS: &str = "demo_hub_upstream_request_duration_seconds";
    /// Requests to the picture store by method and outcome.
    pub const STORE_REQUESTS: &str = "demo_hub_store_requests_total";
}

fn describe() {
    use names::*;
    describe_counter!(HTTP_REQUESTS, "HTTP requests by method, route and status");
    describe_histogram!(HTTP_SECONDS, Unit::Seconds, "Time until a response began");
    describe_counter!(HTTP_BYTES, Unit::Bytes, "Bytes of response bodies");
    describe_gauge!(HTTP_OPEN, "Responses under way");
    describe_gauge!(SSE_OPEN, "Followers of jobs by server-sent events");
    describe_counter!(JOBS_SUBMITTED, "Jobs taken in");
    describe_gauge!(JOBS_WAITING, "Jobs that wait for a worker");
    describe_gauge!(JOBS_RUNNING, "Jobs that a worker is at");
    describe_gauge!(WORKERS, "Workers heard of lately");
    describe_histogram!(
        JOB_WAIT_SECONDS,
        Unit::Seconds,
        "Time from submission to a worker"
    );
    describe_histogram!(JOB_SECONDS, Unit::Seconds, "Time that a worker had a job");
    describe_counter!(JOB_ATTEMPTS, "Attempts at jobs");
    describe_counter!(JOB_ENDS, "Ends of attempts by outcome and problem code");
    describe_counter!(PICTURES, "Pictures stored");
    describe_counter!(PICTURE_BYTES, Unit::Bytes, "Bytes of pictures stored");
    describe_gauge!(
        STORED_BYTES,
        Unit::Bytes,
        "Bytes of pictures and thumbnails in the store"
    );
    describe_gauge!(
        STORED_BYTES_OF_DAY,
        Unit::Bytes,
        "Of these, what came in the last day"
    );
    describe_gauge!(
        STORED_BYTES_LIMIT,
        Unit::Bytes,
        "What may be stored, by the limit's name"
    );
    describe_counter!(REFUSED, "Requests that a limit refused");
    describe_counter!(UPSTREAM_REQUESTS, "Requests to other hosts");
    describe_histogram!(
        UPSTREAM_SECONDS,
        Unit::Seconds,
        "Time of requests to other hosts"
    );
    describe_counter!(STORE_REQUESTS, "Requests to the picture store");
    describe_gauge!("demo_hub_build_info", "Version of this program");
}
