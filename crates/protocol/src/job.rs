//! A request that runs on the server.

use serde::{Deserialize, Serialize};

use crate::generation::GenerationRequest;
use crate::problem::Problem;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// A worker is at it.
    Generating,
    /// The picture is stored.
    Completed,
    /// It ended with an error.
    Failed,
    /// The client cancelled it.
    Cancelled,
}

impl JobStatus {
    /// No further change will come.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Denoising steps done of those asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Steps done.
    pub step: u32,
    /// Steps asked for.
    pub total_steps: u32,
}

/// The stored picture of a completed job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageRef {
    /// Where the bytes are.
    pub url: String,
    /// The page that shows them for good, `/i/{id}`.
    pub permalink: String,
    /// When the picture is removed unless it is saved before, in milliseconds since the Unix epoch; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Answer to `POST /api/v1/jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobCreated {
    /// Id for `/api/v1/jobs/{id}`.
    pub id: String,
    /// The seed that will be used, drawn by the server where the request left it open.
    pub seed: u64,
}

/// State of a job: body of `GET /api/v1/jobs/{id}` and of every server-sent event named `state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Id of the job, and of its picture once there is one.
    pub id: String,
    /// What is made: defaults filled in, seed set.
    pub request: GenerationRequest,
    /// Where the job is in its life.
    pub status: JobStatus,
    /// Jobs ahead of this one, while queued.
    pub queue_position: Option<u32>,
    /// Milliseconds until the picture is likely to be there, while queued or generating and once enough is known.
    pub eta_ms: Option<u64>,
    /// Steps done.
    pub progress: Progress,
    /// Times that a worker took the job, those that handed it back unharmed not counted.
    pub attempt: u32,
    /// The stored picture, once completed.
    pub image: Option<ImageRef>,
    /// Why it failed.
    pub error: Option<Problem>,
    /// Engine and adapter that ran it, such as `rten (CPU)`, once known.
    pub backend: Option<String>,
    /// Why it is tried again only later, while it is queued for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postponed: Option<Postponed>,
}

/// Why a queued job is tried again only later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Postponed {
    /// When, in milliseconds since the Unix epoch by the server's clock.
    pub until: u64,
    /// What the latest attempt ended with.
    pub reason: Problem,
}

/// What the picture looks like so far: data of a server-sent event named `preview`. Previews are not replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobPreview {
    /// The step that it was made after.
    pub progress: Progress,
    /// A PNG as `data:` URL.
    pub image: String,
}
