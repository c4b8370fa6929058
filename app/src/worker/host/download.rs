//! Bringing a package here: what is missing of it, resumed, checked, and shared with other tabs.

mod file;
mod progress;

use std::collections::HashMap;

use diffusion::Manifest;
use futures::StreamExt;
use futures::stream;

use self::progress::Progress;
use super::End;
use super::control::Control;
use super::fetch::{addresses, fetch_whole};
use super::files::StoredFiles;
use super::store::shelf::{Shelf, ShelfError};
use super::store::{Store, estimate};
use crate::worker::message::{RoomChoice, RunEvent, Transfer};
use crate::worker::weights::evict;
use crate::worker::weights::seal::Seal;

/// Files that are fetched at a time.
const PARALLEL: usize = 3;
/// Pause between two looks at whether the network is back or another tab has got on, in milliseconds.
const POLL_MS: i32 = 500;

/// Where a package comes from and who is told.
pub(super) struct Download<'d> {
    pub(super) store: Store,
    pub(super) control: &'d Control,
    pub(super) report: &'d dyn Fn(RunEvent),
}

/// Why a file is not here.
enum Halt {
    End(End),
    /// The browser gives no more room.
    Full,
    /// The place for files fails, as the browser names it.
    Unusable(String),
}

impl From<End> for Halt {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<ShelfError> for Halt {
    fn from(error: ShelfError) -> Self {
        match error {
            ShelfError::Full => Self::Full,
            ShelfError::Other(detail) => Self::Unusable(detail),
        }
    }
}

impl Download<'_> {
    /// The package whose manifest is at `url`, every file of it stored. `digest` is the manifest that the page knows.
    pub(super) async fn package(
        &self,
        url: &str,
        digest: &str,
    ) -> Result<(Manifest, StoredFiles), End> {
        let (json, manifest) = self.manifest(url, digest).await?;
        let base = url.rsplit_once('/').map_or("", |(base, _)| base);
        let mut store = self.store.clone();
        loop {
            match self.fill(&store, &manifest, url, &json, base).await {
                Ok(seals) => {
                    let files = StoredFiles::new(store, base, &manifest, seals);
                    return Ok((manifest, files));
                }
                Err(Halt::End(end)) => return Err(end),
                Err(Halt::Full) => store = self.make_room(store, &manifest).await?,
                // The picture can be made all the same: the weights are kept elsewhere, at last in memory.
                Err(Halt::Unusable(detail)) => match store.0.elsewhere().await {
                    Some(place) => store = Store(place),
                    None => return Err(End::Storage(detail)),
                },
            }
        }
    }

    /// From the store where it is the one that the page knows; else from the server.
    async fn manifest(&self, url: &str, digest: &str) -> Result<(String, Manifest), End> {
        let json = match self.store.manifest(digest).await {
            Some(json) => json,
            None => {
                let bytes = fetch_whole(url, self.control).await?;
                String::from_utf8(bytes)
                    .map_err(|_| End::Package("the manifest is no text".to_owned()))?
            }
        };
        let manifest = Manifest::parse(json.as_bytes())?;
        Ok((json, manifest))
    }

    async fn fill(
        &self,
        store: &Store,
        manifest: &Manifest,
        url: &str,
        json: &str,
        base: &str,
    ) -> Result<HashMap<String, Seal>, Halt> {
        let total = manifest.files().map(|f| f.bytes).sum();
        let progress = Progress::new(self.report, total);
        let mut seals = HashMap::new();
        let mut missing = Vec::new();
        for entry in manifest.files() {
            match store.seal(entry).await? {
                Some(seal) => {
                    progress.set(&entry.sha256, entry.bytes);
                    seals.insert(entry.name.clone(), seal);
                }
                None => {
                    progress.set(&entry.sha256, store.stored(entry).await);
                    missing.push(entry);
                }
            }
        }
        if !missing.is_empty() {
            self.check_room(store, manifest, &progress).await?;
        }
        store.note(url, json, manifest.digest()).await?;
        if missing.is_empty() {
            return Ok(seals);
        }
        progress.tell(Transfer::Running, true);
        let addresses = addresses(base, self.control).await;
        self.control.check()?;
        let mut fetched = stream::iter(missing.into_iter().map(|entry| {
            let (progress, addresses) = (&progress, &addresses);
            async move {
                let urls = addresses.of(base, &entry.name);
                let seal = self.file(store, entry, urls, progress).await?;
                Ok::<_, Halt>((entry.name.clone(), seal))
            }
        }))
        .buffer_unordered(PARALLEL);
        while let Some(done) = fetched.next().await {
            let (name, seal) = done?;
            seals.insert(name, seal);
        }
        progress.tell(Transfer::Running, true);
        Ok(seals)
    }

    async fn check_room(
        &self,
        store: &Store,
        manifest: &Manifest,
        progress: &Progress<'_>,
    ) -> Result<(), Halt> {
        if matches!(store.0, Shelf::Memory(_)) {
            return Ok(());
        }
        let (Some(usage), Some(quota)) = estimate().await else {
            return Ok(());
        };
        let needed = progress.missing();
        let models = store.models().await?;
        evict::check(needed, quota, usage, &models, manifest.digest()).map_err(|_| Halt::Full)
    }

    /// Asks the visitor what to do and does it; gives the place to go on with.
    async fn make_room(&self, store: Store, manifest: &Manifest) -> Result<Store, End> {
        let models = store.models().await.unwrap_or_default();
        let mut here = 0;
        for entry in manifest.files() {
            here += store.stored(entry).await;
        }
        let total: u64 = manifest.files().map(|f| f.bytes).sum();
        let (usage, quota) = estimate().await;
        let (usage, quota) = (usage.unwrap_or_default(), quota.unwrap_or_default());
        let needed = total.saturating_sub(here);
        let needs = match evict::check(needed, quota, usage, &models, manifest.digest()) {
            Err(needs) => needs,
            // The browser's estimate says yes and its disk says no.
            Ok(()) => evict::refused(needed, 0, &models, manifest.digest()),
        };
        (self.report)(RunEvent::NeedsRoom(needs.clone()));
        match self.control.room_choice().await? {
            RoomChoice::Evict => {
                for model in &needs.evictable {
                    store
                        .remove(&model.digest)
                        .await
                        .map_err(|error| End::Storage(error.to_string()))?;
                }
                Ok(store)
            }
            RoomChoice::WithoutKeeping => Ok(Store(Shelf::memory())),
        }
    }
}
