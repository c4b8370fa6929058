//! Options of the log, of metrics and of traces.

use std::net::SocketAddr;

use clap::Args;

use crate::telemetry::{self, LogFormat, Telemetry, traces::TraceOptions};

/// What operators see of a process.
#[derive(Args, Clone, Debug)]
pub struct TelemetryConfig {
    /// How lines of the log look.
    #[arg(long, env = "DEMO_HUB_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Address and port that serve `/metrics` and nothing else, to anybody who reaches them; default: none. A server
    /// answers `/metrics` on its own port to the same machine alone.
    #[arg(long, env = "DEMO_HUB_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,

    /// Address of an OpenTelemetry collector that takes traces over HTTP, such as `http://collector:4318/v1/traces`;
    /// default: none are made.
    #[arg(long, env = "DEMO_HUB_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,

    /// Share of requests that are traced, 0 to 1.
    #[arg(long, env = "DEMO_HUB_OTLP_SHARE", default_value_t = 1.0, value_parser = share)]
    pub otlp_share: f64,
}

impl TelemetryConfig {
    /// Starts the log, and traces where a collector is named; `service` is who they are of. Inside of a Tokio runtime.
    ///
    /// # Errors
    /// A sentence when an option is not usable.
    pub fn start(&self, service: &'static str) -> anyhow::Result<Telemetry> {
        let traces = self.otlp_endpoint.clone().map(|endpoint| TraceOptions {
            endpoint,
            share: self.otlp_share,
            service,
        });
        telemetry::start(self.log_format, traces.as_ref())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("a share lies between 0 and 1".to_owned())
    }
}
