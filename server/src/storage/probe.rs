//! What a store does of its own accord with a presigned PUT: found out by trying.

use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use sha2::{Digest, Sha256};

use super::conditional::is_conflict;
use super::{Audience, ObjectClaim, Result, StorageError, Store, failed, unavailable};

/// Prefix of the objects that the probe writes and deletes.
pub const PREFIX: &str = "probe/";
/// Media type of the probe's objects.
const KIND: &str = "application/octet-stream";
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
    /// The hub's own `if-none-match: *` is obeyed: [`super::Condition::Absent`] holds against every writer.
    pub absent: bool,
    /// `if-match` is obeyed: [`super::Condition::Unchanged`] holds against every writer.
    pub unchanged: bool,
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
                if_match = support.unchanged,
                checksum = support.checksum,
                signature = support.signature,
                uploads = if support.direct() { "direct" } else { "staged" },
                "what the picture store enforces"
            );
            if !(support.absent && support.unchanged) {
                tracing::warn!(
                    if_none_match = support.absent,
                    if_match = support.unchanged,
                    "the picture store does not obey conditional writes: changes of one record are kept in order by \
                     this process alone, so let no second process write to the bucket"
                );
            }
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
            absent: self.obeys(key, |put| put.if_none_match("*")).await?,
            unchanged: self.obeys_if_match(key).await?,
        })
    }

    /// Whether the right ETag lets a write pass and an old one does not. The object is there.
    async fn obeys_if_match(&self, key: &str) -> Result<bool> {
        let put = self.put_request(key, b"first".to_vec(), KIND);
        let first = put.send().await.map_err(|e| failed("PutObject", &e))?;
        let Some(old) = first.e_tag else {
            return Ok(false);
        };
        let put = self.put_request(key, b"second".to_vec(), KIND);
        match put.if_match(&old).send().await {
            Ok(_) => self.obeys(key, |put| put.if_match(&old)).await,
            Err(error) => refused(&error).map(|_| false),
        }
    }

    /// Whether a write under a condition that does not hold is refused for that reason.
    async fn obeys(
        &self,
        key: &str,
        condition: impl Fn(PutObjectFluentBuilder) -> PutObjectFluentBuilder,
    ) -> Result<bool> {
        let put = condition(self.put_request(key, b"third".to_vec(), KIND));
        match put.send().await {
            Ok(_) => Ok(false),
            Err(error) => refused(&error),
        }
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
            content_type: KIND,
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
            return Err(StorageError::of_status("probe", status));
        }
        Ok(status)
    }
}

/// Whether the store refused because of a condition, rather than because it knows none.
fn refused(error: &SdkError<PutObjectError, HttpResponse>) -> Result<bool> {
    if is_conflict(error) {
        return Ok(true);
    }
    match error.raw_response().map(|r| r.status().as_u16()) {
        Some(400 | 403 | 405 | 501) => Ok(false),
        _ => Err(failed("PutObject", error)),
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
