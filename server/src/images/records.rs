//! Records of pictures and the markers that lists are made of.

use protocol::{ImageRecord, Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use super::{ImageId, Images, MAX_RECORD_BYTES, OwnerId, internal, keys};
use crate::storage::StorageError;

/// A record as it is kept: with its owner, which no answer shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    #[serde(flatten)]
    pub record: ImageRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
}

impl Stored {
    /// The record as `asking` may see it.
    pub fn seen_by(self, asking: Option<&OwnerId>) -> ImageRecord {
        ImageRecord {
            mine: self.owner.is_some() && self.owner.as_ref() == asking,
            ..self.record
        }
    }

    /// Keys of the empty objects that lists are made of.
    pub fn markers(&self, id: &ImageId) -> Vec<String> {
        let model = &self.record.recipe.request.model;
        let mut keys: Vec<String> = Vec::new();
        if let Some(owner) = &self.owner {
            keys.push(keys::owned(owner, id, model));
        }
        if !self.record.unlisted {
            keys.extend(self.public_markers(id));
        }
        keys
    }

    /// Those that only a listed picture has.
    pub fn public_markers(&self, id: &ImageId) -> [String; 2] {
        let model = &self.record.recipe.request.model;
        [
            format!("{}{id}", keys::of_model(model)),
            format!("{}{id}", keys::of_creator(keys::creator(model))),
        ]
    }
}

impl Images {
    /// The record, listed or not.
    pub(super) async fn find_record(&self, id: &ImageId) -> Result<Option<Stored>, Problem> {
        if let Some(stored) = self.read_record(id, &keys::listed(id)).await? {
            return Ok(Some(stored));
        }
        self.read_record(id, &keys::unlisted(id)).await
    }

    pub(super) async fn read_record(
        &self,
        id: &ImageId,
        key: &str,
    ) -> Result<Option<Stored>, Problem> {
        match self.store.get(key, MAX_RECORD_BYTES).await {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| {
                tracing::error!(%id, %error, "record is damaged");
                Problem::new(
                    ProblemCode::Internal,
                    "the record of this picture is damaged",
                )
            }),
            Err(StorageError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the markers, then the record: what is listed anywhere can be found everywhere.
    pub(super) async fn write_record(&self, id: &ImageId, stored: &Stored) -> Result<(), Problem> {
        self.put_markers(&stored.markers(id)).await?;
        let key = if stored.record.unlisted {
            keys::unlisted(id)
        } else {
            keys::listed(id)
        };
        let json = serde_json::to_vec(stored).map_err(internal)?;
        Ok(self.store.put_json(&key, json).await?)
    }

    pub(super) async fn put_markers(&self, markers: &[String]) -> Result<(), StorageError> {
        let puts = markers.iter().map(|key| self.store.put_marker(key));
        futures::future::try_join_all(puts).await.map(|_| ())
    }

    pub(super) async fn delete_all(&self, keys: &[String]) -> Result<(), StorageError> {
        let deletions = keys.iter().map(|key| self.store.delete(key));
        futures::future::try_join_all(deletions).await.map(|_| ())
    }
}
