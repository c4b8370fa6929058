//! One line in the log and one measurement for each request, when its response has gone out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use metrics::{counter, gauge, histogram};
use protocol::LimitName;
use tracing::Span;

use super::metrics::names;

/// Routes that are asked every few seconds: their lines are of level `DEBUG`.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Label of what no route matches: files of the client, and addresses that do not exist.
const OTHER: &str = "(file)";

/// The limit that a response refuses for, as an extension of it.
#[derive(Clone, Copy)]
pub struct Refused(pub LimitName);

/// Middleware: measures the request and logs it once the response's body has ended or was given up.
pub async fn record(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(OTHER, MatchedPath::as_str)
        .to_owned();
    let method = method_label(request.method());
    let path = request.uri().path().to_owned();
    gauge!(names::HTTP_OPEN).increment(1.0);
    let mut line = Line {
        span: Span::current(),
        method,
        route,
        path,
        begun,
        status: None,
        bytes: 0,
        complete: false,
        streamed: false,
    };
    let response = next.run(request).await;
    line.answered(&response);
    let (parts, body) = response.into_parts();
    line.complete = body.is_end_stream();
    Response::from_parts(parts, Body::new(Measured { body, line }))
}

/// Methods that anybody may invent must not become labels.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// What is known of a request. Dropping it writes the line: also where the client went away before an answer.
struct Line {
    span: Span,
    method: &'static str,
    route: String,
    path: String,
    begun: Instant,
    status: Option<StatusCode>,
    bytes: u64,
    complete: bool,
    streamed: bool,
}

impl Line {
    fn answered(&mut self, response: &Response) {
        let status = response.status();
        self.status = Some(status);
        let content_type = response.headers().get(header::CONTENT_TYPE);
        self.streamed =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if self.streamed {
            gauge!(names::SSE_OPEN).increment(1.0);
        }
        histogram!(names::HTTP_SECONDS, "method" => self.method, "route" => self.route.clone())
            .record(self.begun.elapsed().as_secs_f64());
        let limit = response.extensions().get::<Refused>();
        if status == StatusCode::TOO_MANY_REQUESTS || limit.is_some() {
            let limit = limit.map_or_else(|| "other".to_owned(), |limit| limit.0.name());
            counter!(names::REFUSED, "route" => self.route.clone(), "limit" => limit).increment(1);
        }
        self.span.record("status", status.as_u16());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        gauge!(names::HTTP_OPEN).decrement(1.0);
        if self.streamed {
            gauge!(names::SSE_OPEN).decrement(1.0);
        }
        // 499 as nginx has it: the client went away before there was an answer.
        let status = self.status.map_or(499, |status| status.as_u16());
        counter!(
            names::HTTP_REQUESTS,
            "method" => self.method,
            "route" => self.route.clone(),
            "status" => status.to_string()
        )
        .increment(1);
        counter!(names::HTTP_BYTES, "route" => self.route.clone()).increment(self.bytes);
        let _entered = self.span.enter();
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if PROBES.contains(&self.route.as_str()) {
            tracing::debug!(target: "server::access", status, ms, bytes = self.bytes, complete = self.complete, "{} {}", self.method, self.path);
        } else {
            tracing::info!(target: "server::access", status, ms, bytes = self.bytes, complete = self.complete, "{} {}", self.method, self.path);
        }
    }
}

/// A body that counts what is read of it.
struct Measured {
    body: Body,
    line: Line,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.line.bytes += bytes as u64;
                self.line.complete = self.body.is_end_stream();
            }
            Some(Err(_)) => {}
            None => self.line.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
