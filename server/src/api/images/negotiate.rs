//! `/i/{id}` is a page for people and a record for programs.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Hub, Path, Visitor};

/// Answers with the record where the client prefers JSON; everything else goes on to the page.
pub async fn record_or_page(State(hub): State<Hub>, request: Request, next: Next) -> Response {
    let Some(id) = permalink_id(request.uri().path()).map(str::to_owned) else {
        return next.run(request).await;
    };
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let mut response = if reads && prefers_json(request.headers()) {
        let (mut parts, _) = request.into_parts();
        let Ok(visitor) = Visitor::from_request_parts(&mut parts, &hub).await;
        super::show(State(hub), visitor, parts.headers, Path(id))
            .await
            .into_response()
    } else {
        next.run(request).await
    };
    let vary = HeaderValue::from_static("accept, cookie");
    response.headers_mut().insert(header::VARY, vary);
    response
}

fn permalink_id(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/i/")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// Whether `Accept` (RFC 9110, 12.5.1) weighs `application/json` above `text/html`.
fn prefers_json(headers: &HeaderMap) -> bool {
    let accepted: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .collect();
    weight(&accepted, "application", "json") > weight(&accepted, "text", "html")
}

/// Quality of a type in thousandths, by the most specific range that covers it.
fn weight(accepted: &[&str], kind: &str, subtype: &str) -> u32 {
    let mut best = (0, 0);
    for range in accepted {
        let mut fields = range.split(';').map(str::trim);
        let name = fields.next().unwrap_or_default().to_ascii_lowercase();
        let specific = match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((k, "*")) if k == kind => 2,
            Some((k, s)) if k == kind && s == subtype => 3,
            _ => continue,
        };
        let quality = fields
            .find_map(|field| field.strip_prefix("q="))
            .map_or(Some(1.0), |q| q.parse::<f32>().ok())
            .map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32);
        best = best.max((specific, quality));
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_those_who_prefer_it() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, json) in [
            ("application/json", true),
            ("application/json, text/html;q=0.9", true),
            ("application/*", true),
            ("text/html;q=0.5, application/json;q=0.6", true),
            (browser, false),
            ("*/*", false),
            ("", false),
            ("text/html, application/json", false),
            ("application/json;q=0, text/html", false),
            ("application/json;q=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_json(&headers), json, "{accept}");
        }
        assert!(!prefers_json(&HeaderMap::new()));
    }

    #[test]
    fn only_permalinks_are_looked_at() {
        assert_eq!(permalink_id("/i/7abc"), Some("7abc"));
        for path in ["/", "/i/", "/i/a/b", "/images/a"] {
            assert_eq!(permalink_id(path), None, "{path}");
        }
    }
}
