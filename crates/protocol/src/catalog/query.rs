//! What a search asks for.

use serde::{Deserialize, Serialize};

use crate::capability::RunsOn;

use super::LicenseUse;

/// Models on a page where a query leaves it open.
pub const DEFAULT_PAGE: u32 = 24;
/// Most models on a page.
pub const MAX_PAGE: u32 = 60;

/// Query string of `GET /api/v1/models/search`; every member is optional and narrows the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default)]
pub struct ModelQuery {
    /// Words in the model's identifier or name; at most 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only models of this creator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only models that run on this hub: in browsers, or on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<RunsOn>,
    /// Only models under this licence, an SPDX or hub identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Only models whose licence is known to permit this much: `any`, `restricted` (or more) or `non_commercial` (or more).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits: Option<LicenseUse>,
    /// Only models known to have at most this many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Only models known to need no GPU buffer larger than this: the smaller of the visitor's `maxBufferSize` and
    /// `maxStorageBufferBindingSize`, which makes `runs=browser` mean "in my browser".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_buffer_size: Option<u64>,
    /// Models on a page, 1 to [`MAX_PAGE`]; absent: [`DEFAULT_PAGE`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
