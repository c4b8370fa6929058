//! Stored pictures and how they get there.

use serde::{Deserialize, Serialize};

use crate::generation::GenerationRequest;

/// The only picture type that the hub stores.
pub const PNG_MIME: &str = "image/png";

/// Everything needed to make a picture again, and where it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The request, with every default filled in.
    pub request: GenerationRequest,
    /// [`crate::ModelSummary::weights_digest`] of the package that made it; empty where an endpoint elsewhere did.
    pub weights_digest: String,
    /// Scheduler, such as `flow-match-euler`; empty where unknown.
    pub scheduler: String,
    /// Engine, such as `onnx-gpu (WebGPU)` or `rten (CPU)`.
    pub backend: String,
    /// Adapter or processor as the platform names it; may be empty.
    pub adapter: String,
    /// `browser` or `server`.
    pub place: String,
    /// Wall-clock time of the generation in milliseconds, weights already loaded.
    pub duration_ms: u64,
}

/// Body of `POST /api/v1/uploads`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// SHA-256 of the file, 64 lower-case hex digits.
    pub sha256: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Media type; only [`PNG_MIME`] is accepted.
    pub content_type: String,
    /// How the picture was made.
    pub recipe: Recipe,
}

/// Answer to `POST /api/v1/uploads`: what to send to the store, to the letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadTicket {
    /// Id for `POST /api/v1/uploads/{id}/commit`, and of the permalink afterwards.
    pub id: String,
    /// `PUT`.
    pub method: String,
    /// Presigned URL.
    pub url: String,
    /// Headers that the signature covers; the request must carry each of them unchanged.
    pub headers: Vec<(String, String)>,
    /// Seconds until the URL expires.
    pub expires_in: u64,
    /// The store holds these bytes already: skip the PUT and commit.
    pub already_stored: bool,
}

/// A listed picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageRecord {
    /// Id of the permalink `/i/{id}`.
    pub id: String,
    /// SHA-256 of the PNG in hex.
    pub sha256: String,
    /// Length of the PNG in bytes.
    pub bytes: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Milliseconds since the Unix epoch.
    pub created_at: u64,
    /// How the picture was made.
    pub recipe: Recipe,
    /// Where the bytes are served.
    pub url: String,
    /// `/i/{id}`.
    pub permalink: String,
}

/// One page of the gallery, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GalleryPage {
    /// Pictures of this page.
    pub items: Vec<ImageRecord>,
    /// Cursor of the next page, absent on the last one.
    pub next_cursor: Option<String>,
}

/// 64 lower-case hex digits?
pub fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
