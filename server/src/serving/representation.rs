//! Conditional requests and ranges (RFC 9110, 13 and 14): which answer a representation's reader gets.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::{
    ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince, LastModified,
};

/// Headers that make a request conditional or partial.
const CONDITIONS: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// Answers with `content`. `headers` describe it: its type, and what it may be recognised by.
pub fn respond(asked: (&Method, &HeaderMap), headers: HeaderMap, content: Vec<u8>) -> Response {
    let (method, request) = asked;
    let length = content.len() as u64;
    let content = Bytes::from(content);
    match Answer::to(method, request, &headers, length) {
        Answer::Part(range) => {
            let part = content.slice(*range.start() as usize..=*range.end() as usize);
            let mut response = (StatusCode::PARTIAL_CONTENT, headers, part).into_response();
            set_content_range(&mut response, Some(&range), length);
            response
        }
        Answer::Whole => {
            let mut response = (headers, content).into_response();
            accept_ranges(&mut response);
            response
        }
        other => other.without_content(headers, length),
    }
}

/// Answers `HEAD` for what is read elsewhere.
pub fn head(mut headers: HeaderMap, length: u64) -> Response {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let mut response = headers.into_response();
    accept_ranges(&mut response);
    response
}

/// A layer over services that give whole files, and ranges when asked for one: it sees to conditions, and to what is no
/// range of one file.
pub async fn of_files(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut conditions = HeaderMap::new();
    for name in CONDITIONS {
        for value in parts.headers.get_all(&name) {
            conditions.append(name.clone(), value.clone());
        }
        parts.headers.remove(name);
    }
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    if conditions.is_empty() || !reads {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let mut probe = Request::new(Body::empty());
    *probe.method_mut() = Method::HEAD;
    *probe.uri_mut() = parts.uri.clone();
    *probe.headers_mut() = parts.headers.clone();
    *probe.extensions_mut() = parts.extensions.clone();
    let found = next.clone().run(probe).await;
    let length = found.headers().typed_get::<headers::ContentLength>();
    let (StatusCode::OK, Some(headers::ContentLength(length))) = (found.status(), length) else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    match Answer::to(&parts.method, &conditions, found.headers(), length) {
        Answer::Whole => {}
        Answer::Part(range) => {
            let range = format!("bytes={}-{}", range.start(), range.end());
            if let Ok(range) = HeaderValue::try_from(range) {
                parts.headers.insert(header::RANGE, range);
            }
        }
        other => return other.without_content(found.headers().clone(), length),
    }
    next.run(Request::from_parts(parts, body)).await
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of it.
    Whole,
    /// These bytes.
    Part(RangeInclusive<u64>),
    /// Word that it has not changed.
    NotModified,
    /// Word that it is not the one that was meant.
    Failed,
    /// Word that it has no such bytes.
    Unsatisfiable,
}

impl Answer {
    /// The answer to a request for a representation of `length` bytes that `headers` describe, in the order of
    /// RFC 9110, 13.2.2.
    pub fn to(method: &Method, request: &HeaderMap, headers: &HeaderMap, length: u64) -> Self {
        let tag: Option<ETag> = headers.typed_get();
        let modified = headers.typed_get::<LastModified>().map(SystemTime::from);
        if let Some(wanted) = request.typed_get::<IfMatch>() {
            let is = match &tag {
                Some(tag) => wanted.precondition_passes(tag),
                None => wanted.is_any(),
            };
            if !is {
                return Self::Failed;
            }
        } else if let (Some(since), Some(modified)) =
            (request.typed_get::<IfUnmodifiedSince>(), modified)
            && !since.precondition_passes(modified)
        {
            return Self::Failed;
        }
        if let Some(known) = request.typed_get::<IfNoneMatch>() {
            let changed = match &tag {
                Some(tag) => known.precondition_passes(tag),
                None => known != IfNoneMatch::any(),
            };
            if !changed {
                return Self::NotModified;
            }
        } else if let (Some(since), Some(modified)) =
            (request.typed_get::<IfModifiedSince>(), modified)
            && !since.is_modified(modified)
        {
            return Self::NotModified;
        }
        if *method != Method::GET || !if_range(request, headers) {
            return Self::Whole;
        }
        match request
            .get(header::RANGE)
            .and_then(|range| range.to_str().ok())
        {
            Some(range) => one_range(range, length),
            None => Self::Whole,
        }
    }

    /// An answer that is but a status; of one with content there is none.
    pub fn without_content(self, mut headers: HeaderMap, length: u64) -> Response {
        let status = match self {
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Failed => StatusCode::PRECONDITION_FAILED,
            _ => StatusCode::RANGE_NOT_SATISFIABLE,
        };
        // They describe content that is not sent.
        for name in [
            header::CONTENT_LENGTH,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
        ] {
            headers.remove(name);
        }
        if status != StatusCode::NOT_MODIFIED {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let mut response = (status, headers).into_response();
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            set_content_range(&mut response, None, length);
        }
        response
    }
}

/// Whether a range is still wanted (RFC 9110, 13.1.5).
fn if_range(request: &HeaderMap, headers: &HeaderMap) -> bool {
    let Some(wanted) = request.get(header::IF_RANGE) else {
        return true;
    };
    let Ok(wanted) = wanted.to_str() else {
        return false;
    };
    let name = if wanted.starts_with('"') {
        header::ETAG
    } else {
        header::LAST_MODIFIED
    };
    // A weak tag is no date, and so never equal.
    headers.get(name).is_some_and(|value| value == wanted)
}

/// One range of bytes; what is none, or several, is answered with the whole (RFC 9110, 14.2).
fn one_range(header: &str, length: u64) -> Answer {
    let digits = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = header.split_once('=').and_then(|(unit, range)| {
        let (first, last) = range.trim().split_once('-')?;
        unit.trim()
            .eq_ignore_ascii_case("bytes")
            .then_some((first, last))
    });
    let (first, last) = match range {
        Some(("", suffix)) => match digits(suffix) {
            Some(0) => return Answer::Unsatisfiable,
            Some(count) => (length.saturating_sub(count), u64::MAX),
            None => return Answer::Whole,
        },
        Some((first, "")) => match digits(first) {
            Some(first) => (first, u64::MAX),
            None => return Answer::Whole,
        },
        Some((first, last)) => match (digits(first), digits(last)) {
            (Some(first), Some(last)) if first <= last => (first, last),
            _ => return Answer::Whole,
        },
        None => return Answer::Whole,
    };
    if first >= length {
        return Answer::Unsatisfiable;
    }
    Answer::Part(first..=last.min(length - 1))
}

fn set_content_range(response: &mut Response, range: Option<&RangeInclusive<u64>>, length: u64) {
    let value = match range {
        Some(range) => format!("bytes {}-{}/{length}", range.start(), range.end()),
        None => format!("bytes */{length}"),
    };
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    accept_ranges(response);
}

fn accept_ranges(response: &mut Response) {
    let bytes = HeaderValue::from_static("bytes");
    response.headers_mut().insert(header::ACCEPT_RANGES, bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DATE: &str = "Sun, 29 Nov 2026 10:00:00 GMT";
    const EARLIER: &str = "Sun, 29 Nov 2026 09:59:59 GMT";
    const LATER: &str = "Sun, 29 Nov 2026 10:00:01 GMT";

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::try_from(*value).unwrap());
        }
        map
    }

    fn answer(pairs: &[(&'static str, &str)]) -> Answer {
        let own = map(&[("etag", "\"a,b\""), ("last-modified", DATE)]);
        Answer::to(&Method::GET, &map(pairs), &own, 100)
    }

    /// RFC 9110, 13.1 and 13.2.2.
    #[test]
    fn conditions_are_met_in_their_order() {
        use Answer::{Failed, NotModified, Whole};
        for (request, expected) in [
            (vec![("if-none-match", "\"a,b\"")], NotModified),
            (vec![("if-none-match", "\"x\", W/\"a,b\"")], NotModified),
            (
                vec![("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")],
                NotModified,
            ),
            (vec![("if-none-match", "*")], NotModified),
            (vec![("if-none-match", "\"a\", \"b\"")], Whole),
            (vec![("if-modified-since", DATE)], NotModified),
            (vec![("if-modified-since", LATER)], NotModified),
            (vec![("if-modified-since", EARLIER)], Whole),
            (vec![("if-modified-since", "yesterday")], Whole),
            (
                vec![("if-none-match", "\"x\""), ("if-modified-since", LATER)],
                Whole,
            ),
            (vec![("if-match", "\"a,b\"")], Whole),
            (vec![("if-match", "*")], Whole),
            (vec![("if-match", "\"x\"")], Failed),
            (vec![("if-match", "W/\"a,b\"")], Failed),
            (
                vec![("if-match", "\"x\""), ("if-none-match", "\"a,b\"")],
                Failed,
            ),
            (vec![("if-unmodified-since", DATE)], Whole),
            (vec![("if-unmodified-since", EARLIER)], Failed),
            (
                vec![("if-match", "\"a,b\""), ("if-unmodified-since", EARLIER)],
                Whole,
            ),
        ] {
            assert_eq!(answer(&request), expected, "{request:?}");
        }
        let nameless = Answer::to(&Method::GET, &map(&[("if-match", "\"x\"")]), &map(&[]), 1);
        assert_eq!(nameless, Failed);
        let nameless = map(&[("if-none-match", "\"x\"")]);
        assert_eq!(Answer::to(&Method::GET, &nameless, &map(&[]), 1), Whole);
    }

    /// RFC 9110, 14.1.2, of a representation of 100 bytes.
    #[test]
    fn a_range_is_one_within_the_bytes_that_there_are() {
        use Answer::{Part, Unsatisfiable, Whole};
        for (range, expected) in [
            ("bytes=0-0", Part(0..=0)),
            ("bytes=0-7", Part(0..=7)),
            ("bytes=007-9", Part(7..=9)),
            ("Bytes=5-", Part(5..=99)),
            ("bytes=-5", Part(95..=99)),
            ("bytes=-1000", Part(0..=99)),
            ("bytes=99-1000", Part(99..=99)),
            ("bytes=0-99999999999999999999999", Part(0..=99)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-4", Whole),
            ("bytes=-", Whole),
            ("bytes=a-5", Whole),
            ("bytes=1--5", Whole),
            ("bytes=+1-5", Whole),
            ("bytes 0-5", Whole),
            ("items=0-5", Whole),
            ("bytes=0-1,5-6", Whole),
            ("", Whole),
        ] {
            assert_eq!(answer(&[("range", range)]), expected, "{range}");
        }
        let none = Answer::to(&Method::GET, &map(&[("range", "bytes=0-")]), &map(&[]), 0);
        assert_eq!(none, Unsatisfiable);
        // Only GET has ranges.
        let head = Answer::to(
            &Method::HEAD,
            &map(&[("range", "bytes=0-5")]),
            &map(&[]),
            100,
        );
        assert_eq!(head, Whole);
    }

    #[test]
    fn a_range_of_what_has_changed_is_not_given() {
        for (tag, part) in [
            ("\"a,b\"", true),
            (DATE, true),
            ("\"x\"", false),
            ("W/\"a,b\"", false),
            (EARLIER, false),
            (LATER, false),
            ("x", false),
        ] {
            let expected = if part {
                Answer::Part(0..=5)
            } else {
                Answer::Whole
            };
            let request = [("range", "bytes=0-5"), ("if-range", tag)];
            assert_eq!(answer(&request), expected, "{tag}");
        }
        let failed = [("range", "bytes=500-"), ("if-match", "\"x\"")];
        assert_eq!(answer(&failed), Answer::Failed);
    }
}
