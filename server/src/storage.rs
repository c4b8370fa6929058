//! The picture store: any S3, spoken to through `aws-sdk-s3` alone.

pub mod credentials;
pub mod embedded;
mod verifying;

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use protocol::{Problem, ProblemCode};

use crate::config::Secret;

/// Time for one attempt at one operation.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for an operation with its retries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(9);

/// Where the store is and how to sign for it.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Endpoint as the server reaches it; absent: AWS.
    pub endpoint: Option<String>,
    /// Endpoint as browsers reach it; absent: the same.
    pub public_endpoint: Option<String>,
    /// Bucket name.
    pub bucket: String,
    /// Region of the signatures.
    pub region: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret,
    /// Bucket in the path instead of the host name.
    pub path_style: bool,
}

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
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No such object.
    #[error("no object {0}")]
    NotFound(String),
    /// An object is larger than the caller's cap.
    #[error("object {key} has {bytes} bytes, more than {cap}")]
    TooLarge {
        /// Object key.
        key: String,
        /// Length of the object.
        bytes: u64,
        /// The cap.
        cap: u64,
    },
    /// The store did not answer, or answered with an error.
    #[error("{operation} failed: {detail}")]
    Unavailable {
        /// S3 operation.
        operation: &'static str,
        /// Error text without URLs or keys.
        detail: String,
    },
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound(_) => {
                Self::new(ProblemCode::NotFound, "there is nothing under this address")
            }
            StorageError::TooLarge { bytes, cap, .. } => Self::new(
                ProblemCode::UploadMismatch,
                format!("the stored object has {bytes} bytes; at most {cap} are accepted"),
            ),
            error @ StorageError::Unavailable { .. } => {
                tracing::error!(%error, "picture store");
                let mut problem = Self::new(
                    ProblemCode::StorageUnavailable,
                    "the picture store did not answer as it should",
                )
                .with_hint("Try again in a moment; nothing was listed.");
                problem.retry_after = Some(5);
                problem
            }
        }
    }
}

/// Result of store operations.
pub type Result<T> = std::result::Result<T, StorageError>;

/// A bucket.
#[derive(Clone)]
pub struct Store {
    internal: Client,
    public: Client,
    bucket: String,
    public_origin: String,
}

impl Store {
    /// Connects nothing yet; the first operation does.
    ///
    /// # Errors
    /// A sentence when the public endpoint is no URL.
    pub fn new(settings: &StoreSettings) -> anyhow::Result<Self> {
        let public_endpoint = settings
            .public_endpoint
            .as_ref()
            .or(settings.endpoint.as_ref());
        let public_origin = match public_endpoint {
            Some(endpoint) => origin(endpoint)?,
            None if settings.path_style => format!("https://s3.{}.amazonaws.com", settings.region),
            None => format!(
                "https://{}.s3.{}.amazonaws.com",
                settings.bucket, settings.region
            ),
        };
        Ok(Self {
            internal: client(settings, settings.endpoint.as_deref()),
            public: client(settings, public_endpoint.map(String::as_str)),
            bucket: settings.bucket.clone(),
            public_origin,
        })
    }

    /// `scheme://host:port` that presigned URLs for browsers point to.
    pub fn public_origin(&self) -> &str {
        &self.public_origin
    }

    /// Signs a PUT of exactly the claimed object, refused by the store where the key is taken.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when signing fails.
    pub async fn presign_put(
        &self,
        claim: &ObjectClaim<'_>,
        audience: Audience,
        expires_in: Duration,
    ) -> Result<Presigned> {
        let length = i64::try_from(claim.bytes).map_err(|e| unavailable("presign", e))?;
        let request = self
            .client(audience)
            .put_object()
            .bucket(&self.bucket)
            .key(claim.key)
            .content_length(length)
            .content_type(claim.content_type)
            .checksum_sha256(BASE64.encode(claim.sha256))
            .if_none_match("*")
            .presigned(presigning(expires_in)?)
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

    /// Signs a GET for a browser; the answer always carries `content_type`.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when signing fails.
    pub async fn presign_get(
        &self,
        key: &str,
        content_type: &str,
        expires_in: Duration,
    ) -> Result<String> {
        let request = self
            .public
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .response_content_type(content_type)
            .response_cache_control("private, max-age=31536000, immutable")
            .presigned(presigning(expires_in)?)
            .await
            .map_err(|e| failed("presign", &e))?;
        Ok(request.uri().to_owned())
    }

    /// Reads an object of at most `cap` bytes.
    ///
    /// # Errors
    /// Any [`StorageError`].
    pub async fn get(&self, key: &str, cap: u64) -> Result<Vec<u8>> {
        let object = self
            .internal
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|e| missing_or("GetObject", key, &e))?;
        let bytes = object
            .content_length()
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(u64::MAX);
        if bytes > cap {
            return Err(StorageError::TooLarge {
                key: key.to_owned(),
                bytes,
                cap,
            });
        }
        let body = tokio::time::timeout(OPERATION_TIMEOUT, object.body.collect())
            .await
            .map_err(|_| unavailable("GetObject", "the body did not arrive in time"))?
            .map_err(|e| unavailable("GetObject", e))?;
        Ok(body.to_vec())
    }

    /// Whether the object exists.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn exists(&self, key: &str) -> Result<bool> {
        let head = self
            .internal
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|e| missing_or("HeadObject", key, &e));
        match head {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Writes a JSON object.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn put_json(&self, key: &str, json: Vec<u8>) -> Result<()> {
        self.internal
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(json))
            .send()
            .await
            .map_err(|e| failed("PutObject", &e))?;
        Ok(())
    }

    /// Deletes an object; a missing one is no error.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.internal
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|e| failed("DeleteObject", &e))?;
        Ok(())
    }

    /// Keys under `prefix` after `start_after` in ascending order, at most `limit`, and whether more follow.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn list(
        &self,
        prefix: &str,
        start_after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<String>, bool)> {
        let page = self
            .internal
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_start_after(start_after)
            .max_keys(i32::try_from(limit).map_err(|e| unavailable("ListObjectsV2", e))?)
            .send()
            .await
            .map_err(|e| failed("ListObjectsV2", &e))?;
        let more = page.is_truncated().unwrap_or(false);
        let keys = page.contents.unwrap_or_default();
        Ok((keys.into_iter().filter_map(|o| o.key).collect(), more))
    }

    /// Asks the store whether the bucket is there.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn check(&self) -> Result<()> {
        self.internal
            .head_bucket()
            .bucket(&self.bucket)
            .send()
            .await
            .map_err(|e| failed("HeadBucket", &e))?;
        Ok(())
    }

    fn client(&self, audience: Audience) -> &Client {
        match audience {
            Audience::Public => &self.public,
            Audience::Internal => &self.internal,
        }
    }
}

fn client(settings: &StoreSettings, endpoint: Option<&str>) -> Client {
    let credentials = Credentials::new(
        &settings.access_key_id,
        settings.secret_access_key.expose(),
        None,
        None,
        "demo-hub",
    );
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(credentials)
        .force_path_style(settings.path_style)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(2))
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        );
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

fn origin(endpoint: &str) -> anyhow::Result<String> {
    let uri: http::Uri = endpoint
        .parse()
        .map_err(|e| anyhow::anyhow!("the S3 endpoint {endpoint:?} is no URL: {e}"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => anyhow::bail!("the S3 endpoint {endpoint:?} is not an http or https URL"),
    }
}

fn presigning(expires_in: Duration) -> Result<PresigningConfig> {
    PresigningConfig::expires_in(expires_in).map_err(|e| unavailable("presign", e))
}

fn unavailable(operation: &'static str, detail: impl std::fmt::Display) -> StorageError {
    StorageError::Unavailable {
        operation,
        detail: detail.to_string(),
    }
}

/// The error's code and message without the request, whose URL may be signed.
fn failed<E, R>(operation: &'static str, error: &SdkError<E, R>) -> StorageError
where
    E: ProvideErrorMetadata,
{
    let kind = match error {
        SdkError::ConstructionFailure(_) => "the request could not be built",
        SdkError::TimeoutError(_) => "time-out",
        SdkError::DispatchFailure(_) => "no connection",
        SdkError::ResponseError(_) => "unreadable answer",
        SdkError::ServiceError(_) => "error answer",
        _ => "unknown failure",
    };
    let detail = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{kind}: {code}: {message}"),
        (Some(code), None) => format!("{kind}: {code}"),
        _ => kind.to_owned(),
    };
    unavailable(operation, detail)
}

fn missing_or<E>(
    operation: &'static str,
    key: &str,
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> StorageError
where
    E: ProvideErrorMetadata,
{
    let not_found = error
        .raw_response()
        .is_some_and(|r| r.status().as_u16() == 404);
    // A missing bucket is a fault of the set-up, not of the caller.
    if not_found && error.code() != Some("NoSuchBucket") {
        return StorageError::NotFound(key.to_owned());
    }
    failed(operation, error)
}
