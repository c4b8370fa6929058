//! Traces from the page's request to the worker's steps, sent to an OpenTelemetry collector (OTLP over HTTP).
//!
//! A trace's id and the span above travel as `traceparent` (W3C Trace Context): in the page's requests, and in the
//! job that a request became.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Longest wait for the collector.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Name of the member and the header.
pub const TRACEPARENT: &str = "traceparent";

/// Where traces go.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// Address that takes OTLP, such as `http://collector:4318/v1/traces`.
    pub endpoint: String,
    /// Share of requests that are traced, 0 to 1.
    pub share: f64,
    /// `service.name` of the spans.
    pub service: &'static str,
}

/// What makes spans and sends them.
///
/// # Errors
/// When the address is no URL, or outside of a Tokio runtime.
pub fn provider(options: &TraceOptions) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new()?)
        .with_endpoint(&options.endpoint)
        .build()
        .context("where traces go (--otlp-endpoint)")?;
    let resource = Resource::builder()
        .with_service_name(options.service)
        .build();
    // Whether a visitor's browser asks for a trace decides nothing here: it would let anybody fill the collector.
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::TraceIdRatioBased(options.share))
        .with_resource(resource)
        .build())
}

/// Makes our own spans traces; those of libraries, which may name signed addresses, are left out.
pub fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    OpenTelemetryLayer::new(provider.tracer("demo-hub")).with_filter(filter_fn(|metadata| {
        metadata.target().starts_with("server") && *metadata.level() <= tracing::Level::INFO
    }))
}

/// The W3C `traceparent` of the present span, where it is traced.
pub fn current() -> Option<String> {
    let context = tracing::Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Hangs `span`, which has not been entered yet, below what a `traceparent` names; one that cannot be read changes
/// nothing.
pub fn continue_from(span: &tracing::Span, traceparent: &str) {
    let context = TraceContextPropagator::new().extract(&Parent(traceparent));
    if context.span().span_context().is_valid() {
        // Without a collector there is no layer to tell.
        let _not_traced = span.set_parent(context);
    }
}

struct Parent<'a>(&'a str);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// The hub's own HTTP client: the exporter's thread has no Tokio runtime, so requests run in ours.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

impl Collector {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            client: reqwest::Client::builder().timeout(TIMEOUT).build()?,
            runtime: tokio::runtime::Handle::try_current()?,
        })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let response = client.execute(request).await?;
            let status = response.status();
            let body = response.bytes().await?;
            Ok::<_, reqwest::Error>((status, body))
        });
        let (status, body) = sent.await??;
        Ok(http::Response::builder().status(status).body(body)?)
    }
}
