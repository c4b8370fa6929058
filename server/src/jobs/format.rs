//! Numbers of the formats in which jobs are kept and queued.
//!
//! Whatever lies in a queue is read by other versions of the hub: during a rolling upgrade, after one, after going back.
//! A member that this version does not know is ignored, so adding one needs no new number; a change that older versions
//! would misread does.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// The format that this version writes, but for [`WITH_START`].
pub const FORMAT: u32 = 2;
/// The format of jobs that begin with a picture: versions that know none would make another picture.
pub const WITH_START: u32 = 3;
/// The newest format that this version reads.
pub const NEWEST: u32 = WITH_START;

/// The format of what carries no number.
pub fn first() -> u32 {
    1
}

/// Why something kept or queued cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A newer version wrote it, in a format that this one does not know.
    #[error("it is of format {0}; this version reads up to {NEWEST}")]
    Newer(u32),
    /// It is not what it should be.
    #[error("{0}")]
    Damaged(String),
}

#[derive(Deserialize)]
struct Numbered {
    #[serde(default = "first")]
    format: u32,
}

/// Reads JSON that was kept or queued.
///
/// # Errors
/// [`Unreadable`].
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Unreadable> {
    let damaged = |error: serde_json::Error| Unreadable::Damaged(error.to_string());
    let Numbered { format } = serde_json::from_slice(json).map_err(damaged)?;
    if format > NEWEST {
        return Err(Unreadable::Newer(format));
    }
    serde_json::from_slice(json).map_err(damaged)
}

/// For `#[serde(deserialize_with)]`: a member that a job can do without is left out where it makes no sense here.
///
/// # Errors
/// When it is no JSON at all.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Thing {
        name: String,
    }

    #[test]
    fn what_is_older_or_has_more_members_is_read_and_what_is_newer_is_named() {
        let thing = Ok(Thing { name: "a".into() });
        for json in [
            r#"{"name":"a"}"#,
            r#"{"format":1,"name":"a"}"#,
            r#"{"format":2,"name":"a"}"#,
            r#"{"format":3,"name":"a"}"#,
            r#"{"format":2,"name":"a","added_later":{"b":[1]}}"#,
        ] {
            assert_eq!(read::<Thing>(json.as_bytes()), thing, "{json}");
        }
        // The number alone decides: what else is in there need not make sense here.
        assert_eq!(
            read::<Thing>(br#"{"format":4,"title":"a"}"#),
            Err(Unreadable::Newer(4))
        );
        for json in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"name":1}"#,
            r#"{"format":"2","name":"a"}"#,
        ] {
            let read = read::<Thing>(json.as_bytes());
            assert!(matches!(read, Err(Unreadable::Damaged(_))), "{json}");
        }
    }
}
