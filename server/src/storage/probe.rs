//! What a store does of its own accord with a presigned PUT: found out by trying.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Audience, ObjectClaim, Result, Store, unavailable};

/// Prefix of the objects that the probe writes and deletes.
pub const PREFIX: &str = "probe/";
/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(4);

/// What the store enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// `if-none-match: *` is understood, and refuses a second PUT under the same key.
    pub conditional_put: bool,
    /// The store takes `if-none-match` at all; one that answers with an error must not be sent it.
    pub conditional_header: bool,
    /// A body without the signed SHA-256 is refused.
    pub checksum: bool,
    /// A PUT with another signature is refused.
    pub signature: bool,
}

impl Support {
    /// Whether browsers may write to the final key. Otherwise they write to a key of their own, and the hub copies
    /// what it has checked: a store that takes any body would let a second PUT replace a listed picture.
    pub fn direct(self) -> bool {
        self.checksum && self.signature
    }
}

impl Store {
    /// What the store enforces; tried once per process, and again after a failure.
    ///
    /// # Errors
    /// [`super::StorageError::Unavailable`].
    pub async fn support(&self) -> Result<Support> {
        let found = self.support.get_or_try_init(|| async {
            let support = self.probe().await?;
            tracing::info!(
                conditional_put = support.conditional_put,
                checksum = support.checksum,
                signature = support.signature,
                uploads = if support.direct() { "direct" } else { "staged" },
                "what the picture store enforces"
            );
            Ok(support)
        });
        found.await.copied()
    }

    async fn probe(&self) -> Result<Support> {
        let name = crate::random::bytes::<12>().map_err(|e| unavailable("probe", e))?;
        let key = format!("{PREFIX}{}", hex::encode(name));
        let support = self.try_puts(&key).await?;
        self.delete(&key).await?;
        Ok(support)
    }

    async fn try_puts(&self, key: &str) -> Result<Support> {
        let (good, bad) = (b"demo-hub", b"DEMO-HUB");
        let forged = self.put_probe(key, good, good, true, true).await?;
        let signature = !forged.is_success();
        self.delete(key).await?;
        let wrong = self.put_probe(key, good, bad, false, false).await?;
        let checksum = !wrong.is_success();
        self.delete(key).await?;
        let first = self.put_probe(key, good, good, true, false).await?;
        let conditional_header = first.is_success();
        if !conditional_header {
            let plain = self.put_probe(key, good, good, false, false).await?;
            if !plain.is_success() {
                return Err(unavailable(
                    "probe",
                    format!("a presigned PUT gives {plain}"),
                ));
            }
        }
        let second = self.put_probe(key, good, good, true, false).await?;
        Ok(Support {
            conditional_put: conditional_header && second == http::StatusCode::PRECONDITION_FAILED,
            conditional_header,
            checksum,
            signature,
        })
    }

    /// Announces `claimed`, sends `sent`.
    async fn put_probe(
        &self,
        key: &str,
        claimed: &[u8],
        sent: &'static [u8],
        only_new: bool,
        forge: bool,
    ) -> Result<http::StatusCode> {
        let claim = ObjectClaim {
            key,
            bytes: claimed.len() as u64,
            content_type: "application/octet-stream",
            sha256: Sha256::digest(claimed).into(),
            only_new,
        };
        let presigned = self
            .presign_put(&claim, Audience::Internal, Duration::from_secs(60))
            .await?;
        let url = if forge {
            forged(&presigned.url)
        } else {
            presigned.url
        };
        let mut request = self.http.put(url).timeout(TIMEOUT);
        for (name, value) in &presigned.headers {
            request = request.header(name, value);
        }
        let answer = request
            .body(sent)
            .send()
            .await
            .map_err(|e| unavailable("probe", e.without_url()))?;
        let status = answer.status();
        if status.is_server_error() && status != http::StatusCode::NOT_IMPLEMENTED {
            return Err(unavailable(
                "probe",
                format!("a presigned PUT gives {status}"),
            ));
        }
        Ok(status)
    }
}

/// The URL with the first digit of its signature changed.
fn forged(url: &str) -> String {
    const FIELD: &str = "X-Amz-Signature=";
    let Some(at) = url.find(FIELD).map(|at| at + FIELD.len()) else {
        return url.to_owned();
    };
    let mut forged = url.to_owned();
    let other = if url[at..].starts_with('0') { "1" } else { "0" };
    forged.replace_range(at..=at, other);
    forged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_signature_differs_in_one_digit() {
        assert_eq!(
            forged("http://x/?X-Amz-Signature=0a&y=1"),
            "http://x/?X-Amz-Signature=1a&y=1"
        );
        assert_eq!(
            forged("http://x/?X-Amz-Signature=fa"),
            "http://x/?X-Amz-Signature=0a"
        );
    }
}
