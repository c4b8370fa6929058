//! Writes that happen only where nobody else wrote in between.

use std::hash::{DefaultHasher, Hash, Hasher};

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use tokio::sync::{Mutex, MutexGuard};

use super::{Result, StorageError, Store, failed, unavailable};

/// What names one state of an object, as the store gave it, quotes included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    fn new(text: Option<String>, operation: &'static str) -> Result<Self> {
        text.filter(|text| !text.is_empty())
            .map(Self)
            .ok_or_else(|| unavailable(operation, "the answer names no ETag"))
    }

    fn text(&self) -> &str {
        &self.0
    }
}

/// What must hold for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no object under the key.
    Absent,
    /// The object is still the one that was read.
    Unchanged(ETag),
}

/// How a conditional write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Put {
    /// The object is as it was given.
    Written(ETag),
    /// The condition did not hold, and nothing was written: read again.
    Conflict,
}

impl Put {
    fn written(e_tag: Option<String>) -> Result<Self> {
        ETag::new(e_tag, "PutObject").map(Self::Written)
    }
}

/// Writes to stores without conditions, one at a time per key. All stores of the process share them, since two may
/// name one bucket.
static LOCKS: [Mutex<()>; 64] = [const { Mutex::const_new(()) }; 64];

async fn lock(key: &str) -> MutexGuard<'static, ()> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let index = usize::try_from(hasher.finish() % LOCKS.len() as u64).unwrap_or(0);
    LOCKS[index].lock().await
}

impl Store {
    /// Reads an object of at most `cap` bytes, with what names this state of it.
    ///
    /// # Errors
    /// Any [`StorageError`].
    pub async fn get_versioned(&self, key: &str, cap: u64) -> Result<(Vec<u8>, ETag)> {
        let (bytes, e_tag) = self.read(key, cap).await?;
        Ok((bytes, ETag::new(e_tag, "GetObject")?))
    }

    /// Writes an object if `condition` holds at that moment.
    ///
    /// Where the store knows no such conditions ([`super::Support::absent`], [`super::Support::unchanged`]), the
    /// object is looked at first, under a lock of this process: then a writer in another process may still be
    /// overwritten.
    ///
    /// Where an answer is lost and the object then holds exactly `bytes`, that counts as written. Writers that have to
    /// tell themselves apart put something of their own into the bytes.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: whether the object was written is unknown. [`StorageError::Full`]: it was not.
    pub async fn put_if(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
        condition: &Condition,
    ) -> Result<Put> {
        let put = self.put_if_holds(key, bytes, content_type, condition).await;
        self.room.note(put)
    }

    async fn put_if_holds(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
        condition: &Condition,
    ) -> Result<Put> {
        let support = self.support().await?;
        let enforced = match condition {
            Condition::Absent => support.absent,
            Condition::Unchanged(_) => support.unchanged,
        };
        if enforced {
            return self.put_enforced(key, bytes, content_type, condition).await;
        }
        let _guard = lock(key).await;
        let found = self.e_tag(key).await?;
        let holds = match condition {
            Condition::Absent => found.is_none(),
            Condition::Unchanged(e_tag) => found.as_ref() == Some(e_tag),
        };
        if !holds {
            return Ok(Put::Conflict);
        }
        let put = self.put_request(key, bytes, content_type);
        let written = put.send().await.map_err(|e| failed("PutObject", &e))?;
        Put::written(written.e_tag)
    }

    async fn put_enforced(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
        condition: &Condition,
    ) -> Result<Put> {
        let attempt = || self.attempt(key, &bytes, content_type, condition);
        // The client's own second attempts would take the first one's object for somebody else's.
        let (answer, repeated) = match attempt().await {
            Err(error) if may_help_to_repeat(&error) => (attempt().await, true),
            answer => (answer, false),
        };
        match answer.map_err(|e| failed("PutObject", &e))? {
            Some(e_tag) => Put::written(e_tag),
            None if repeated => self.is_there(key, &bytes).await,
            None => Ok(Put::Conflict),
        }
    }

    /// The ETag of the written object; `None` for a conflict.
    async fn attempt(
        &self,
        key: &str,
        bytes: &[u8],
        content_type: &str,
        condition: &Condition,
    ) -> std::result::Result<Option<Option<String>>, PutError> {
        let put = self.put_request(key, bytes.to_vec(), content_type);
        let put = match condition {
            Condition::Absent => put.if_none_match("*"),
            Condition::Unchanged(e_tag) => put.if_match(e_tag.text()),
        };
        let once = aws_sdk_s3::Config::builder().retry_config(RetryConfig::disabled());
        match put.customize().config_override(once).send().await {
            Ok(written) => Ok(Some(written.e_tag)),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an attempt whose answer was lost wrote the object.
    async fn is_there(&self, key: &str, bytes: &[u8]) -> Result<Put> {
        match self.get_versioned(key, bytes.len() as u64).await {
            Ok((found, e_tag)) if found == bytes => Ok(Put::Written(e_tag)),
            Ok(_) | Err(StorageError::NotFound(_) | StorageError::TooLarge { .. }) => {
                Ok(Put::Conflict)
            }
            Err(error) => Err(error),
        }
    }

    /// What names the present state of an object, if there is one.
    async fn e_tag(&self, key: &str) -> Result<Option<ETag>> {
        match self.head_object(key).await {
            Ok(head) => ETag::new(head.e_tag, "HeadObject").map(Some),
            Err(StorageError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn put_request(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
        let put = self.internal.put_object().bucket(&self.bucket).key(key);
        put.content_type(content_type).body(ByteStream::from(bytes))
    }
}

type PutError = SdkError<PutObjectError, aws_sdk_s3::config::http::HttpResponse>;

/// 412; 409 where another write of the key was under way; 404 where the object that was read is gone.
pub(super) fn is_conflict(error: &PutError) -> bool {
    let status = error.raw_response().map(|r| r.status().as_u16());
    match status {
        Some(412) => true,
        Some(409) => error.code() == Some("ConditionalRequestConflict"),
        Some(404) => error.code() != Some("NoSuchBucket"),
        _ => false,
    }
}

/// Whether the answer was lost, or says that another attempt may pass.
fn may_help_to_repeat(error: &PutError) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            true
        }
        SdkError::ServiceError(answer) => {
            matches!(answer.raw().status().as_u16(), 429 | 500 | 502..=504)
        }
        _ => false,
    }
}
