//! The picture store: any S3, spoken to through `aws-sdk-s3` alone.

pub mod check;
pub mod command;
mod conditional;
mod counted;
pub mod credentials;
pub mod embedded;
mod presign;
mod probe;
mod room;
pub mod setup;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use protocol::{Problem, ProblemCode};
use tokio::sync::OnceCell;

use crate::config::Secret;
use room::Room;

pub use conditional::{Condition, ETag, Put};
pub use presign::{Audience, GET_VALID_SECONDS, ObjectClaim, Presigned};
pub use probe::{PREFIX as PROBE_PREFIX, Support};

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
    /// The store has no room left; reading goes on.
    #[error("{operation} failed: the store is full")]
    Full {
        /// S3 operation.
        operation: &'static str,
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

impl StorageError {
    /// What a presigned request's status means that is no success.
    pub fn of_status(operation: &'static str, status: http::StatusCode) -> Self {
        if room::is_full(Some(status.as_u16()), None) {
            return Self::Full { operation };
        }
        unavailable(operation, format!("status {status}"))
    }
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
            error @ StorageError::Full { .. } => {
                tracing::warn!(%error, "picture store");
                let mut problem = Self::new(
                    ProblemCode::StorageFull,
                    "the picture store has no room for it",
                )
                .with_hint("Download the picture to keep it, or try again later; what is saved stays saved.");
                problem.retry_after = Some(60);
                problem
            }
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
    support: Arc<OnceCell<Support>>,
    http: reqwest::Client,
    room: Arc<Room>,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Object key.
    pub key: String,
    /// Milliseconds since the Unix epoch; 0 where the store does not say.
    pub modified_at: u64,
    /// Length; 0 where the store does not say.
    pub bytes: u64,
}

/// What a reader of an object is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Length in bytes, where the store says.
    pub bytes: Option<u64>,
    /// `ETag`, with its quotes.
    pub etag: Option<String>,
    /// Time of the last change.
    pub modified: Option<SystemTime>,
}

impl Store {
    /// Connects nothing yet; the first operation does.
    ///
    /// # Errors
    /// A sentence when the public endpoint is no URL, or the HTTP client cannot be set up.
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
            support: Arc::default(),
            http: reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(2))
                .timeout(Duration::from_secs(30))
                .build()?,
            room: Arc::default(),
        })
    }

    /// Asks the disk of the store that this process runs itself, rather than the store, whether there is room.
    #[must_use]
    pub fn with_disk(mut self, disk: embedded::Room) -> Self {
        self.room = Arc::new(Room::of_disk(disk));
        self
    }

    /// For presigned requests of the server's own.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// `scheme://host:port` that presigned URLs for browsers point to.
    pub fn public_origin(&self) -> &str {
        &self.public_origin
    }

    /// Reads an object of at most `cap` bytes.
    ///
    /// # Errors
    /// Any [`StorageError`].
    pub async fn get(&self, key: &str, cap: u64) -> Result<Vec<u8>> {
        Ok(self.read(key, cap).await?.0)
    }

    /// An object of at most `cap` bytes, and its ETag where the store gives one.
    async fn read(&self, key: &str, cap: u64) -> Result<(Vec<u8>, Option<String>)> {
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
        let e_tag = object.e_tag;
        let body = tokio::time::timeout(OPERATION_TIMEOUT, object.body.collect())
            .await
            .map_err(|_| unavailable("GetObject", "the body did not arrive in time"))?
            .map_err(|e| unavailable("GetObject", e))?;
        Ok((body.to_vec(), e_tag))
    }

    /// Whether the object exists.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn exists(&self, key: &str) -> Result<bool> {
        match self.head_object(key).await {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    async fn head_object(&self, key: &str) -> Result<HeadObjectOutput> {
        let head = self.internal.head_object().bucket(&self.bucket).key(key);
        let head = head.send().await;
        head.map_err(|e| missing_or("HeadObject", key, &e))
    }

    /// What a reader of the object would be told of it: length, `ETag` and time of the last change.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Unavailable`].
    pub async fn head(&self, key: &str) -> Result<ObjectHead> {
        let head = self.head_object(key).await?;
        let modified = head.last_modified().map(|time| time.secs());
        Ok(ObjectHead {
            bytes: head.content_length().and_then(|n| n.try_into().ok()),
            etag: head.e_tag().map(str::to_owned),
            modified: modified
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        })
    }

    /// Writes JSON.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn put_json(&self, key: &str, json: Vec<u8>) -> Result<()> {
        self.put(key, json, "application/json").await
    }

    /// Writes an empty object, whose key says it all.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn put_marker(&self, key: &str) -> Result<()> {
        self.put(key, Vec::new(), "application/octet-stream").await
    }

    /// Writes an object.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn put(&self, key: &str, bytes: Vec<u8>, content_type: &str) -> Result<()> {
        let put = self.put_request(key, bytes, content_type);
        let put = put.send().await.map_err(|e| failed("PutObject", &e));
        self.room.note(put)?;
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
        let (objects, more) = self.list_objects(prefix, start_after, limit).await?;
        Ok((objects.into_iter().map(|object| object.key).collect(), more))
    }

    /// As [`Self::list`], with times.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn list_objects(
        &self,
        prefix: &str,
        start_after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Listed>, bool)> {
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
        let objects = page.contents.unwrap_or_default().into_iter();
        let listed = objects.filter_map(|object| {
            let modified = object.last_modified.and_then(|time| time.to_millis().ok());
            Some(Listed {
                key: object.key?,
                modified_at: modified.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
                bytes: object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            })
        });
        Ok((listed.collect(), more))
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
        .interceptor(counted::Counted)
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

fn unavailable(operation: &'static str, detail: impl std::fmt::Display) -> StorageError {
    StorageError::Unavailable {
        operation,
        detail: detail.to_string(),
    }
}

/// The error's code and message without the request, whose URL may be signed.
fn failed<E>(
    operation: &'static str,
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> StorageError
where
    E: ProvideErrorMetadata,
{
    let status = error.raw_response().map(|r| r.status().as_u16());
    if room::is_full(status, error.code()) {
        return StorageError::Full { operation };
    }
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
