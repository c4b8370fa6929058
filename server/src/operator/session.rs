//! The operator's token, and sessions of browsers that were given it once.
//!
//! A session is a time at which it ends, sealed with a key that is made of the token: every replica that was given the same token
//! knows it, and another token ends all of them. Nothing is stored.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::Secret;

/// Fewest characters of a token.
pub const LEAST_TOKEN: usize = 16;
/// Seconds that a session lasts.
pub const SESSION_SECONDS: u64 = 12 * 3600;
/// Name of the cookie where the hub is not reached by HTTPS.
const COOKIE: &str = "demo-hub-operator";
/// Name of the cookie where it is.
const HOST_COOKIE: &str = "__Host-demo-hub-operator";
/// What the key of sessions is made for.
const PURPOSE: &[u8] = b"demo-hub operator's session";
/// What the token is compared under.
const COMPARING: &[u8] = b"demo-hub operator's token";

type Seal = Hmac<Sha256>;

pub(super) struct Sessions {
    /// Seals sessions.
    key: [u8; 32],
    /// The token, sealed.
    token: [u8; 32],
}

impl Sessions {
    /// Of a token.
    ///
    /// # Errors
    /// When it could be guessed.
    pub fn new(token: &Secret) -> anyhow::Result<Self> {
        let token = token.expose().trim();
        ensure!(
            token.chars().count() >= LEAST_TOKEN,
            "--admin-token has fewer than {LEAST_TOKEN} characters; `openssl rand -hex 32` makes one that nobody guesses"
        );
        Ok(Self {
            key: sealed(token.as_bytes(), PURPOSE)?,
            token: sealed(token.as_bytes(), COMPARING)?,
        })
    }

    /// Whether it is the token. The time that this takes tells nothing of it.
    pub fn is_token(&self, sent: &str) -> bool {
        let Ok(sent) = sealed(sent.as_bytes(), COMPARING) else {
            return false;
        };
        let (Ok(mut one), Ok(mut other)) = (seal(&self.key), seal(&self.key)) else {
            return false;
        };
        one.update(&self.token);
        other.update(&sent);
        one.verify_slice(&other.finalize().into_bytes()).is_ok()
    }

    /// The `Set-Cookie` header of a new session.
    pub fn begin(&self, secure: bool) -> anyhow::Result<String> {
        let ends = now() + SESSION_SECONDS;
        let mac = sealed(&self.key, ends.to_string().as_bytes())?;
        let value = format!("{ends}.{}", URL_SAFE_NO_PAD.encode(mac));
        Ok(cookie(
            value,
            secure,
            Duration::seconds(SESSION_SECONDS as i64),
        ))
    }

    /// Whether one of the cookies is that of a session that has not ended at `now`, seconds since the Unix epoch.
    pub fn holds(&self, cookies: &str, now: u64) -> bool {
        Cookie::split_parse(cookies)
            .flatten()
            .filter(|cookie| [COOKIE, HOST_COOKIE].contains(&cookie.name()))
            .any(|cookie| self.is_session(cookie.value(), now))
    }

    fn is_session(&self, value: &str, now: u64) -> bool {
        let Some((ends, mac)) = value.split_once('.') else {
            return false;
        };
        let (Ok(time), Ok(mac)) = (ends.parse::<u64>(), URL_SAFE_NO_PAD.decode(mac)) else {
            return false;
        };
        let Ok(mut known) = seal(&self.key) else {
            return false;
        };
        known.update(ends.as_bytes());
        known.verify_slice(&mac).is_ok() && (now..=now + SESSION_SECONDS).contains(&time)
    }
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The `Set-Cookie` header that ends a session.
pub(super) fn ended(secure: bool) -> String {
    cookie(String::new(), secure, Duration::ZERO)
}

fn cookie(value: String, secure: bool, lifetime: Duration) -> String {
    let name = if secure { HOST_COOKIE } else { COOKIE };
    Cookie::build((name, value))
        .path("/")
        .max_age(lifetime)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(secure)
        .to_string()
}

fn seal(key: &[u8]) -> anyhow::Result<Seal> {
    Ok(Seal::new_from_slice(key)?)
}

fn sealed(key: &[u8], text: &[u8]) -> anyhow::Result<[u8; 32]> {
    let mut seal = seal(key)?;
    seal.update(text);
    Ok(seal.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sessions(token: &str) -> Sessions {
        Sessions::new(&Secret::new(token)).unwrap()
    }

    fn pair(header: &str) -> &str {
        header.split(';').next().unwrap()
    }

    #[test]
    fn the_token_is_known_and_no_other() {
        let known = sessions("correct horse battery");
        assert!(known.is_token("correct horse battery"));
        for other in [
            "",
            "correct",
            "correct horse batterx",
            "Correct horse battery",
        ] {
            assert!(!known.is_token(other), "{other}");
        }
        // What a shell or an editor adds at the end of a file.
        assert!(sessions("correct horse battery\n").is_token("correct horse battery"));
        assert!(Sessions::new(&Secret::new("fifteen letters")).is_err());
    }

    #[test]
    fn a_session_is_known_to_who_was_given_the_same_token_until_it_ends() {
        let known = sessions("correct horse battery");
        let header = known.begin(true).unwrap();
        for attribute in [
            "__Host-",
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
            "Path=/",
            "Max-Age=43200",
        ] {
            assert!(header.contains(attribute), "{header}");
        }
        assert!(!header.contains("Domain") && !header.contains("correct"));
        let sent = format!("theme=dark; {}", pair(&header));
        let begun = now();
        assert!(known.holds(&sent, begun));
        assert!(sessions("correct horse battery").holds(&sent, begun));
        assert!(!sessions("another horse battery").holds(&sent, begun));
        assert!(!known.holds(&sent, begun + SESSION_SECONDS + 2));
        let plain = known.begin(false).unwrap();
        assert!(!plain.contains("Secure") && !plain.contains("__Host-"));
        assert!(known.holds(pair(&plain), begun));
        assert!(!known.holds(pair(&ended(true)), begun));
    }

    #[test]
    fn what_was_changed_is_no_session() {
        let known = sessions("correct horse battery");
        let header = known.begin(false).unwrap();
        let (name, value) = pair(&header).split_once('=').unwrap();
        let (ends, mac) = value.split_once('.').unwrap();
        let later = ends.parse::<u64>().unwrap() + 1;
        for value in [
            format!("{later}.{mac}"),
            format!("{ends}.{}", "A".repeat(43)),
            format!("{ends}."),
            format!(".{mac}"),
            ends.to_owned(),
            format!("0{ends}.{mac}"),
        ] {
            assert!(!known.holds(&format!("{name}={value}"), now()), "{value}");
        }
        assert!(!known.holds(&format!("other={value}"), now()));
    }
}
