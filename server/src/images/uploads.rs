//! Announced uploads.

use protocol::{PNG_MIME, Problem, ProblemCode, Recipe, RunsOn, UploadRequest, UploadTicket};
use serde::{Deserialize, Serialize};

use super::commit::check_length;
use super::records::unnumbered;
use super::verify::sha256_hex;
use super::{
    Client, FORMAT, ImageId, Images, Keeping, MAX_RECORD_BYTES, internal, keys, most_bytes, refused,
};
use crate::storage::{Audience, ObjectClaim, StorageError};

/// An announced upload as kept in the store until its commit.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pending {
    #[serde(default = "unnumbered")]
    pub format: u32,
    pub sha256: String,
    pub bytes: u64,
    pub recipe: Recipe,
    #[serde(flatten)]
    pub keeping: Keeping,
    /// Where the bytes are to arrive.
    #[serde(default)]
    pub staged: bool,
    /// Why the bytes that arrived can never become this picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
}

impl Pending {
    /// Where the picture was made.
    pub fn source(&self) -> RunsOn {
        self.recipe.place
    }
}

impl Images {
    /// Checks an announced upload and signs a PUT for exactly those bytes.
    ///
    /// # Errors
    /// A problem that names what is wrong with the request; [`ProblemCode::RateLimited`];
    /// [`ProblemCode::ImageRefused`]; [`ProblemCode::StorageFull`]; [`ProblemCode::StorageUnavailable`].
    pub async fn announce(
        &self,
        request: UploadRequest,
        client: &Client,
    ) -> Result<UploadTicket, Problem> {
        let request = self.check(request, RunsOn::Browser)?;
        if let Some(quota) = &self.quota {
            quota.take(client, request.bytes)?;
        }
        let id = ImageId::new().map_err(internal)?;
        let keeping = Keeping {
            owner: Some(client.owner.clone()),
            visibility: Some(request.visibility()),
        };
        self.announce_as(id, request, keeping, Audience::Public)
            .await
    }

    /// Announces an upload for whoever `keeping` says.
    pub(super) async fn announce_as(
        &self,
        id: ImageId,
        request: UploadRequest,
        keeping: Keeping,
        audience: Audience,
    ) -> Result<UploadTicket, Problem> {
        if self.is_denied(&request.sha256).await? {
            return Err(refused());
        }
        self.refer(&request.sha256, &id).await?;
        let sha256 = request.sha256.clone();
        let announced = self
            .announce_referred(&id, request, keeping, audience)
            .await;
        if announced.is_err() {
            self.holdings.forget(&id);
        }
        if announced.is_err() && self.load(&id).await?.is_none() {
            self.store.delete(&keys::reference(&sha256, &id)).await?;
        }
        announced
    }

    /// As [`Self::announce_as`], of bytes that cannot vanish meanwhile.
    async fn announce_referred(
        &self,
        id: &ImageId,
        request: UploadRequest,
        keeping: Keeping,
        audience: Audience,
    ) -> Result<UploadTicket, Problem> {
        let support = self.store.support().await?;
        let already_stored = self.keep_if_sound(&request).await?;
        if !already_stored {
            let valid = self.expiry;
            self.take_room(id, request.bytes, audience, valid).await?;
        }
        let staged = !support.direct() && !already_stored;
        let key = if staged {
            keys::incoming(id)
        } else {
            keys::picture(&request.sha256)
        };
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&request.sha256, &mut sha256).map_err(internal)?;
        let claim = ObjectClaim {
            key: &key,
            bytes: request.bytes,
            content_type: PNG_MIME,
            sha256,
            only_new: support.conditional_header,
        };
        let presigned = self
            .store
            .presign_put(&claim, audience, self.expiry)
            .await?;
        let pending = Pending {
            format: FORMAT,
            sha256: request.sha256,
            bytes: request.bytes,
            recipe: request.recipe,
            keeping,
            staged,
            mismatch: None,
        };
        self.write_pending(id, &pending).await?;
        Ok(UploadTicket {
            id: id.to_string(),
            method: "PUT".to_owned(),
            url: presigned.url,
            headers: presigned.headers,
            expires_in: self.expiry.as_secs(),
            already_stored,
        })
    }

    /// The announcement of an upload that is not committed.
    pub(super) async fn pending(&self, id: &ImageId) -> Result<Option<Pending>, Problem> {
        match self.store.get(&keys::pending(id), MAX_RECORD_BYTES).await {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| {
                tracing::error!(%id, %error, "announcement is damaged");
                Problem::new(
                    ProblemCode::Internal,
                    "this upload's announcement is damaged",
                )
                .with_hint("Announce it again.")
            }),
            Err(StorageError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn write_pending(
        &self,
        id: &ImageId,
        pending: &Pending,
    ) -> Result<(), Problem> {
        let json = serde_json::to_vec(pending).map_err(internal)?;
        Ok(self.store.put_json(&keys::pending(id), json).await?)
    }

    /// Whether the bytes are in place and are what their key says; damaged ones are removed.
    async fn keep_if_sound(&self, request: &UploadRequest) -> Result<bool, Problem> {
        let key = keys::picture(&request.sha256);
        let bytes = match self.store.get(&key, most_bytes(&request.recipe)).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound(_)) => return Ok(false),
            Err(StorageError::TooLarge { .. }) => {
                self.delete_bytes(&key).await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        if sha256_hex(&bytes) != request.sha256 {
            self.delete_bytes(&key).await?;
            return Ok(false);
        }
        check_length(bytes.len() as u64, request.bytes)?;
        Ok(true)
    }

    /// Deletes bytes that can never become a picture.
    pub(super) async fn delete_bytes(&self, key: &str) -> Result<(), StorageError> {
        self.store.delete(key).await?;
        self.holdings.shrank();
        Ok(())
    }
}
