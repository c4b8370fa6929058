//! Stored pictures and how they get there.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /api/v1/uploads` | [`UploadRequest`] → 201 [`UploadTicket`]; sets the owner cookie where there is none |
//! | `POST /api/v1/uploads/{id}/commit` | verifies, lists → [`ImageRecord`]; only for the client that announced it |
//! | `GET /api/v1/images?…` | [`GalleryQuery`] → [`GalleryPage`], newest first |
//! | `GET /api/v1/images/{id}`, `GET /i/{id}` with `Accept: application/json` | [`ImageRecord`] |
//! | `PATCH /api/v1/images/{id}` | [`ImageChange`] → [`ImageRecord`]; its owner only |
//! | `POST /api/v1/images/{id}/reports` | [`ReportRequest`] → 202; anybody who sees the picture |
//! | `DELETE /api/v1/images/{id}` | 204; its owner only |
//! | `GET /api/v1/images/export` | a zip of the visitor's own pictures and their records |
//! | `GET /images/{sha256}.png[?download=NAME]` | redirect to the PNG in the store; with `download` it is saved as NAME |
//! | `GET /thumbnails/{sha256}.webp` | the small picture |
//!
//! The owner is an anonymous cookie (`HttpOnly`, `SameSite=Lax`) of random bytes; records keep only its hash, and no
//! answer shows that. `mine` in an answer says whether the cookie of the request is the owner's.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::capability::RunsOn;
use crate::generation::GenerationRequest;
use crate::lora::UsedLora;
use crate::start::MaskBy;
use crate::upscale::UsedUpscaler;

/// The only picture type that the hub stores.
pub const PNG_MIME: &str = "image/png";

/// Media type of thumbnails.
pub const THUMBNAIL_MIME: &str = "image/webp";
/// Longest side of a thumbnail in pixels.
pub const THUMBNAIL_SIDE: u32 = 320;

/// Who sees a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Its owner alone.
    Private,
    /// Who has its permalink.
    Unlisted,
    /// Everybody: it is in the gallery.
    Listed,
}

/// Records of hubs that knew no private pictures do not say.
fn listed() -> Visibility {
    Visibility::Listed
}

/// Everything needed to make a picture again, and where it was made.
///
/// It is part of what is stored, so unknown members are passed over; an [`UploadRequest`] refuses them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// The picture that it began with; absent where it began with noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartOf>,
    /// The LoRAs in it; the prompt has their tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<UsedLora>,
    /// The network that made it larger; absent where it is as its model made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upscaler: Option<UsedUpscaler>,
    /// Where it was made.
    pub place: RunsOn,
    /// Wall-clock time of the generation in milliseconds, weights already loaded; what made the picture larger is not counted.
    pub duration_ms: u64,
}

/// What a recipe says of the picture that another began with: whoever has the file can make the picture again, and nobody
/// learns from the recipe what it shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartOf {
    /// SHA-256 of the file, 64 lower-case hex digits.
    pub sha256: String,
    /// How much of the way from noise was gone, 0 to 1.
    pub strength: f32,
    /// SHA-256 of the file of the mask, where a part was made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_sha256: Option<String>,
    /// What said in the mask where; absent: light did.
    #[serde(default, skip_serializing_if = "MaskBy::is_usual")]
    pub mask_by: MaskBy,
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
    #[serde(deserialize_with = "crate::strict::recipe")]
    pub recipe: Recipe,
    /// Keep the picture out of the gallery: only who has its permalink sees it. `visibility` says the same, and more.
    #[serde(default)]
    pub unlisted: bool,
    /// Who is to see the picture; absent: as `unlisted` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

impl UploadRequest {
    /// Who is to see the picture.
    pub fn visibility(&self) -> Visibility {
        self.visibility.unwrap_or(if self.unlisted {
            Visibility::Unlisted
        } else {
            Visibility::Listed
        })
    }
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

/// A stored picture.
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
    /// Not in the gallery, except in its owner's own list: `visibility` is not `listed`.
    #[serde(default)]
    pub unlisted: bool,
    /// Who sees it.
    #[serde(default = "listed")]
    pub visibility: Visibility,
    /// When it is removed unless it is saved before, in milliseconds since the Unix epoch; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
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

/// Body of `PATCH /api/v1/images/{id}`: `{"visibility": …}`, which also keeps a picture that would expire.
///
/// `{"unlisted": true}` stands for `unlisted`, and `{"unlisted": false}` for `listed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageChange {
    /// Who is to see the picture from now on.
    pub visibility: Visibility,
}

impl<'de> Deserialize<'de> for ImageChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            visibility: Option<Visibility>,
            unlisted: Option<bool>,
        }
        let body = Body::deserialize(deserializer)?;
        let visibility = match (body.visibility, body.unlisted) {
            (Some(visibility), None) => visibility,
            (None, Some(true)) => Visibility::Unlisted,
            (None, Some(false)) => Visibility::Listed,
            (None, None) => return Err(D::Error::missing_field("visibility")),
            (Some(_), Some(_)) => {
                return Err(D::Error::custom("give visibility or unlisted, not both"));
            }
        };
        Ok(Self { visibility })
    }
}

/// Longest comment of a report, in Unicode scalar values.
pub const MAX_REPORT_COMMENT: usize = 1_000;

/// Body of `POST /api/v1/images/{id}/reports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// What is wrong with the picture.
    pub reason: ReportReason,
    /// In the reporter's own words, at most [`MAX_REPORT_COMMENT`] characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 1000))]
    pub comment: String,
}

/// What is wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReportReason {
    /// Against the law.
    Illegal,
    /// Sexual.
    Sexual,
    /// Violent or hateful.
    Violent,
    /// Shows or names a real person who did not agree.
    Personal,
    /// Somebody else's work.
    Copyright,
    /// Advertising, or the same picture over and over.
    Spam,
    /// Something else: the comment says what.
    Other,
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
        assert_eq!(record.visibility, Visibility::Listed);
        assert_eq!(record.thumbnail_url(), "/images/ab.png");
    }

    const RECIPE: &str = r#"{"request":{"model":"a/b","prompt":"p","seed":1,"later":2},"weights_digest":"",
        "scheduler":"","backend":"","adapter":"","place":"server","duration_ms":1,"newer":{"x":[1]}}"#;

    #[test]
    fn what_is_stored_may_say_more_and_what_is_sent_may_not() {
        let recipe: Recipe = serde_json::from_str(RECIPE).unwrap();
        assert_eq!(recipe.request.prompt, "p");
        let upload = |recipe: &str| {
            let json = format!(
                r#"{{"sha256":"ab","bytes":1,"content_type":"image/png","recipe":{recipe}}}"#
            );
            serde_json::from_str::<UploadRequest>(&json).map_err(|e| e.to_string())
        };
        let outer = RECIPE.replace(r#","later":2"#, "");
        let refused = upload(&outer).unwrap_err();
        assert!(refused.contains("unknown field `newer`"), "{refused}");
        let inner = RECIPE.replace(r#","newer":{"x":[1]}"#, "");
        let refused = upload(&inner).unwrap_err();
        assert!(refused.contains("unknown field `later`"), "{refused}");
        let exact = upload(&inner.replace(r#","later":2"#, "")).unwrap();
        assert_eq!(exact.recipe, recipe);
        assert_eq!(exact.visibility(), Visibility::Listed);
    }

    #[test]
    fn a_change_says_one_thing() {
        let read = |json: &str| {
            serde_json::from_str::<ImageChange>(json)
                .map(|c| c.visibility)
                .ok()
        };
        for (json, expected) in [
            (r#"{"visibility":"private"}"#, Some(Visibility::Private)),
            (r#"{"visibility":"unlisted"}"#, Some(Visibility::Unlisted)),
            (r#"{"visibility":"listed"}"#, Some(Visibility::Listed)),
            (r#"{"unlisted":true}"#, Some(Visibility::Unlisted)),
            (r#"{"unlisted":false}"#, Some(Visibility::Listed)),
            (r#"{"visibility":"hidden"}"#, None),
            (r#"{"unlisted":true,"visibility":"private"}"#, None),
            (r#"{"listed":true}"#, None),
            ("{}", None),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
        let change = ImageChange {
            visibility: Visibility::Private,
        };
        assert_eq!(
            serde_json::to_string(&change).unwrap(),
            r#"{"visibility":"private"}"#
        );
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
