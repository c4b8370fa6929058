//! What the operator does with a picture: look at it, take it down, and refuse its bytes from then on.

use futures::{Stream, StreamExt};
use protocol::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use super::records::{BY_OPERATOR, Kept, Loaded, State, Stored};
use super::references::now;
use super::{FORMAT, ImageId, Images, internal, keys, no_such_picture};

/// Keys in one list request.
const PAGE: usize = 1000;
/// Records read at the same time.
const PARALLEL: usize = 12;
/// Records and uploads of the same bytes that are taken down at once.
const SAME_BYTES: usize = 1000;

/// Which picture the operator means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One record; with the others of the same bytes.
    Id(ImageId),
    /// All records of these bytes, and those to come.
    Sha256(String),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if protocol::is_sha256_hex(text) {
            return Ok(Self::Sha256(text.to_owned()));
        }
        let id = text.rsplit('/').next().unwrap_or(text);
        id.parse()
            .map(Self::Id)
            .map_err(|_| format!("{text:?} is neither a picture's id or address nor a SHA-256"))
    }
}

/// What becomes of a picture that is taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takedown {
    /// Nobody sees it; it can be shown again.
    Hide,
    /// Record and bytes are removed for good.
    Remove,
}

/// A record as the operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Id of the permalink.
    pub id: String,
    /// `private`, `unlisted`, `listed`, `hidden` or `removed`.
    pub state: String,
    /// SHA-256 of the bytes.
    pub sha256: String,
    /// Whether the bytes are refused from now on.
    pub denied: bool,
    /// Hash of the owner's cookie; absent: nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Length of the PNG in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// `owner`, `operator`, `expiry`, `upload` or `lost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_by: Option<String>,
}

/// Bytes that are refused.
#[derive(Serialize, Deserialize)]
struct Denial {
    #[serde(default = "super::records::unnumbered")]
    format: u32,
    /// Milliseconds since the Unix epoch.
    denied_at: u64,
    #[serde(default)]
    reason: String,
}

impl Images {
    /// Whether the operator refuses these bytes.
    pub(super) async fn is_denied(&self, sha256: &str) -> Result<bool, Problem> {
        Ok(self.store.exists(&keys::denied(sha256)).await?)
    }

    /// Every record, newest first. Damaged ones are logged and left out.
    pub fn all_records(&self) -> impl Stream<Item = Result<Seen, Problem>> + use<> {
        let images = self.clone();
        let pages =
            futures::stream::try_unfold(Some(None), move |after: Option<Option<String>>| {
                let images = images.clone();
                async move {
                    let Some(after) = after else {
                        return Ok::<_, Problem>(None);
                    };
                    let (found, more) = images.store.list(keys::RECORDS, after, PAGE).await?;
                    let next = found.last().cloned().filter(|_| more).map(Some);
                    Ok(Some((found, next)))
                }
            });
        let images = self.clone();
        pages.flat_map(move |page| {
            let images = images.clone();
            let (ids, failed) = match page {
                Ok(found) => (found, None),
                Err(problem) => (Vec::new(), Some(Err(problem))),
            };
            let ids: Vec<ImageId> = ids.iter().filter_map(|key| keys::id_in(key)).collect();
            let seen = futures::stream::iter(ids)
                .map(move |id| {
                    let images = images.clone();
                    async move { images.seen(&id).await.transpose() }
                })
                .buffered(PARALLEL)
                .filter_map(std::future::ready)
                .filter(|seen| {
                    let damaged = matches!(seen, Err(p) if p.code == ProblemCode::Internal);
                    std::future::ready(!damaged)
                });
            seen.chain(futures::stream::iter(failed))
        })
    }

    /// The records that `target` names.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`] where an id names none, [`ProblemCode::StorageUnavailable`].
    pub async fn records_of(&self, target: &Target) -> Result<Vec<Seen>, Problem> {
        let ids = match target {
            Target::Id(id) => {
                let seen = self.seen(id).await?.ok_or_else(no_such_picture)?;
                return Ok(vec![seen]);
            }
            Target::Sha256(sha256) => self.ids_of(sha256).await?,
        };
        let mut all = Vec::new();
        for id in ids {
            all.extend(self.seen(&id).await?);
        }
        Ok(all)
    }

    async fn seen(&self, id: &ImageId) -> Result<Option<Seen>, Problem> {
        let Some(Loaded { kept, .. }) = self.load(id).await? else {
            return Ok(None);
        };
        let seen = match kept {
            Kept::Picture(stored) => Seen {
                id: stored.id.clone(),
                state: stored.state.clone().into(),
                denied: self.is_denied(&stored.sha256).await?,
                owner: stored.owner.as_ref().map(ToString::to_string),
                model: Some(stored.model().to_owned()),
                bytes: Some(stored.bytes),
                created_at: stored.created_at,
                expires_at: stored.expires_at,
                removed_by: None,
                sha256: stored.sha256,
                prompt: Some(stored.recipe.request.prompt),
            },
            Kept::Removed(tombstone) => Seen {
                state: "removed".to_owned(),
                denied: self.is_denied(&tombstone.sha256).await?,
                owner: tombstone.owner.as_ref().map(ToString::to_string),
                model: None,
                prompt: None,
                bytes: None,
                created_at: id.created_at(),
                expires_at: None,
                removed_by: Some(tombstone.removed_by),
                id: tombstone.id,
                sha256: tombstone.sha256,
            },
        };
        Ok(Some(seen))
    }

    /// Takes down every record of the bytes that `target` names, and refuses them from now on. Gives what was taken
    /// down; none where the bytes were only refused.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`] where an id names no picture, [`ProblemCode::StorageUnavailable`]: then the bytes may
    /// be refused already, and the rest is done by doing it again.
    pub async fn take_down(
        &self,
        target: &Target,
        how: Takedown,
        reason: &str,
    ) -> Result<Vec<String>, Problem> {
        let sha256 = self.digest_of(target).await?;
        let denial = Denial {
            format: FORMAT,
            denied_at: now(),
            reason: reason.to_owned(),
        };
        // The denial first: a commit that does not see it has written its record, which is then found here.
        let json = serde_json::to_vec(&denial).map_err(internal)?;
        self.store.put_json(&keys::denied(&sha256), json).await?;
        let mut ids = self.ids_of(&sha256).await?;
        if let Target::Id(id) = target
            && !ids.contains(id)
        {
            ids.push(id.clone());
        }
        let mut done = Vec::new();
        for id in ids {
            let taken = match self.find(&id).await? {
                Some(stored) if stored.sha256 == sha256 => self.take_one_down(&id, how).await?,
                Some(_) => false,
                // A commit that is done first leaves a picture.
                None => {
                    !self.end_upload(&id, &sha256, None).await?
                        && self.take_one_down(&id, how).await?
                }
            };
            if taken {
                done.push(id.to_string());
            }
        }
        if how == Takedown::Remove {
            self.remove_if_unreferenced(&sha256).await?;
        }
        Ok(done)
    }

    async fn take_one_down(&self, id: &ImageId, how: Takedown) -> Result<bool, Problem> {
        if how == Takedown::Remove {
            return Ok(self.remove(id, BY_OPERATOR, |_| Ok(())).await?.is_some());
        }
        let hide = |mut stored: Stored| {
            if stored.state != State::Hidden {
                stored.hidden_from = Some(std::mem::replace(&mut stored.state, State::Hidden));
            }
            Ok(Kept::Picture(Box::new(stored)))
        };
        let Some(changed) = self.update(id, hide).await? else {
            return Ok(false);
        };
        self.settle(id, &changed.before).await?;
        Ok(true)
    }

    /// Accepts the bytes again and shows the hidden records of them as before. Gives those.
    ///
    /// # Errors
    /// As [`Self::take_down`].
    pub async fn put_back(&self, target: &Target) -> Result<Vec<String>, Problem> {
        let sha256 = self.digest_of(target).await?;
        self.store.delete(&keys::denied(&sha256)).await?;
        let mut done = Vec::new();
        for id in self.ids_of(&sha256).await? {
            let changed = self.update(&id, |mut stored| {
                if stored.state == State::Hidden {
                    stored.state = stored.hidden_from.take().unwrap_or(State::Private);
                }
                Ok(Kept::Picture(Box::new(stored)))
            });
            let Some(changed) = changed.await? else {
                continue;
            };
            self.settle(&id, &changed.before).await?;
            if changed.before.state == State::Hidden {
                done.push(id.to_string());
            }
        }
        Ok(done)
    }

    async fn digest_of(&self, target: &Target) -> Result<String, Problem> {
        match target {
            Target::Sha256(sha256) => Ok(sha256.clone()),
            Target::Id(id) => match self.load(id).await?.map(|loaded| loaded.kept) {
                Some(Kept::Picture(stored)) => Ok(stored.sha256),
                Some(Kept::Removed(tombstone)) => Ok(tombstone.sha256),
                None => Err(no_such_picture()),
            },
        }
    }

    /// Ids of the records and uploads that refer to the bytes.
    async fn ids_of(&self, sha256: &str) -> Result<Vec<ImageId>, Problem> {
        let (mut ids, mut after) = (Vec::new(), None);
        let prefix = keys::references(sha256);
        loop {
            let (found, more) = self.store.list(&prefix, after, SAME_BYTES).await?;
            ids.extend(found.iter().filter_map(|key| keys::id_in(key)));
            after = found.last().cloned();
            if !more || after.is_none() {
                return Ok(ids);
            }
        }
    }
}
