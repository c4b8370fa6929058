//! Presigned requests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Result, Store, failed, unavailable};

/// Presigned GETs are signed at whole multiples of this, so that browsers see the same address again and cache it.
const GET_ROUND: Duration = Duration::from_secs(3600);
/// Validity of a presigned GET from that moment on.
const GET_EXPIRY: Duration = Duration::from_secs(2 * 3600);
/// Seconds that a presigned GET is good for at least.
pub const GET_VALID_SECONDS: u64 = GET_EXPIRY.as_secs() - GET_ROUND.as_secs();

/// Who will use a presigned URL: the signature covers the host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A browser.
    Public,
    /// This server or its workers.
    Internal,
}

/// A presigned request.
#[derive(Clone)]
pub struct Presigned {
    /// URL with the signature; a bearer token until it expires, so never logged.
    pub url: String,
    /// Signed headers that the sender has to add (`host` and `content-length` it sets by itself).
    pub headers: Vec<(String, String)>,
}

/// What is known of an object to be uploaded; all of it goes into the signature.
#[derive(Clone, Debug)]
pub struct ObjectClaim<'a> {
    /// Object key.
    pub key: &'a str,
    /// Length in bytes.
    pub bytes: u64,
    /// Media type.
    pub content_type: &'a str,
    /// SHA-256.
    pub sha256: [u8; 32],
    /// Have the store refuse the upload where the key is taken.
    pub only_new: bool,
}

impl Store {
    /// Signs a PUT of exactly the claimed object.
    ///
    /// # Errors
    /// [`super::StorageError::Unavailable`] when signing fails.
    pub async fn presign_put(
        &self,
        claim: &ObjectClaim<'_>,
        audience: Audience,
        expires_in: Duration,
    ) -> Result<Presigned> {
        let length = i64::try_from(claim.bytes).map_err(|e| unavailable("presign", e))?;
        let expiry =
            PresigningConfig::expires_in(expires_in).map_err(|e| unavailable("presign", e))?;
        let request = self
            .client(audience)
            .put_object()
            .bucket(&self.bucket)
            .key(claim.key)
            .content_length(length)
            .content_type(claim.content_type)
            .checksum_sha256(BASE64.encode(claim.sha256))
            .set_if_none_match(claim.only_new.then(|| "*".to_owned()))
            .presigned(expiry)
            .await
            .map_err(|e| failed("presign", &e))?;
        Ok(Presigned {
            url: request.uri().to_owned(),
            headers: request
                .headers()
                .filter(|(name, _)| !["host", "content-length"].contains(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    /// Signs a GET for a browser, good for at least [`GET_VALID_SECONDS`]; the answer always carries
    /// `content_type`, and with `save_as` the browser saves it under that name.
    ///
    /// # Errors
    /// [`super::StorageError::Unavailable`] when signing fails.
    pub async fn presign_get(
        &self,
        key: &str,
        content_type: &str,
        save_as: Option<&str>,
    ) -> Result<String> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|e| unavailable("presign", e))?
            .as_secs();
        let start = UNIX_EPOCH + Duration::from_secs(now - now % GET_ROUND.as_secs());
        let expiry = PresigningConfig::builder()
            .start_time(start)
            .expires_in(GET_EXPIRY)
            .build()
            .map_err(|e| unavailable("presign", e))?;
        let request = self
            .public
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .response_content_type(content_type)
            .response_cache_control("private, max-age=31536000, immutable")
            .set_response_content_disposition(save_as.map(attachment))
            .presigned(expiry)
            .await
            .map_err(|e| failed("presign", &e))?;
        Ok(request.uri().to_owned())
    }

    fn client(&self, audience: Audience) -> &Client {
        match audience {
            Audience::Public => &self.public,
            Audience::Internal => &self.internal,
        }
    }
}

/// `Content-Disposition` (RFC 6266) with a name that needs no quoting rules.
fn attachment(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name
        .trim_start_matches('.')
        .chars()
        .take(100)
        .map(plain)
        .collect();
    format!("attachment; filename=\"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_a_file_name() {
        for (name, header) in [
            ("red-apple-1.png", "red-apple-1.png"),
            ("../a\"b;c\r\nx.png", "-a-b-c--x.png"),
            ("é.png", "-.png"),
        ] {
            assert_eq!(
                attachment(name),
                format!("attachment; filename=\"{header}\"")
            );
        }
    }
}
