//! What is known of an object.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Version of what is written. Readers ignore members that they do not know.
pub const FORMAT: u32 = 2;

/// An object without its bytes, as it is kept in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// MD5 in hexadecimal: the ETag.
    pub md5: String,
    /// Milliseconds since the Unix epoch.
    pub modified_at: u64,
    /// Name of the file with the bytes; absent: they are in the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// SHA-256 in Base64, where the sender named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What is sent back with the bytes.
    #[serde(flatten)]
    pub headers: Headers,
}

/// Headers of an upload that downloads repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `x-amz-meta-…`.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub metadata: HashMap<String, String>,
}

impl Entry {
    /// When the object was written.
    pub fn modified(&self) -> SystemTime {
        at(self.modified_at)
    }
}

/// A time from milliseconds since the Unix epoch.
pub fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// Milliseconds since the Unix epoch.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn members_of_a_later_version_are_ignored() {
        let json = r#"{"format":3,"bytes":1,"md5":"0cc175b9c0f1b6a831c399e269772661","modified_at":1000,
            "content_type":"image/png","colour":"red"}"#;
        let entry: Entry = serde_json::from_str(json).unwrap();
        assert_eq!(entry.modified(), UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(entry.headers.content_type.as_deref(), Some("image/png"));
    }
}
