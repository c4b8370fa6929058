//! Whether a request comes from a page of this hub.

use axum::http::{HeaderMap, header};

/// What a browser says of where a request comes from (Fetch Metadata); it is not sent to addresses without encryption other than this
/// machine's.
const FETCH_SITE: &str = "sec-fetch-site";

/// Whether a browser says that the request comes from the hub's own pages. Who says nothing of it is no browser, and needs no
/// cookie.
pub(super) fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    if let Some(site) = text(FETCH_SITE) {
        return site == "same-origin";
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else {
        return false;
    };
    let asked = text(header::HOST.as_str()).unwrap_or_default();
    let host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    origin == public_url || host.is_some_and(|host| !host.is_empty() && host == asked)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn own(pairs: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        is_own(&headers, "https://hub.example")
    }

    #[test]
    fn other_pages_and_silence_are_refused() {
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[
            ("origin", "https://hub.example"),
            ("host", "inside:3000")
        ]));
        assert!(own(&[
            ("origin", "http://10.0.0.1:3000"),
            ("host", "10.0.0.1:3000")
        ]));
        for pairs in [
            &[][..],
            &[("host", "hub.example")],
            &[
                ("sec-fetch-site", "same-site"),
                ("origin", "https://hub.example"),
            ],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", "null"), ("host", "null")],
            &[("origin", "https://evil.example"), ("host", "hub.example")],
            &[
                ("origin", "https://hub.example.evil.example"),
                ("host", "hub.example"),
            ],
            &[("origin", "https://"), ("host", "")],
        ] {
            assert!(!own(pairs), "{pairs:?}");
        }
    }
}
