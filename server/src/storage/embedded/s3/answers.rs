//! What answers say of an object.

use s3s::dto::{ETag, Timestamp};

use crate::storage::embedded::entry::Entry;

pub fn e_tag(entry: &Entry) -> ETag {
    ETag::Strong(entry.md5.clone())
}

pub fn modified(entry: &Entry) -> Timestamp {
    entry.modified().into()
}

pub fn length(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok()
}

/// What the answers to `GetObject` and `HeadObject` have in common, two types of the same members.
macro_rules! described {
    ($output:ident, $entry:expr) => {
        $output {
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some($crate::storage::embedded::s3::answers::e_tag(&$entry)),
            last_modified: Some($crate::storage::embedded::s3::answers::modified(&$entry)),
            content_type: $entry.headers.content_type,
            content_encoding: $entry.headers.content_encoding,
            content_disposition: $entry.headers.content_disposition,
            content_language: $entry.headers.content_language,
            cache_control: $entry.headers.cache_control,
            metadata: Some($entry.headers.metadata).filter(|metadata| !metadata.is_empty()),
            ..Default::default()
        }
    };
}

/// The conditions of the two requests.
macro_rules! read_conditions {
    ($input:expr) => {
        $crate::storage::embedded::s3::conditions::ReadConditions {
            if_match: $input.if_match,
            if_unmodified_since: $input.if_unmodified_since,
            if_none_match: $input.if_none_match,
            if_modified_since: $input.if_modified_since,
        }
    };
}
