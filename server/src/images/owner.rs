//! Whose picture it is: an anonymous cookie, of which the hub keeps only a hash.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Name of the cookie where the hub is not reached by HTTPS, and everywhere before there was the other one.
const COOKIE: &str = "demo-hub-owner";
/// Name of the cookie where it is: a browser takes it from this host alone, and by HTTPS (RFC 6265bis, 4.1.3.2).
const HOST_COOKIE: &str = "__Host-demo-hub-owner";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Digits of an [`OwnerId`].
const DIGITS: usize = 32;
/// The longest that browsers keep a cookie (RFC 6265bis, 5.5).
const LIFETIME: Duration = Duration::days(400);
const SECONDS_OF_A_DAY: u64 = 24 * 3600;

/// First half of the SHA-256 of an owner's token, in hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct OwnerId(String);

/// The text is no [`OwnerId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an owner's id")]
pub struct InvalidOwner;

impl OwnerId {
    /// The owner who holds `token`.
    pub fn of(token: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(b"demo-hub owner\0")
            .chain_update(token)
            .finalize();
        Self(hex::encode(&digest[..DIGITS / 2]))
    }

    /// The owner that a `Cookie` header names.
    pub fn from_cookies(header: &str) -> Option<Self> {
        Sent::find(header).map(|sent| Self::of(&sent.token))
    }
}

/// An owner's cookie as a browser sent it: the token, and after a dot the day on which it was set, counted from the
/// Unix epoch. Those of before have no day.
struct Sent {
    host_only: bool,
    token: String,
    day: Option<u64>,
}

impl Sent {
    /// The one of this host goes before one that a neighbour's page may have set.
    fn find(header: &str) -> Option<Self> {
        let mut found: Vec<Self> = Cookie::split_parse(header)
            .flatten()
            .filter_map(|cookie| {
                let host_only = match cookie.name() {
                    HOST_COOKIE => true,
                    COOKIE => false,
                    _ => return None,
                };
                let (token, day) = match cookie.value().split_once('.') {
                    Some((token, day)) => (token, Some(day.parse().ok()?)),
                    None => (cookie.value(), None),
                };
                is_token(token).then(|| Self {
                    host_only,
                    token: token.to_owned(),
                    day,
                })
            })
            .collect();
        let best = found.iter().position(|sent| sent.host_only).unwrap_or(0);
        (!found.is_empty()).then(|| found.swap_remove(best))
    }
}

/// The `Set-Cookie` header that keeps an owner one: browsers forget a cookie after 400 days, so it is set again once a
/// day, and with HTTPS under the name that only this host can set. The old name stays beside it, for replicas of before.
pub fn renewed(cookies: &str, secure: bool, today: u64) -> Option<String> {
    let sent = Sent::find(cookies)?;
    let is_fresh = sent.day.is_some_and(|day| day == today);
    (!is_fresh || sent.host_only != secure).then(|| set_cookie(&sent.token, secure, today))
}

/// Days since the Unix epoch.
pub fn today() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_secs() / SECONDS_OF_A_DAY)
}

fn set_cookie(token: &str, secure: bool, today: u64) -> String {
    let name = if secure { HOST_COOKIE } else { COOKIE };
    Cookie::build((name, format!("{token}.{today}")))
        .path("/")
        .max_age(LIFETIME)
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .to_string()
}

/// A new owner and the `Set-Cookie` header that makes the client one. `secure`: the hub is reached by HTTPS.
///
/// # Errors
/// When the system has no source of randomness.
pub fn new_owner(secure: bool) -> anyhow::Result<(OwnerId, String)> {
    let token = URL_SAFE_NO_PAD.encode(crate::random::bytes::<TOKEN_BYTES>()?);
    let owner = OwnerId::of(&token);
    Ok((owner, set_cookie(&token, secure, today())))
}

fn is_token(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == TOKEN_BYTES)
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OwnerId {
    type Err = InvalidOwner;

    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for OwnerId {
    type Error = InvalidOwner;

    fn try_from(text: String) -> Result<Self, InvalidOwner> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == DIGITS && text.bytes().all(hex) {
            Ok(Self(text))
        } else {
            Err(InvalidOwner)
        }
    }
}

/// Who uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// From its cookie.
    pub owner: OwnerId,
    /// Where the request came from.
    pub address: IpAddr,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_cookie_that_is_set_names_the_owner_again() {
        let (owner, header) = new_owner(true).unwrap();
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age="] {
            assert!(header.contains(attribute), "{header}");
        }
        let pair = header.split(';').next().unwrap();
        let sent = format!("theme=dark; {pair}; other=1");
        assert_eq!(OwnerId::from_cookies(&sent), Some(owner.clone()));
        assert!(!header.contains(&owner.to_string()));
        assert!(!new_owner(false).unwrap().1.contains("Secure"));
        assert_ne!(new_owner(false).unwrap().0, owner);
    }

    #[test]
    fn an_owner_stays_one_as_long_as_it_comes_back() {
        let token = "A".repeat(43);
        let owner = OwnerId::of(&token);
        let pair = |header: &str| header.split(';').next().unwrap().to_owned();
        let first = renewed(&format!("{COOKIE}={token}"), false, 20_000).unwrap();
        assert_eq!(pair(&first), format!("{COOKIE}={token}.20000"));
        assert_eq!(OwnerId::from_cookies(&pair(&first)), Some(owner.clone()));
        assert_eq!(renewed(&pair(&first), false, 20_000), None);
        let next = renewed(&pair(&first), false, 20_001).unwrap();
        assert!(next.contains(&format!("{token}.20001")) && next.contains("Max-Age=34560000"));
        assert_eq!(renewed("theme=dark", false, 20_000), None);

        // By HTTPS it moves to the name that only this host can set, which then counts.
        let moved = renewed(&pair(&first), true, 20_000).unwrap();
        assert_eq!(pair(&moved), format!("{HOST_COOKIE}={token}.20000"));
        assert!(moved.contains("Secure") && moved.contains("Path=/") && !moved.contains("Domain"));
        let planted = format!("{COOKIE}={}; {}", "E".repeat(43), pair(&moved));
        assert_eq!(OwnerId::from_cookies(&planted), Some(owner));
        assert_eq!(renewed(&planted, true, 20_000), None);
        // A clock that was set back does no harm.
        assert!(renewed(&pair(&moved), true, 19_999).is_some());
    }

    #[test]
    fn other_values_name_nobody() {
        for value in [
            "",
            "x",
            "../../gallery",
            &"A".repeat(42),
            &"A".repeat(44),
            &format!("{}.x", "A".repeat(43)),
            &format!("{}.", "A".repeat(43)),
            &format!(".{}", "A".repeat(43)),
            &"é".repeat(43),
        ] {
            assert_eq!(OwnerId::from_cookies(&format!("{COOKIE}={value}")), None);
        }
        assert!(OwnerId::from_cookies(&format!("{COOKIE}={}", "A".repeat(43))).is_some());
        assert_eq!("../x".parse::<OwnerId>(), Err(InvalidOwner));
    }
}
