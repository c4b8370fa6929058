//! Licences in plain words.

use serde::{Deserialize, Serialize};

/// A licence of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct License {
    /// SPDX expression, or the hub's identifier, such as `creativeml-openrail-m`.
    pub id: String,
    /// Full name; the same as `id` where no other is known.
    pub name: String,
    /// Its text.
    #[serde(default)]
    pub url: Option<String>,
    /// What it lets people do, as far as this hub knows the licence.
    #[serde(default)]
    pub permits: LicenseUse,
    /// Duties and limits, one sentence each; absent: this hub does not know the licence, so read its text.
    #[serde(default)]
    pub limits: Option<Vec<String>>,
}

/// What a licence is about to be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LicenseUse {
    /// Anything, commerce too.
    Any,
    /// Commerce too, but not the uses that it lists.
    Restricted,
    /// Nothing commercial, or commerce only under further terms.
    NonCommercial,
    /// Not known here.
    #[default]
    Unknown,
}
