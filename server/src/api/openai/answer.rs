//! What the OpenAI images API answers.

use serde::Serialize;
use utoipa::ToSchema;

/// The pictures of a request.
#[derive(Serialize, ToSchema)]
pub struct ImagesResponse {
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// One per picture, in the order of their seeds.
    pub data: Vec<Image>,
    /// `opaque`.
    pub background: &'static str,
    /// `png`.
    pub output_format: &'static str,
    /// Width and height in pixels, such as `64x64`.
    pub size: String,
}

/// A picture: its bytes, its address or both, as `response_format` asked.
#[derive(Serialize, ToSchema)]
pub struct Image {
    /// The PNG in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b64_json: Option<String>,
    /// Where the PNG is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Data of a server-sent event; the event's name is `type`.
#[derive(Serialize, ToSchema)]
pub struct StreamEvent {
    /// `image_generation.partial_image` or `image_generation.completed`; of edits `image_edit.…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A PNG in base64; a partial one may have fewer pixels.
    pub b64_json: String,
    /// Seconds since the Unix epoch.
    pub created_at: u64,
    /// Width and height of the finished picture in pixels, such as `64x64`.
    pub size: String,
    /// `auto`.
    pub quality: &'static str,
    /// `opaque`.
    pub background: &'static str,
    /// `png`.
    pub output_format: &'static str,
    /// Number of the partial picture, from 0; absent on the finished one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial_image_index: Option<u32>,
    /// Only on the finished picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Tokens used; this hub counts none, so all are 0.
#[derive(Default, Serialize, ToSchema)]
pub struct Usage {
    /// 0.
    pub total_tokens: u32,
    /// 0.
    pub input_tokens: u32,
    /// 0.
    pub output_tokens: u32,
    /// All 0.
    pub input_tokens_details: TokenDetails,
}

/// Tokens by kind.
#[derive(Default, Serialize, ToSchema)]
pub struct TokenDetails {
    /// 0.
    pub text_tokens: u32,
    /// 0.
    pub image_tokens: u32,
}

/// An error as OpenAI words it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// An error's parts.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// A sentence, and a way out.
    pub message: String,
    /// Class of errors.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Field of the request that is wrong.
    pub param: Option<String>,
    /// Stable code.
    pub code: String,
}
