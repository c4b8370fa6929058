//! Errors as people and programs see them (RFC 9457 problem details).

use serde::{Deserialize, Deserializer, Serialize};

use crate::generation::RequestError;

/// Stable code of an error; clients may branch on it. One that a newer version added is read as [`Self::Internal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The body is not the JSON that the endpoint takes.
    MalformedRequest,
    /// The prompt is empty.
    EmptyPrompt,
    /// A prompt is longer than accepted.
    PromptTooLong,
    /// A value is outside what the model takes.
    OutOfRange,
    /// No such model.
    UnknownModel,
    /// No such job, picture, upload or page.
    NotFound,
    /// The address exists, but not for this method.
    MethodNotAllowed,
    /// The body is larger than accepted.
    BodyTooLarge,
    /// The upload names a type that is not stored.
    UnsupportedType,
    /// The body did not come in time.
    RequestTimeout,
    /// The hub is not known by the name that it was asked by.
    MisdirectedRequest,
    /// The file is no picture that can be read, or has too many pixels.
    UnreadablePicture,
    /// The stored object is not what the upload declared.
    UploadMismatch,
    /// Nothing arrived in the store for this upload.
    UploadMissing,
    /// The picture belongs to someone else.
    NotOwner,
    /// The operator of this hub does not accept these bytes.
    ImageRefused,
    /// The operator of this hub took the picture down.
    Withdrawn,
    /// The API key is not one that this hub knows.
    InvalidApiKey,
    /// It is for the hub's operator, who is not signed in.
    NotSignedIn,
    /// What a session allows was not asked for by a page of this hub.
    ForeignOrigin,
    /// The model hub gives the model to those alone who agreed to something.
    ModelWithheld,
    /// The model hub does not answer.
    ModelHubUnavailable,
    /// More than this client may have; `limit` names what, `retry_after` says when to try again.
    RateLimited,
    /// The queue is full; `retry_after` says when to try again.
    QueueFull,
    /// The queue does not answer.
    QueueUnavailable,
    /// The picture store does not answer.
    StorageUnavailable,
    /// The picture store has no room left; what is stored can be read. `retry_after` says when to try again.
    StorageFull,
    /// The endpoint that runs the model is away or busy.
    EndpointUnavailable,
    /// The endpoint that runs the model refused the request.
    RequestRefused,
    /// The model failed while running.
    GenerationFailed,
    /// The state of the job does not allow this.
    Conflict,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// Something failed that is not the client's fault.
    Internal,
}

impl<'de> Deserialize<'de> for ProblemCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|code| code.name() == name);
        Ok(known.unwrap_or(Self::Internal))
    }
}

impl ProblemCode {
    /// Every code, in the order of their declaration.
    pub const ALL: [Self; 33] = [
        Self::MalformedRequest,
        Self::EmptyPrompt,
        Self::PromptTooLong,
        Self::OutOfRange,
        Self::UnknownModel,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::UnsupportedType,
        Self::RequestTimeout,
        Self::MisdirectedRequest,
        Self::UnreadablePicture,
        Self::UploadMismatch,
        Self::UploadMissing,
        Self::NotOwner,
        Self::ImageRefused,
        Self::Withdrawn,
        Self::InvalidApiKey,
        Self::NotSignedIn,
        Self::ForeignOrigin,
        Self::ModelWithheld,
        Self::ModelHubUnavailable,
        Self::RateLimited,
        Self::QueueFull,
        Self::QueueUnavailable,
        Self::StorageUnavailable,
        Self::StorageFull,
        Self::EndpointUnavailable,
        Self::RequestRefused,
        Self::GenerationFailed,
        Self::Conflict,
        Self::IdempotencyKeyReused,
        Self::Internal,
    ];

    /// The code as it is written in JSON.
    pub fn name(self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        json.as_str().unwrap_or_default().to_owned()
    }

    /// HTTP status that goes with the code.
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedRequest | Self::EmptyPrompt | Self::PromptTooLong | Self::OutOfRange => {
                422
            }
            Self::UnknownModel | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTooLarge => 413,
            Self::UnsupportedType => 415,
            Self::RequestTimeout => 408,
            Self::MisdirectedRequest => 421,
            Self::UnreadablePicture | Self::UploadMismatch | Self::IdempotencyKeyReused => 422,
            Self::UploadMissing | Self::Conflict => 409,
            Self::NotOwner | Self::ImageRefused | Self::ForeignOrigin | Self::ModelWithheld => 403,
            Self::Withdrawn => 410,
            Self::InvalidApiKey | Self::NotSignedIn => 401,
            Self::RateLimited | Self::QueueFull => 429,
            Self::RequestRefused => 422,
            Self::QueueUnavailable
            | Self::StorageUnavailable
            | Self::EndpointUnavailable
            | Self::ModelHubUnavailable => 503,
            Self::GenerationFailed | Self::Internal => 500,
            Self::StorageFull => 507,
        }
    }

    /// Short title, the same for every occurrence.
    pub fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request could not be read",
            Self::EmptyPrompt => "The prompt is empty",
            Self::PromptTooLong => "The prompt is too long",
            Self::OutOfRange => "A value is out of range",
            Self::UnknownModel => "Unknown model",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "This address does not take that method",
            Self::BodyTooLarge => "The request is too large",
            Self::UnsupportedType => "This type of file is not stored here",
            Self::RequestTimeout => "The request did not come in time",
            Self::MisdirectedRequest => "The hub is not known by this name",
            Self::UnreadablePicture => "The picture cannot be read",
            Self::UploadMismatch => "The upload is not what was declared",
            Self::UploadMissing => "The upload did not arrive",
            Self::NotOwner => "Not your picture",
            Self::ImageRefused => "This picture is not accepted here",
            Self::Withdrawn => "This picture was taken down",
            Self::InvalidApiKey => "Unknown API key",
            Self::NotSignedIn => "Not signed in",
            Self::ForeignOrigin => "Not asked for by a page of this hub",
            Self::ModelWithheld => "The model hub does not give this model out",
            Self::ModelHubUnavailable => "The model hub does not answer",
            Self::RateLimited => "Too many requests",
            Self::QueueFull => "The server is busy",
            Self::QueueUnavailable => "The job queue does not answer",
            Self::StorageUnavailable => "The picture store does not answer",
            Self::StorageFull => "The picture store is full",
            Self::EndpointUnavailable => "The model's endpoint is away",
            Self::RequestRefused => "The model's endpoint refused the request",
            Self::GenerationFailed => "The picture could not be made",
            Self::Conflict => "Not possible in this state",
            Self::IdempotencyKeyReused => "The Idempotency-Key belongs to another request",
            Self::Internal => "Something went wrong on the server",
        }
    }
}

/// A limit that was reached: of what one client, one address, or all of them may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Pictures of the client that wait or are being made.
    PicturesInFlight,
    /// Those of all clients of its address.
    PicturesInFlightOfAddress,
    /// Pictures of the client that were accepted in this hour.
    PicturesPerHour,
    /// Those of all clients of its address.
    PicturesPerHourOfAddress,
    /// Pictures of the API key that were accepted today.
    PicturesPerDay,
    /// Pictures that were accepted today for the endpoint that runs the model.
    EndpointPicturesPerDay,
    /// Places of the queue, for all clients.
    QueueCapacity,
    /// Uploads of the client in the last hour.
    UploadsPerHour,
    /// Those of all clients of its address.
    UploadsPerHourOfAddress,
    /// Bytes that the client uploaded in the last day.
    BytesPerDay,
    /// Those of all clients of its address.
    BytesPerDayOfAddress,
    /// Bytes that were stored for all clients in the last day.
    BytesPerDayOfAll,
    /// Bytes that are stored for all clients, whenever they came.
    BytesInAll,
    /// Attempts of the client in the last hour to save an upload.
    CommitsPerHour,
    /// Those of all clients of its address.
    CommitsPerHourOfAddress,
    /// Reports of the client in the last hour.
    ReportsPerHour,
    /// Those of all clients of its address.
    ReportsPerHourOfAddress,
    /// Reports that wait for the operator.
    OpenReports,
    /// Exports of the client that are being sent.
    ExportsAtOnce,
    /// Those of all clients of its address.
    ExportsAtOnceOfAddress,
    /// Wrong operator's tokens from the address.
    WrongTokensOfAddress,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

impl LimitName {
    /// The name as it is written in JSON.
    pub fn name(self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        json.as_str().unwrap_or_default().to_owned()
    }
}

/// Body of every error answer, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Reference to the code's description.
    #[serde(rename = "type", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub type_uri: Box<str>,
    /// Stable code.
    pub code: ProblemCode,
    /// HTTP status.
    pub status: u16,
    /// Short title.
    pub title: String,
    /// A sentence on this occurrence.
    pub detail: String,
    /// What the person can do now; may be empty.
    #[serde(default)]
    pub hint: String,
    /// Seconds to wait before trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Name of the limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitName>,
    /// Member of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub field: Option<Box<str>>,
}

impl Problem {
    /// A problem of `code` with a sentence on this occurrence.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("/api/docs#problem-{}", code.name()).into(),
            code,
            status: code.status(),
            title: code.title().to_owned(),
            detail: detail.into(),
            hint: String::new(),
            retry_after: None,
            limit: None,
            field: None,
        }
    }

    /// Names the limit that was reached.
    #[must_use]
    pub fn with_limit(mut self, limit: LimitName) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let (code, hint) = match &error {
            RequestError::EmptyPrompt => (
                ProblemCode::EmptyPrompt,
                "Type what the picture should show.",
            ),
            RequestError::PromptTooLong { .. } => (
                ProblemCode::PromptTooLong,
                "Shorten the prompt; the model reads only its first words anyway.",
            ),
            RequestError::OutOfRange { .. } => (
                ProblemCode::OutOfRange,
                "Choose a value inside the model's range.",
            ),
            RequestError::HalfVariation { .. } => {
                (ProblemCode::OutOfRange, "Give both, or neither.")
            }
            RequestError::UnknownLora { .. } => (
                ProblemCode::OutOfRange,
                "Name one of these, or leave the tag out.",
            ),
            RequestError::LoraTag { .. } => (
                ProblemCode::OutOfRange,
                "A tag is written `<lora:name:0.8>`, or with two weights, the text encoder's first.",
            ),
            RequestError::NoWeights => (
                ProblemCode::OutOfRange,
                "Have it read as plain text, or choose another model.",
            ),
            RequestError::Sampler { .. } => (
                ProblemCode::OutOfRange,
                "Choose one of these, or leave it to the model.",
            ),
            RequestError::Size { .. } => (
                ProblemCode::OutOfRange,
                "Choose a size that the model makes, or leave both out.",
            ),
            RequestError::TooLarge { .. } => (
                ProblemCode::OutOfRange,
                "Choose a smaller size, or have it made fewer times as large.",
            ),
            RequestError::NoNegativePrompt => (
                ProblemCode::OutOfRange,
                "Leave it empty, or choose another model.",
            ),
            RequestError::NoStart(_) => (
                ProblemCode::OutOfRange,
                "Leave the picture out, or choose a model that can begin with one.",
            ),
            RequestError::NoMask => (ProblemCode::OutOfRange, "Give a mask, or leave that out."),
            RequestError::UnknownModel(_) => (
                ProblemCode::UnknownModel,
                "Choose one that runs here; GET /api/v1/models lists them.",
            ),
        };
        let field = match error {
            RequestError::EmptyPrompt
            | RequestError::UnknownLora { .. }
            | RequestError::LoraTag { .. } => "prompt",
            RequestError::PromptTooLong { field, .. }
            | RequestError::OutOfRange { field, .. }
            | RequestError::Size { field, .. } => field,
            RequestError::TooLarge { .. } => "upscale",
            RequestError::NoNegativePrompt => "negative_prompt",
            RequestError::HalfVariation { missing } => missing,
            RequestError::NoWeights => "prompt_syntax",
            RequestError::Sampler { .. } => "sampler",
            RequestError::NoStart(_) => "start",
            RequestError::NoMask => "start.mask_by",
            RequestError::UnknownModel(_) => "model",
        };
        Self {
            field: Some(field.into()),
            ..Self::new(code, error.to_string()).with_hint(hint)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_code_is_read_and_one_of_a_newer_version_leaves_the_rest_as_it_is() {
        for code in ProblemCode::ALL {
            let problem = Problem::new(code, "because");
            let json = serde_json::to_string(&problem).unwrap();
            assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
        }
        let json = r#"{"code":"added_later","status":418,"title":"t","detail":"d","more":1}"#;
        let problem: Problem = serde_json::from_str(json).unwrap();
        assert_eq!(problem.code, ProblemCode::Internal);
        assert_eq!((problem.status, problem.detail.as_str()), (418, "d"));
    }
}
