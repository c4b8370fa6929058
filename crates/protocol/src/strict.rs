//! Strict reading where the public API takes a body; what is stored or queued is read tolerantly, so that an older
//! version can read what a newer one wrote.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Reads a `T` and refuses members that it does not have, at any depth. `T` must write every member that it reads.
///
/// # Errors
/// Those of `T`, and the path of the first unknown member.
pub fn read<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Serialize,
{
    from_value(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// As [`read`], of a value that is read already.
///
/// # Errors
/// As [`read`].
pub fn from_value<T: DeserializeOwned + Serialize>(value: &Value) -> Result<T, String> {
    let read = T::deserialize(value).map_err(|e| e.to_string())?;
    let known = serde_json::to_value(&read).map_err(|e| e.to_string())?;
    match unknown_member(value, &known) {
        Some(path) => Err(format!("unknown field `{path}`")),
        None => Ok(read),
    }
}

fn unknown_member(value: &Value, known: &Value) -> Option<String> {
    let (Value::Object(members), Value::Object(known)) = (value, known) else {
        return None;
    };
    members
        .iter()
        .find_map(|(name, member)| match known.get(name) {
            None => Some(name.chars().take(80).collect()),
            Some(known) => unknown_member(member, known).map(|inner| format!("{name}.{inner}")),
        })
}
