//! The bytes of pictures, for those who may see a record of them.
//!
//! Bytes have one address whoever saved them, so an address says nothing of who may read it: that is asked of the
//! records that refer to the bytes. Whoever knows the SHA-256 of a private picture learns no more than that of any
//! other 64 digits.

use futures::{StreamExt, TryStreamExt};
use protocol::{Problem, ProblemCode};

use super::records::{Kept, State};
use super::{ImageId, Images, MAX_LARGER_BYTES, MAX_THUMBNAIL_BYTES, OwnerId, keys};
use super::{no_such_picture, withdrawn};
use crate::storage::{ObjectHead, StorageError};

/// References in one list request.
const PAGE: usize = 50;
/// List requests for the references to one picture.
const PAGES: usize = 20;
/// Records read at the same time.
const PARALLEL: usize = 8;

/// By what right bytes are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A record of theirs is for everybody, or for everybody with its link.
    Open,
    /// Only the asking owner's own private records show them.
    Own,
}

/// What one record says.
enum Says {
    Access(Access),
    Withdrawn,
    Nothing,
}

impl Images {
    /// Whether `asking` may read the bytes with that digest.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::Withdrawn`], [`ProblemCode::StorageUnavailable`].
    pub async fn access(&self, sha256: &str, asking: Option<&OwnerId>) -> Result<Access, Problem> {
        if !protocol::is_sha256_hex(sha256) {
            return Err(no_such_picture());
        }
        let (mut own, mut taken_down) = (false, false);
        let mut after = None;
        for _ in 0..PAGES {
            let prefix = keys::references(sha256);
            let (references, more) = self.store.list(&prefix, after.take(), PAGE).await?;
            after = references.last().cloned();
            let ids: Vec<ImageId> = references.iter().filter_map(|r| keys::id_in(r)).collect();
            let mut said = futures::stream::iter(ids)
                .map(|id| self.says(id, sha256, asking))
                .buffer_unordered(PARALLEL);
            while let Some(says) = said.try_next().await? {
                match says {
                    Says::Access(Access::Open) => return Ok(Access::Open),
                    Says::Access(Access::Own) => own = true,
                    Says::Withdrawn => taken_down = true,
                    Says::Nothing => {}
                }
            }
            if !more || after.is_none() {
                break;
            }
        }
        match (own, taken_down) {
            (true, _) => Ok(Access::Own),
            (false, true) => Err(withdrawn()),
            (false, false) => Err(no_such_picture()),
        }
    }

    async fn says(
        &self,
        id: ImageId,
        sha256: &str,
        asking: Option<&OwnerId>,
    ) -> Result<Says, Problem> {
        let loaded = match self.load(&id).await {
            Ok(loaded) => loaded,
            // One damaged record must not take the picture from all others; it was logged.
            Err(problem) if problem.code == ProblemCode::Internal => None,
            Err(problem) => return Err(problem),
        };
        Ok(match loaded.map(|loaded| loaded.kept) {
            Some(Kept::Picture(stored)) if stored.sha256 == sha256 => match stored.state {
                State::Hidden => Says::Withdrawn,
                State::Listed | State::Unlisted => Says::Access(Access::Open),
                _ if stored.is_of(asking) => Says::Access(Access::Own),
                _ => Says::Nothing,
            },
            _ => Says::Nothing,
        })
    }

    /// What the store says of the bytes of a picture that `asking` may read.
    ///
    /// # Errors
    /// As [`Self::access`].
    pub async fn stored(
        &self,
        sha256: &str,
        asking: Option<&OwnerId>,
    ) -> Result<(ObjectHead, Access), Problem> {
        let access = self.access(sha256, asking).await?;
        match self.store.head(&keys::picture(sha256)).await {
            Ok(head) => Ok((head, access)),
            Err(StorageError::NotFound(_)) => Err(no_such_picture()),
            Err(error) => Err(error.into()),
        }
    }

    /// A presigned URL of the bytes of a picture that is [stored](Self::stored); with `save_as` a browser saves it under
    /// that name.
    ///
    /// # Errors
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn presigned_url(
        &self,
        sha256: &str,
        save_as: Option<&str>,
    ) -> Result<String, Problem> {
        let key = keys::picture(sha256);
        let mime = protocol::PNG_MIME;
        Ok(self.store.presign_get(&key, mime, save_as).await?)
    }

    /// The bytes of a stored picture, whoever asks: for what reads a record first.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`], [`ProblemCode::StorageUnavailable`].
    pub async fn png(&self, sha256: &str) -> Result<Vec<u8>, Problem> {
        self.read(&keys::picture(sha256), MAX_LARGER_BYTES).await
    }

    /// The bytes of a thumbnail, by the digest of its picture.
    ///
    /// # Errors
    /// As [`Self::access`].
    pub async fn thumbnail(
        &self,
        sha256: &str,
        asking: Option<&OwnerId>,
    ) -> Result<(Vec<u8>, Access), Problem> {
        let access = self.access(sha256, asking).await?;
        let key = keys::thumbnail(sha256);
        Ok((self.read(&key, MAX_THUMBNAIL_BYTES).await?, access))
    }

    async fn read(&self, key: &str, cap: u64) -> Result<Vec<u8>, Problem> {
        match self.store.get(key, cap).await {
            Ok(bytes) => Ok(bytes),
            Err(StorageError::NotFound(_)) => Err(no_such_picture()),
            Err(error) => Err(error.into()),
        }
    }
}
