//! Stored pictures and how they get there.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /api/v1/uploads` | [`UploadRequest`] → 201 [`UploadTicket`]; sets the owner cookie where there is none |
//! | `POST /api/v1/uploads/{id}/commit` | verifies, lists → [`ImageRecord`]; only for the client that announced it |
//! | `GET /api/v1/images?…` | [`GalleryQuery`] → [`GalleryPage`], newest first |
//! | `GET /api/v1/images/{id}`, `GET /i/{id}` with `Accept: application/json` | [`ImageRecord`] |
//! | `PATCH /api/v1/images/{id}` | [`ImageChange`] → [`ImageRecord`]; its owner only |
//! | `DELETE /api/v1/images/{id}` | 204; its owner only |
//! | `GET /api/v1/images/export` | a zip of the visitor's own pictures and their records |
//! | `GET /images/{sha256}.png[?download=NAME]` | redirect to the PNG in the store; with `download` it is saved as NAME |
//! | `GET /thumbnails/{sha256}.webp` | the small picture |
//!
//! The owner is an anonymous cookie (`HttpOnly`, `SameSite=Lax`) of random bytes; records keep only its hash, and no
//! answer shows that. `mine` in an answer says whether the cookie of the request is the owner's.

use serde::{Deserialize, Serialize};

use crate::generation::GenerationRequest;

/// The only picture type that the hub stores.
pub const PNG_MIME: &str = "image/png";

/// Media type of thumbnails.
pub const THUMBNAIL_MIME: &str = "image/webp";
/// Longest side of a thumbnail in pixels.
pub const THUMBNAIL_SIDE: u32 = 320;

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
    /// How the picture was made. A PNG is listed only if the recipe inside it is the same.
    pub recipe: Recipe,
    /// Keep the picture out of the gallery: only who has its permalink sees it.
    #[serde(default)]
    pub unlisted: bool,
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
    /// The small picture; absent where the picture itself is small enough to stand for it, and for old records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<Thumbnail>,
    /// Not in the gallery, except in its owner's own list.
    #[serde(default)]
    pub unlisted: bool,
    /// Whether the client that asks is the owner, who may change and delete it.
    #[serde(default)]
    pub mine: bool,
}

impl ImageRecord {
    /// Address of the picture to show in lists.
    pub fn thumbnail_url(&self) -> &str {
        self.thumbnail.as_ref().map_or(&self.url, |t| &t.url)
    }
}

/// A small WebP of a picture, its longer side at most [`THUMBNAIL_SIDE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Thumbnail {
    /// Where it is served.
    pub url: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Body of `PATCH /api/v1/images/{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImageChange {
    /// Keep the picture out of the gallery, or put it back in.
    pub unlisted: bool,
}

/// What to list: the query string of `GET /api/v1/images`. Filters add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GalleryQuery {
    /// [`GalleryPage::next_cursor`] of the page before; absent: the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Pictures on the page, 1 to 60; absent: 24.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only of this model, `owner/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Only of models by this creator, the part of a model's id before the slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// Only the visitor's own, unlisted ones included.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mine: bool,
}

impl GalleryQuery {
    /// Names and values of the query string, not yet percent-encoded.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        for (name, value) in [
            ("cursor", &self.cursor),
            ("model", &self.model),
            ("creator", &self.creator),
        ] {
            if let Some(value) = value {
                pairs.push((name, value.clone()));
            }
        }
        if let Some(limit) = self.limit {
            pairs.push(("limit", limit.to_string()));
        }
        if self.mine {
            pairs.push(("mine", "true".to_owned()));
        }
        pairs
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_of_the_first_version_still_read() {
        let record: ImageRecord = serde_json::from_str(
            r#"{"id":"7","sha256":"ab","bytes":1,"width":64,"height":64,"created_at":5,"recipe":{"request":
            {"model":"a/b","prompt":"p","negative_prompt":"","seed":1,"num_inference_steps":8,"guidance_scale":3.0},
            "weights_digest":"","scheduler":"","backend":"","adapter":"","place":"server","duration_ms":1},
            "url":"/images/ab.png","permalink":"/i/7"}"#,
        )
        .unwrap();
        assert!(!record.unlisted && !record.mine);
        assert_eq!(record.thumbnail_url(), "/images/ab.png");
    }

    #[test]
    fn a_query_names_what_is_set() {
        assert_eq!(GalleryQuery::default().pairs(), []);
        let query = GalleryQuery {
            cursor: Some("c".into()),
            limit: Some(2),
            model: Some("a/b".into()),
            creator: Some("a".into()),
            mine: true,
        };
        let json = serde_json::to_value(&query).unwrap();
        for (name, value) in query.pairs() {
            let found = &json[name];
            let text = found
                .as_str()
                .map_or_else(|| found.to_string(), str::to_owned);
            assert_eq!(text, value, "{name}");
        }
        assert_eq!(query.pairs().len(), 5);
    }
}
