//! The log on standard error, and where spans go beside it.

use std::io::IsTerminal;

use clap::ValueEnum;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::traces::{self, TraceOptions};

/// Log targets that would print signed URLs or request bodies below these levels, or that say nothing to an operator.
const QUIET: [&str; 8] = [
    // It logs every request that is refused as an error; the store logs its own failures.
    "s3s=off",
    "aws_sdk_s3=info",
    "aws_smithy_runtime=info",
    "aws_runtime=info",
    "aws_sigv4=info",
    "aws_smithy_http_client=info",
    "opentelemetry=warn",
    "server::steps=warn",
];

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Ends the export of traces when it is dropped.
#[must_use]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take()
            && let Err(error) = traces.shutdown()
        {
            eprintln!("demo-hub: the last traces were not sent: {error}");
        }
    }
}

/// Starts the log and, where `traces` names a collector, the export of spans. `RUST_LOG` chooses what is logged.
///
/// # Errors
/// When `RUST_LOG` cannot be read, the collector's address is no URL, or a log was started before.
pub fn start(format: LogFormat, traces: Option<&TraceOptions>) -> anyhow::Result<Telemetry> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = traces.map(traces::provider).transpose()?;
    let spans = provider.as_ref().map(traces::layer);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter()?))
        .with(spans)
        .try_init()?;
    Ok(Telemetry { traces: provider })
}

fn filter() -> anyhow::Result<EnvFilter> {
    let mut filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()?;
    for directive in QUIET {
        filter = filter.add_directive(directive.parse()?);
    }
    Ok(filter)
}
