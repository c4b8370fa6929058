//! What a reader makes the answer depend on.

use std::time::{Duration, SystemTime};

use s3s::dto::{ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};

use crate::storage::embedded::entry::{Entry, at};

/// RFC 9110, 13.2.2.
pub struct ReadConditions {
    pub if_match: Option<ETagCondition>,
    pub if_unmodified_since: Option<Timestamp>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<Timestamp>,
}

impl ReadConditions {
    pub fn check(&self, entry: &Entry) -> S3Result<()> {
        // Times in headers have whole seconds.
        let seconds = entry.modified_at / 1000 * 1000;
        let modified = at(seconds);
        let later_than = |time: &Timestamp| modified > to_system(time);
        let is = |condition: &ETagCondition, strong: bool| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) if strong => tag.as_strong() == Some(&entry.md5),
            ETagCondition::ETag(tag) => tag.value() == entry.md5,
        };
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !is(wanted, true) => return Err(s3_error!(PreconditionFailed)),
            (None, Some(time)) if later_than(time) => return Err(s3_error!(PreconditionFailed)),
            _ => {}
        }
        let unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(known), _) => is(known, false),
            (None, Some(time)) => !later_than(time),
            (None, None) => false,
        };
        if !unchanged {
            return Ok(());
        }
        let mut error = s3_error!(NotModified);
        let tag = http::HeaderValue::try_from(format!("\"{}\"", entry.md5));
        error.set_headers(
            tag.into_iter()
                .map(|tag| (http::header::ETAG, tag))
                .collect(),
        );
        Err(error)
    }
}

/// A header's time; one that cannot be told is the oldest.
fn to_system(time: &Timestamp) -> SystemTime {
    let mut text = Vec::new();
    let written = time.format(TimestampFormat::EpochSeconds, &mut text);
    let text = written.ok().and_then(|()| String::from_utf8(text).ok());
    let seconds = text.and_then(|text| text.split('.').next()?.parse().ok());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or(0))
}
