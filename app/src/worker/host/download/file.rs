//! Bringing one file here: what is missing of it, of one address after the other, checked.

use diffusion::FileEntry;
use wasm_bindgen::JsValue;

use super::progress::Progress;
use super::{Download, Halt, POLL_MS};
use crate::worker::host::fetch::{Sent, next};
use crate::worker::host::js::{self, is_offline, lock};
use crate::worker::host::store::shelf::{Shelf, ShelfError, Writer};
use crate::worker::host::store::{Store, lock_name};
use crate::worker::host::{End, text};
use crate::worker::message::Transfer;
use crate::worker::weights::addresses::Tried;
use crate::worker::weights::backoff::Backoff;
use crate::worker::weights::range::{Answer, content_range, judge};
use crate::worker::weights::seal::{Seal, Sealing};

enum Attempt {
    Failed(String),
    Halt(Halt),
}

impl From<JsValue> for Attempt {
    fn from(error: JsValue) -> Self {
        Self::Failed(text(&error))
    }
}

impl From<ShelfError> for Attempt {
    fn from(error: ShelfError) -> Self {
        Self::Halt(error.into())
    }
}

impl Download<'_> {
    /// One file, stored whole and sealed.
    pub(super) async fn file(
        &self,
        store: &Store,
        entry: &FileEntry,
        urls: Vec<String>,
        progress: &Progress<'_>,
    ) -> Result<Seal, Halt> {
        let _guard = self.wait_for_lock(store, entry, progress).await?;
        if let Some(seal) = store.seal(entry).await? {
            progress.set(&entry.sha256, entry.bytes);
            return Ok(seal);
        }
        let mut tried = Tried::new(urls, store.stored(entry).await > 0);
        loop {
            let resumed = store
                .resume(entry, async |_| self.control.check().is_ok())
                .await?;
            let Some((mut writer, mut sealing)) = resumed else {
                return Err(End::Cancelled.into());
            };
            self.receive(entry, &mut tried, &mut writer, &mut sealing, progress)
                .await?;
            let seal = sealing.finish();
            if seal.fits(&entry.sha256, entry.bytes) {
                writer.close().await?;
                store.write_seal(&seal).await?;
                return Ok(seal);
            }
            writer.restart().await?;
            progress.set(&entry.sha256, 0);
            if !tried.wrong() {
                return Err(End::Package(format!(
                    "{} is not the package's file: its SHA-256 is {}, the manifest says {}",
                    entry.name, seal.sha256, entry.sha256
                ))
                .into());
            }
        }
    }

    /// Waits for the tab that fetches this file, and shows how far it is.
    async fn wait_for_lock(
        &self,
        store: &Store,
        entry: &FileEntry,
        progress: &Progress<'_>,
    ) -> Result<js::Lock, Halt> {
        if matches!(store.0, Shelf::Memory(_)) {
            return Ok(js::Lock::none());
        }
        let name = lock_name(&entry.sha256);
        let mut locked = std::pin::pin!(lock(&name));
        loop {
            let pause = std::pin::pin!(js::sleep(POLL_MS));
            match futures::future::select(locked, pause).await {
                futures::future::Either::Left((guard, _)) => return Ok(guard),
                futures::future::Either::Right((_, waiting)) => locked = waiting,
            }
            self.control.check()?;
            progress.set(&entry.sha256, store.stored(entry).await);
            progress.tell(Transfer::OtherTab, false);
        }
    }

    /// Fetches what is missing: of one address after the other, where there are several.
    async fn receive(
        &self,
        entry: &FileEntry,
        tried: &mut Tried,
        writer: &mut Writer,
        sealing: &mut Sealing,
        progress: &Progress<'_>,
    ) -> Result<(), Halt> {
        loop {
            let here = self.receive_of(entry, tried, writer, sealing, progress);
            match here.await {
                Err(Halt::End(End::Download(_) | End::Package(_))) if tried.failed() => {
                    progress.tell(Transfer::Retrying, true);
                }
                ended => return ended,
            }
        }
    }

    /// [`Self::receive`] of one address, however often the connection breaks.
    async fn receive_of(
        &self,
        entry: &FileEntry,
        tried: &Tried,
        writer: &mut Writer,
        sealing: &mut Sealing,
        progress: &Progress<'_>,
    ) -> Result<(), Halt> {
        let url = tried.address();
        let mut backoff = Backoff::at(tried.is_last());
        while writer.at() < entry.bytes {
            if self.control.is_paused() {
                progress.tell(Transfer::Paused, true);
            }
            self.control.gate().await?;
            let before = writer.at();
            let attempt = self.attempt(entry, url, writer, sealing, progress).await;
            if writer.at() > before {
                backoff.progressed();
            }
            let why = match attempt {
                Ok(()) => continue,
                Err(Attempt::Halt(halt)) => return Err(halt),
                Err(Attempt::Failed(why)) => why,
            };
            self.control.check()?;
            if self.control.is_paused() {
                continue;
            }
            if is_offline() {
                progress.tell(Transfer::Offline, true);
                self.control.wait(POLL_MS).await?;
                continue;
            }
            let Some(pause) = backoff.failed(js_sys::Math::random()) else {
                return Err(End::Download(format!("{url} could not be downloaded: {why}")).into());
            };
            progress.tell(Transfer::Retrying, true);
            self.control.wait(pause).await?;
        }
        Ok(())
    }

    async fn attempt(
        &self,
        entry: &FileEntry,
        url: &str,
        writer: &mut Writer,
        sealing: &mut Sealing,
        progress: &Progress<'_>,
    ) -> Result<(), Attempt> {
        let at = writer.at();
        let sent = Sent::get(url, at, self.control).await?;
        let response = &sent.response;
        let header = |name: &str| response.headers().get(name).ok().flatten();
        let length = header("content-length")
            .filter(|_| header("content-encoding").is_none())
            .and_then(|text| text.parse().ok());
        let range = header("content-range").and_then(|text| content_range(&text));
        let mut skip = match judge(response.status(), range, length, at, entry.bytes) {
            Answer::Body { skip } => skip,
            Answer::Restart => {
                writer.restart().await?;
                *sealing = Sealing::default();
                return Err(Attempt::Failed("the server begins anew".to_owned()));
            }
            Answer::Transient(why) => return Err(Attempt::Failed(why)),
            Answer::Final(why) => {
                let end = End::Download(format!("{url} could not be downloaded: {why}"));
                return Err(Attempt::Halt(end.into()));
            }
        };
        let reader = sent.reader()?;
        while let Some(chunk) = next(&reader, || progress.tell(Transfer::Running, false)).await? {
            let mut bytes = chunk.to_vec();
            if skip > 0 {
                let cut = skip.min(bytes.len() as u64);
                bytes.drain(..cut as usize);
                skip -= cut;
            }
            if writer.at() + bytes.len() as u64 > entry.bytes {
                let end = End::Package(format!("{url} is longer than its manifest says"));
                return Err(Attempt::Halt(end.into()));
            }
            writer.write(&bytes).await?;
            sealing.update(&bytes);
            progress.received(bytes.len() as u64);
            progress.set(&entry.sha256, writer.at());
            progress.tell(Transfer::Running, false);
            if self.control.check().is_err() || self.control.is_paused() {
                return Err(Attempt::Failed("it was stopped".to_owned()));
            }
        }
        if writer.at() < entry.bytes {
            return Err(Attempt::Failed(format!(
                "it ended after {} of {} bytes",
                writer.at(),
                entry.bytes
            )));
        }
        Ok(())
    }
}
