//! Pictures that workers made.

use protocol::{ImageRecord, PNG_MIME, Problem, Recipe, RunsOn, UploadRequest, UploadTicket};

use super::records::Kept;
use super::verify::sha256_hex;
use super::{ImageId, Images, Keeping, no_such_picture, withdrawn};
use crate::storage::{Audience, StorageError};

impl Images {
    /// Stores under `id` a picture that a worker made, by the same presigned PUT as a browser's. Saving twice under
    /// one id, as two workers may that held the same job, saves one picture; what was deleted stays deleted.
    ///
    /// # Errors
    /// As [`Self::commit`], [`protocol::ProblemCode::RateLimited`] apart.
    pub async fn save(
        &self,
        id: ImageId,
        png: Vec<u8>,
        recipe: Recipe,
        keeping: Keeping,
    ) -> Result<ImageRecord, Problem> {
        let owner = keeping.owner.clone();
        match self.load(&id).await?.map(|loaded| loaded.kept) {
            Some(Kept::Picture(stored)) => return Ok(stored.seen_by(owner.as_ref())),
            Some(Kept::Removed(tombstone)) if tombstone.is_withdrawn() => return Err(withdrawn()),
            Some(Kept::Removed(_)) => return Err(no_such_picture()),
            None => {}
        }
        let request = UploadRequest {
            sha256: sha256_hex(&png),
            bytes: png.len() as u64,
            content_type: PNG_MIME.to_owned(),
            recipe,
            unlisted: false,
            visibility: keeping.visibility,
        };
        let request = self.check(request, RunsOn::Server)?;
        let ticket = self
            .announce_as(id.clone(), request, keeping, Audience::Internal)
            .await?;
        if !ticket.already_stored {
            self.put(&ticket, png).await?;
        }
        self.commit_for(&id, owner.as_ref()).await
    }

    async fn put(&self, ticket: &UploadTicket, png: Vec<u8>) -> Result<(), Problem> {
        let mut request = self.store.http().put(&ticket.url);
        for (name, value) in &ticket.headers {
            request = request.header(name, value);
        }
        // The URL carries the signature: it must not reach the log.
        let response = request
            .body(png)
            .send()
            .await
            .map_err(|e| StorageError::Unavailable {
                operation: "presigned PUT",
                detail: e.without_url().to_string(),
            })?;
        let status = response.status();
        // 412: the same bytes arrived by another way; the commit verifies them.
        if status.is_success() || status == http::StatusCode::PRECONDITION_FAILED {
            return Ok(());
        }
        Err(StorageError::of_status("presigned PUT", status).into())
    }
}
