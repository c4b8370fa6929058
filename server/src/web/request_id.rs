//! `x-request-id`: the proxy's, where it is one, else the hub's own.

use axum::extract::Request;
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::Response;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over, in bytes.
const MAX_BYTES: usize = 128;

/// Drops an id that does not belong into logs and headers, so that a new one is made.
pub async fn only_plain(mut request: Request, next: Next) -> Response {
    let mut given = request.headers().get_all(HEADER).iter();
    let plain = match (given.next(), given.next()) {
        (Some(id), None) => is_plain(id.as_bytes()),
        _ => false,
    };
    if !plain {
        request.headers_mut().remove(HEADER);
    }
    next.run(request).await
}

fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        let long = "a".repeat(128);
        for (id, plain) in [
            ("7f3c9a52-0b6e-4ad1-9d0e-1c2b3a4d5e6f", true),
            ("1-67891233-abcdef012345678912345678", true),
            (long.as_str(), true),
            (&format!("{long}a"), false),
            ("", false),
            ("a b", false),
            ("<script>", false),
            ("a\tb", false),
            ("é", false),
        ] {
            assert_eq!(is_plain(id.as_bytes()), plain, "{id}");
        }
    }
}
