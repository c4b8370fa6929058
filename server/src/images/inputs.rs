//! Pictures that requests begin with, and masks: sent before the request that names them, read by workers, served to nobody.
//!
//! Each is an object of its own, `input/file/<id>`, beside `input/record/<id>.json`, which says whose it is and what it
//! was announced as. A picture of the hub that a request begins with is copied to such an object: a job has what it
//! needs, whatever becomes of that picture meanwhile.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use diffusion::{Looked, begun};
use protocol::{
    INPUT_MIMES, INPUT_SECONDS, InputRequest, MAX_INPUT_BYTES, PictureRef, Problem, ProblemCode,
    UploadTicket,
};
use serde::{Deserialize, Serialize};

use super::records::unnumbered;
use super::references::now;
use super::sweep::Pages;
use super::verify::sha256_hex;
use super::{
    Client, FORMAT, ImageId, Images, MAX_RECORD_BYTES, OwnerId, internal, keys, no_such_picture,
    refused,
};
use crate::storage::{Audience, ObjectClaim, StorageError};

/// How long an input may be named in requests.
pub const INPUT_LIFETIME: Duration = Duration::from_secs(INPUT_SECONDS);
/// Longest time that a request can still be under way that named an input in time.
const UNDER_WAY: Duration = Duration::from_secs(3600);

/// What is known of an input beside its bytes.
#[derive(Clone, Serialize, Deserialize)]
struct Announced {
    #[serde(default = "unnumbered")]
    format: u32,
    sha256: String,
    bytes: u64,
    #[serde(default)]
    owner: Option<OwnerId>,
}

/// An input that a job needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its id.
    pub id: String,
    /// SHA-256 of its bytes, 64 lower-case hex digits.
    pub sha256: String,
}

/// A picture as a request brings it.
#[derive(Clone, Debug)]
pub enum Given {
    /// By its name.
    Named(PictureRef),
    /// As a file.
    File(Vec<u8>),
}

impl Images {
    /// Checks an announced input and signs a PUT for exactly those bytes.
    ///
    /// # Errors
    /// A problem that names what is wrong with the request; [`ProblemCode::RateLimited`]; [`ProblemCode::ImageRefused`];
    /// [`ProblemCode::StorageFull`]; [`ProblemCode::StorageUnavailable`].
    pub async fn announce_input(
        &self,
        request: InputRequest,
        client: &Client,
    ) -> Result<UploadTicket, Problem> {
        if !INPUT_MIMES.contains(&request.content_type.as_str()) {
            let accepted = INPUT_MIMES.join(", ");
            let detail = format!("only {accepted} can be begun with");
            return Err(Problem::new(ProblemCode::UnsupportedType, detail));
        }
        let mut sha256 = [0; 32];
        if !protocol::is_sha256_hex(&request.sha256)
            || hex::decode_to_slice(&request.sha256, &mut sha256).is_err()
        {
            return Err(malformed("sha256 is not 64 lower-case hex digits"));
        }
        if !(1..=MAX_INPUT_BYTES).contains(&request.bytes) {
            let bytes = request.bytes;
            let detail = format!("bytes is {bytes}; 1 to {MAX_INPUT_BYTES} are accepted");
            return Err(malformed(&detail));
        }
        let support = self.store.support().await?;
        let owner = Some(client.owner.clone());
        let address = client.address;
        let id = self
            .take_input(&request.sha256, request.bytes, owner, address, self.expiry)
            .await?;
        let claim = ObjectClaim {
            key: &keys::input_file(&id),
            bytes: request.bytes,
            content_type: &request.content_type,
            sha256,
            only_new: support.conditional_header,
        };
        let presigned = self
            .store
            .presign_put(&claim, Audience::Public, self.expiry)
            .await?;
        Ok(UploadTicket {
            id: id.to_string(),
            method: "PUT".to_owned(),
            url: presigned.url,
            headers: presigned.headers,
            expires_in: self.expiry.as_secs(),
            already_stored: false,
        })
    }

    /// Deletes an input of `asking`; jobs that need it fail.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`] also where it is somebody else's; [`ProblemCode::StorageUnavailable`].
    pub async fn delete_input(&self, id: &str, asking: Option<&OwnerId>) -> Result<(), Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_input())?;
        self.announced_for(&id, asking).await?;
        self.remove_input(&id).await
    }

    /// The input that a request brings, checked: it is there, may be used by `asking`, and is a picture that can be read.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`] where there is none, it is too old or somebody else's; [`ProblemCode::UploadMissing`],
    /// [`ProblemCode::UploadMismatch`], [`ProblemCode::UnreadablePicture`], [`ProblemCode::ImageRefused`],
    /// [`ProblemCode::Withdrawn`]; those of an upload.
    pub async fn input(
        &self,
        given: Given,
        asking: Option<&OwnerId>,
        address: IpAddr,
    ) -> Result<Input, Problem> {
        match given {
            Given::Named(PictureRef::Input(id)) => {
                let id: ImageId = id.parse().map_err(|_| no_such_input())?;
                let announced = self.announced_for(&id, asking).await?;
                if now().saturating_sub(id.created_at()) > milliseconds(INPUT_LIFETIME) {
                    return Err(no_such_input());
                }
                let input = Input {
                    id: id.to_string(),
                    sha256: announced.sha256,
                };
                let file = self.input_bytes(&id, &input.sha256).await?;
                self.look(file).await?;
                Ok(input)
            }
            Given::Named(PictureRef::Image(id)) => {
                let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
                let found = self.find_for(&id, asking).await?;
                let found = found.ok_or_else(no_such_picture)?;
                let file = self.png(&found.sha256).await?;
                self.keep_input(file, asking, address).await
            }
            Given::File(file) => self.keep_input(file, asking, address).await,
        }
    }

    /// The bytes of an input that a job needs.
    ///
    /// # Errors
    /// [`ProblemCode::UploadMissing`] where they are gone, [`ProblemCode::ImageRefused`], [`ProblemCode::UploadMismatch`],
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn input_file(&self, input: &Input) -> Result<Vec<u8>, Problem> {
        let id: ImageId = input.id.parse().map_err(|_| no_such_input())?;
        self.input_bytes(&id, &input.sha256).await
    }

    /// Removes the inputs that are no longer to be named and that no job needs, `needed` by their ids. How many.
    ///
    /// # Errors
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn sweep_inputs(
        &self,
        needed: &HashSet<String>,
        lifetime: Duration,
    ) -> Result<usize, Problem> {
        let old = now().saturating_sub(milliseconds(lifetime + UNDER_WAY.min(lifetime)));
        let mut removed = HashSet::new();
        for prefix in [keys::INPUT_FILES, keys::INPUT_RECORDS] {
            let mut pages = Pages::new(self, prefix);
            while let Some(objects) = pages.next().await? {
                for id in objects.iter().filter_map(|object| keys::id_in(&object.key)) {
                    let id_text = id.to_string();
                    if id.created_at() <= old && !needed.contains(&id_text) {
                        self.remove_input(&id).await?;
                        removed.insert(id_text);
                    }
                }
            }
        }
        Ok(removed.len())
    }

    /// Stores the bytes of an input.
    async fn keep_input(
        &self,
        file: Vec<u8>,
        owner: Option<&OwnerId>,
        address: IpAddr,
    ) -> Result<Input, Problem> {
        let (sha256, bytes) = (sha256_hex(&file), file.len() as u64);
        let (file, _) = self.look(file).await?;
        let id = self
            .take_input(&sha256, bytes, owner.cloned(), address, Duration::ZERO)
            .await?;
        // What it really is was found out before; nobody is served it by this name.
        self.store
            .put(&keys::input_file(&id), file, "application/octet-stream")
            .await?;
        Ok(Input {
            id: id.to_string(),
            sha256,
        })
    }

    /// Counts an input and writes down whose it is.
    async fn take_input(
        &self,
        sha256: &str,
        bytes: u64,
        owner: Option<OwnerId>,
        address: IpAddr,
        arriving: Duration,
    ) -> Result<ImageId, Problem> {
        if let Some(quota) = &self.quota {
            quota.take_input(owner.as_ref(), address, bytes)?;
        }
        if self.is_denied(sha256).await? {
            return Err(refused());
        }
        let id = ImageId::new().map_err(internal)?;
        self.take_room(&id, bytes, Audience::Public, arriving)
            .await?;
        let announced = Announced {
            format: FORMAT,
            sha256: sha256.to_owned(),
            bytes,
            owner,
        };
        let json = serde_json::to_vec(&announced).map_err(internal)?;
        let key = keys::input_record(&id);
        if let Err(error) = self.store.put_json(&key, json).await {
            self.holdings.forget(&id);
            return Err(error.into());
        }
        Ok(id)
    }

    async fn announced_for(
        &self,
        id: &ImageId,
        asking: Option<&OwnerId>,
    ) -> Result<Announced, Problem> {
        let key = keys::input_record(id);
        let json = match self.store.get(&key, MAX_RECORD_BYTES).await {
            Ok(json) => json,
            Err(StorageError::NotFound(_)) => return Err(no_such_input()),
            Err(error) => return Err(error.into()),
        };
        let announced: Announced = serde_json::from_slice(&json).map_err(internal)?;
        if announced.owner.is_some() && announced.owner.as_ref() == asking {
            Ok(announced)
        } else {
            Err(no_such_input())
        }
    }

    async fn input_bytes(&self, id: &ImageId, sha256: &str) -> Result<Vec<u8>, Problem> {
        if self.is_denied(sha256).await? {
            return Err(refused());
        }
        let key = keys::input_file(id);
        let bytes = match self.store.get(&key, MAX_INPUT_BYTES).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound(_)) => return Err(missing()),
            Err(StorageError::TooLarge { .. }) => {
                self.remove_input(id).await?;
                return Err(mismatch());
            }
            Err(error) => return Err(error.into()),
        };
        if sha256_hex(&bytes) != sha256 {
            self.remove_input(id).await?;
            return Err(mismatch());
        }
        Ok(bytes)
    }

    async fn remove_input(&self, id: &ImageId) -> Result<(), Problem> {
        self.delete_bytes(&keys::input_file(id)).await?;
        self.store.delete(&keys::input_record(id)).await?;
        Ok(())
    }

    /// Looks at a file, and gives it back.
    ///
    /// # Errors
    /// [`ProblemCode::UnreadablePicture`].
    pub async fn look(&self, file: Vec<u8>) -> Result<(Vec<u8>, Looked), Problem> {
        let looked = self.compute(move || begun::look(&file).map(|looked| (file, looked)));
        looked.await?.map_err(|why| {
            Problem::new(ProblemCode::UnreadablePicture, why)
                .with_hint("Send a PNG, JPEG or WebP file with fewer pixels.")
        })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn malformed(detail: &str) -> Problem {
    Problem::new(ProblemCode::MalformedRequest, detail)
}

fn no_such_input() -> Problem {
    Problem::new(
        ProblemCode::NotFound,
        "there is no picture to begin with of this id, or no longer",
    )
    .with_hint("POST /api/v1/inputs announces one; it may be named for a day.")
}

fn missing() -> Problem {
    Problem::new(
        ProblemCode::UploadMissing,
        "the bytes of the picture to begin with are not there",
    )
    .with_hint("Send them to the presigned URL first; if it expired, announce the picture again.")
}

fn mismatch() -> Problem {
    Problem::new(
        ProblemCode::UploadMismatch,
        "the stored bytes are not those that were announced as the picture to begin with",
    )
    .with_hint("Announce the picture again and send exactly its bytes.")
}
