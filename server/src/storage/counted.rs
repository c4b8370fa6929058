//! Counts what the picture store is asked.

use aws_sdk_s3::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use metrics::counter;

use crate::telemetry::metrics::names;

/// Counts every request once it has ended, its retries included.
#[derive(Debug)]
pub(super) struct Counted;

impl Intercept for Counted {
    fn name(&self) -> &'static str {
        "Counted"
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let method = match context.request().map(|request| request.method()) {
            Some("GET") => "GET",
            Some("HEAD") => "HEAD",
            Some("PUT") => "PUT",
            Some("DELETE") => "DELETE",
            _ => "other",
        };
        let status = context
            .response()
            .map(|response| response.status().as_u16());
        let outcome = match (status, context.output_or_error()) {
            (Some(status), _) => outcome(status),
            (None, Some(Err(error))) if error.is_connector_error() || error.is_timeout_error() => {
                "unavailable"
            }
            // Signing an address is not asking.
            (None, _) => return Ok(()),
        };
        counter!(names::STORE_REQUESTS, "method" => method, "outcome" => outcome).increment(1);
        Ok(())
    }
}

/// What came of a request.
fn outcome(status: u16) -> &'static str {
    match status {
        200..=299 => "ok",
        304 | 409 | 412 => "condition",
        404 => "missing",
        507 => "full",
        400..=499 => "refused",
        _ => "unavailable",
    }
}
