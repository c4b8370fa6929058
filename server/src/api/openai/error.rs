//! Problems in OpenAI's form.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemCode};

use super::answer::{ErrorBody, ErrorDetail};
use crate::telemetry::access::Refused;

/// A problem that is answered in OpenAI's form.
#[derive(Debug)]
pub struct OpenAiError {
    problem: Box<Problem>,
    /// A code of OpenAI's own, where one is more exact than the problem's.
    code: Option<&'static str>,
}

impl OpenAiError {
    /// A member of the request that cannot be used, by OpenAI's code for that.
    pub fn member(code: &'static str, name: &str, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(ProblemCode::MalformedRequest, detail);
        problem.field = Some(name.into());
        Self {
            problem: Box::new(problem),
            code: Some(code),
        }
    }

    /// The same by another code.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// A value that is none of those accepted.
    pub fn invalid_value(name: &str, value: &str, accepted: &[&str]) -> Self {
        let value: String = value.chars().take(40).collect();
        let accepted: Vec<String> = accepted.iter().map(|value| format!("'{value}'")).collect();
        let detail = format!(
            "Invalid value: '{value}'. Supported values are: {}.",
            accepted.join(", ")
        );
        Self::member("invalid_value", name, detail)
    }

    /// A number that is outside what is accepted.
    pub fn out_of_range(name: &str, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(ProblemCode::OutOfRange, detail);
        problem.field = Some(name.into());
        problem.into()
    }

    /// The body of the answer.
    pub fn body(&self) -> ErrorBody {
        let problem = &self.problem;
        let code = match (self.code, problem.code) {
            (Some(code), _) => code.to_owned(),
            (None, ProblemCode::UnknownModel) => "model_not_found".to_owned(),
            (None, ProblemCode::QueueFull | ProblemCode::RateLimited) => {
                "rate_limit_exceeded".to_owned()
            }
            (None, code) => code.name(),
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
        match self.problem.status {
            422 => 400,
            other => other,
        }
    }
}

impl From<Problem> for OpenAiError {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            code: None,
        }
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.problem.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(limit) = self.problem.limit {
            response.extensions_mut().insert(Refused(limit));
        }
        response
    }
}
