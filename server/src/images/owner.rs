//! Whose picture it is: an anonymous cookie, of which the hub keeps only a hash.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Name of the cookie.
pub const COOKIE: &str = "demo-hub-owner";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Digits of an [`OwnerId`].
const DIGITS: usize = 32;
/// The longest that browsers keep a cookie (RFC 6265bis, 5.5).
const LIFETIME: Duration = Duration::days(400);

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
        Cookie::split_parse(header)
            .flatten()
            .find(|cookie| cookie.name() == COOKIE && is_token(cookie.value()))
            .map(|cookie| Self::of(cookie.value()))
    }
}

/// A new owner and the `Set-Cookie` header that makes the client one. `secure`: the hub is reached by HTTPS.
///
/// # Errors
/// When the system has no source of randomness.
pub fn new_owner(secure: bool) -> anyhow::Result<(OwnerId, String)> {
    let token = URL_SAFE_NO_PAD.encode(crate::random::bytes::<TOKEN_BYTES>()?);
    let owner = OwnerId::of(&token);
    let cookie = Cookie::build((COOKIE, token))
        .path("/")
        .max_age(LIFETIME)
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure);
    Ok((owner, cookie.to_string()))
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

/// What is to be kept with a picture beside its recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// Who may change and delete it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// Not in the gallery.
    #[serde(default)]
    pub unlisted: bool,
}

/// Who uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// From its cookie.
    pub owner: OwnerId,
    /// Where the request came from; absent: not known.
    pub address: Option<IpAddr>,
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
    fn other_values_name_nobody() {
        for value in [
            "",
            "x",
            "../../gallery",
            &"A".repeat(42),
            &"A".repeat(44),
            &"é".repeat(43),
        ] {
            assert_eq!(OwnerId::from_cookies(&format!("{COOKIE}={value}")), None);
        }
        assert!(OwnerId::from_cookies(&format!("{COOKIE}={}", "A".repeat(43))).is_some());
        assert_eq!("../x".parse::<OwnerId>(), Err(InvalidOwner));
    }
}
