//! The weights that this browser keeps, by the SHA-256 of each file.
//!
//! Beside a file `<sha256>` lies `<sha256>.seal` once it is complete and checked, and `<digest>.package` names the files of
//! a manifest.

pub(super) mod shelf;

use diffusion::{FileEntry, Manifest};
use js_sys::Uint8Array;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::shelf::{Shelf, ShelfError, Writer};
use super::js::{has_subtle, lock, sha256, storage};
use super::{get, js};
use crate::worker::message::Storage;
use crate::worker::weights::evict::StoredModel;
use crate::worker::weights::seal::{Seal, Sealing};

/// Name of the lock under which a file is written.
pub(super) fn lock_name(sha256: &str) -> String {
    format!("demo-hub-weights-{sha256}")
}

#[derive(Serialize, Deserialize)]
struct PackageNote {
    url: String,
    manifest: String,
    last_used_ms: f64,
}

/// A shelf with seals and packages.
#[derive(Clone)]
pub(super) struct Store(pub(super) Shelf);

impl Store {
    /// The best place that this browser has for weights.
    pub(super) async fn open() -> Self {
        // Without digests computed by the browser every read would be hashed by this thread.
        if has_subtle() {
            Self(Shelf::open().await)
        } else {
            Self(Shelf::memory())
        }
    }

    /// The seal of a file that is stored whole.
    pub(super) async fn seal(&self, entry: &FileEntry) -> Result<Option<Seal>, ShelfError> {
        let Some(text) = self.0.read_text(&format!("{}.seal", entry.sha256)).await? else {
            return Ok(None);
        };
        let seal: Option<Seal> = serde_json::from_str(&text).ok();
        let Some(seal) = seal.filter(|seal| seal.fits(&entry.sha256, entry.bytes)) else {
            return Ok(None);
        };
        Ok((self.0.size(&entry.sha256).await? == entry.bytes).then_some(seal))
    }

    pub(super) async fn write_seal(&self, seal: &Seal) -> Result<(), ShelfError> {
        let text = serde_json::to_string(seal).map_err(|e| ShelfError::Other(e.to_string()))?;
        self.0
            .write_text(&format!("{}.seal", seal.sha256), &text)
            .await
    }

    /// Opens a file for what is missing, with the digests of what is there.
    pub(super) async fn resume(
        &self,
        entry: &FileEntry,
        mut on_block: impl AsyncFnMut(u64) -> bool,
    ) -> Result<Option<(Writer, Sealing)>, ShelfError> {
        let mut sealing = Sealing::default();
        let size = self.0.size(&entry.sha256).await?;
        let mut index = 0;
        if size <= entry.bytes {
            while let Some(block) = self.0.block(&entry.sha256, index).await? {
                sealing.update(&block.to_vec());
                index += 1;
                if !on_block(sealing.bytes()).await {
                    return Ok(None);
                }
            }
        }
        let mut writer = self.0.writer(&entry.sha256).await?;
        if writer.at() != sealing.bytes() {
            writer.restart().await?;
            sealing = Sealing::default();
        }
        Ok(Some((writer, sealing)))
    }

    /// Bytes that are there of a file.
    pub(super) async fn stored(&self, entry: &FileEntry) -> u64 {
        let size = self.0.size(&entry.sha256).await.unwrap_or_default();
        if size > entry.bytes { 0 } else { size }
    }

    /// A block that has the digest of its seal.
    ///
    /// # Errors
    /// What the shelf says; `Ok(None)` for a block that is damaged or gone.
    pub(super) async fn checked_block(
        &self,
        seal: &Seal,
        index: u64,
    ) -> Result<Option<Uint8Array>, ShelfError> {
        let Some(block) = self.0.block(&seal.sha256, index).await? else {
            return Ok(None);
        };
        let whole = block.length() as usize == seal.span(index).1;
        if whole && seal.block(index) == Some(digest(&block).await?.as_str()) {
            return Ok(Some(block));
        }
        Ok(None)
    }

    /// Puts the right bytes of a damaged block in place.
    ///
    /// # Errors
    /// What the shelf says; `Ok(false)` where these are not the right bytes.
    pub(super) async fn repair(
        &self,
        seal: &Seal,
        index: u64,
        block: &Uint8Array,
    ) -> Result<bool, ShelfError> {
        if seal.block(index) != Some(digest(block).await?.as_str()) {
            return Ok(false);
        }
        let _guard = lock(&lock_name(&seal.sha256)).await;
        self.0.put_block(&seal.sha256, index, block).await?;
        Ok(true)
    }

    /// Notes that a package is used now.
    pub(super) async fn note(&self, url: &str, json: &str, digest: &str) -> Result<(), ShelfError> {
        let note = PackageNote {
            url: url.to_owned(),
            manifest: json.to_owned(),
            last_used_ms: js_sys::Date::now(),
        };
        let text = serde_json::to_string(&note).map_err(|e| ShelfError::Other(e.to_string()))?;
        let _guard = lock(&lock_name(digest)).await;
        self.0.write_text(&format!("{digest}.package"), &text).await
    }

    /// The manifest of that digest, where it is stored.
    pub(super) async fn manifest(&self, digest: &str) -> Option<String> {
        let text = self
            .0
            .read_text(&format!("{digest}.package"))
            .await
            .ok()??;
        let note: PackageNote = serde_json::from_str(&text).ok()?;
        let manifest = Manifest::parse(note.manifest.as_bytes()).ok()?;
        (manifest.digest() == digest).then_some(note.manifest)
    }

    async fn packages(&self) -> Result<Vec<(PackageNote, Manifest)>, ShelfError> {
        let mut packages = Vec::new();
        for name in self.0.names().await? {
            if name.ends_with(".package")
                && let Some(text) = self.0.read_text(&name).await?
                && let Ok(note) = serde_json::from_str::<PackageNote>(&text)
                && let Ok(manifest) = Manifest::parse(note.manifest.as_bytes())
            {
                packages.push((note, manifest));
            }
        }
        Ok(packages)
    }

    /// The stored models, the most recently used one first.
    pub(super) async fn models(&self) -> Result<Vec<StoredModel>, ShelfError> {
        let mut models = Vec::new();
        for (note, manifest) in self.packages().await? {
            let mut stored = 0;
            for entry in manifest.files() {
                stored += self.stored(entry).await;
            }
            models.push(StoredModel {
                digest: manifest.digest().to_owned(),
                id: manifest.id.clone(),
                name: manifest.name.clone(),
                stored_bytes: stored,
                total_bytes: manifest.files().map(|f| f.bytes).sum(),
                last_used_ms: note.last_used_ms,
            });
        }
        models.sort_by(|a, b| b.last_used_ms.total_cmp(&a.last_used_ms));
        Ok(models)
    }

    /// Deletes a package, and its files unless another one has them too.
    pub(super) async fn remove(&self, digest: &str) -> Result<(), ShelfError> {
        let packages = self.packages().await?;
        let files = |own: bool| {
            packages
                .iter()
                .filter(move |(_, m)| (m.digest() == digest) == own)
                .flat_map(|(_, m)| m.files().map(|f| f.sha256.clone()))
        };
        let others: Vec<String> = files(false).collect();
        for sha in files(true).filter(|sha| !others.contains(sha)) {
            let _guard = lock(&lock_name(&sha)).await;
            self.0.remove(&format!("{sha}.seal")).await?;
            self.0.remove(&sha).await?;
        }
        let _guard = lock(&lock_name(digest)).await;
        self.0.remove(&format!("{digest}.package")).await
    }

    /// Reads every block of a package and changes nothing: a damaged one is repaired when it is used next. Gives
    /// how many blocks were damaged or missing; `progress` hears of bytes read.
    pub(super) async fn verify(
        &self,
        digest: &str,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, ShelfError> {
        let mut damaged = 0;
        let packages = self.packages().await?;
        for (_, manifest) in packages.iter().filter(|(_, m)| m.digest() == digest) {
            for entry in manifest.files() {
                let Some(seal) = self.seal(entry).await? else {
                    damaged += 1;
                    continue;
                };
                for index in 0.. {
                    let (_, length) = seal.span(index);
                    if length == 0 {
                        break;
                    }
                    if self.checked_block(&seal, index).await?.is_none() {
                        damaged += 1;
                    }
                    progress(length as u64);
                }
            }
        }
        Ok(damaged)
    }

    /// The storage page's numbers.
    pub(super) async fn report(&self) -> Result<Storage, ShelfError> {
        let (usage, quota) = estimate().await;
        let persisted = match storage() {
            Some(storage) => js::call(&storage, "persisted", &[])
                .await
                .is_ok_and(|yes| yes.is_truthy()),
            None => false,
        };
        Ok(Storage {
            models: self.models().await?,
            usage,
            quota,
            persisted,
            kind: self.0.kind().to_owned(),
            lasts: !matches!(self.0, Shelf::Memory(_)),
        })
    }
}

/// Bytes used and allowed, where the browser tells.
pub(super) async fn estimate() -> (Option<u64>, Option<u64>) {
    let Some(storage) = storage() else {
        return (None, None);
    };
    let Ok(estimate) = js::call(&storage, "estimate", &[]).await else {
        return (None, None);
    };
    let number = |name| {
        get(&estimate, name)
            .and_then(|v| v.as_f64())
            .map(|v| v as u64)
    };
    (number("usage"), number("quota"))
}

async fn digest(block: &Uint8Array) -> Result<String, ShelfError> {
    if !has_subtle() {
        return Ok(hex::encode(Sha256::digest(block.to_vec())));
    }
    Ok(sha256(block).await?)
}
