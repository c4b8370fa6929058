//! Problems in OpenAI's form.

use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemCode};

use super::answer::{ErrorBody, ErrorDetail};

/// A problem that is answered in OpenAI's form.
#[derive(Debug)]
pub struct OpenAiError(Problem);

impl OpenAiError {
    /// A body that is not the JSON of this endpoint.
    pub fn unreadable(rejection: &JsonRejection) -> Self {
        Self(crate::api::extract::json_problem(rejection))
    }

    /// A field whose value cannot be used.
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(ProblemCode::OutOfRange, detail);
        problem.field = Some(field.into());
        Self(problem)
    }

    /// The body of the answer.
    pub fn body(&self) -> ErrorBody {
        let problem = &self.0;
        let code = match problem.code {
            ProblemCode::UnknownModel => "model_not_found".to_owned(),
            ProblemCode::QueueFull => "rate_limit_exceeded".to_owned(),
            code => code.name(),
        };
        let message = if problem.hint.is_empty() {
            problem.detail.clone()
        } else {
            format!("{}. {}", problem.detail, problem.hint)
        };
        ErrorBody {
            error: ErrorDetail {
                message,
                kind: match self.status() {
                    429 => "rate_limit_error",
                    400..=499 => "invalid_request_error",
                    _ => "server_error",
                },
                param: problem.field.as_deref().map(str::to_owned),
                code,
            },
        }
    }

    /// OpenAI answers what the hub's own API answers with 422 by 400.
    fn status(&self) -> u16 {
        match self.0.status {
            422 => 400,
            other => other,
        }
    }
}

impl From<Problem> for OpenAiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
