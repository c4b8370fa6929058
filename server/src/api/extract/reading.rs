//! Bodies and query strings as values, or the name of the member that is wrong.

use protocol::strict::Object;
use protocol::{Problem, ProblemCode};
use serde::Deserializer;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

/// Most characters of a detail that may quote the request.
const MAX_DETAIL: usize = 300;
/// Most characters of a member's name, which is the client's.
const MAX_NAME: usize = 80;

/// Reads an object.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = read(Object(&mut json))?;
    json.end().map_err(|error| malformed(&error.to_string()))?;
    Ok(value)
}

/// Reads a query string, without its question mark.
pub fn query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    read(serde_urlencoded::Deserializer::new(pairs))
}

fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(from: D) -> Result<T, Problem> {
    serde_path_to_error::deserialize(from).map_err(|error| {
        // `.` is the whole, `?` a member whose name could not be read.
        let path = error.path().to_string();
        let path = Some(path).filter(|path| !matches!(path.as_str(), "." | "?"));
        let reason = error.inner().to_string();
        let mut problem = match &path {
            Some(path) => malformed(&format!("{path}: {reason}")),
            None => malformed(&reason),
        };
        problem.field = member(path, &reason).map(Into::into);
        problem
    })
}

/// The member that is wrong: the one in which reading stopped, or the one in it that is missing or there twice.
fn member(path: Option<String>, reason: &str) -> Option<String> {
    let named = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| reason.strip_prefix(start)?.split('`').next());
    let name = match (path, named) {
        (Some(path), Some(name)) => format!("{path}.{name}"),
        (Some(path), None) => path,
        (None, Some(name)) => name.to_owned(),
        (None, None) => return None,
    };
    Some(name.chars().take(MAX_NAME).collect())
}

fn malformed(reason: &str) -> Problem {
    // It may quote the body.
    let detail: String = reason.chars().take(MAX_DETAIL).collect();
    Problem::new(ProblemCode::MalformedRequest, detail)
}

#[cfg(test)]
mod tests;
