//! Bringing a package here: what is missing of it, resumed, checked, and shared with other tabs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use diffusion::{FileEntry, Manifest};
use futures::StreamExt;
use futures::stream;
use js_sys::{Reflect, Uint8Array};
use protocol::Addresses;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, Request, RequestCache, RequestInit,
    Response,
};

use super::control::Control;
use super::files::StoredFiles;
use super::js::{self, is_offline, lock, now_ms, settle};
use super::store::shelf::{Shelf, ShelfError, Writer};
use super::store::{Store, estimate, lock_name};
use super::{End, scope, text};
use crate::worker::message::{RoomChoice, RunEvent, Transfer};
use crate::worker::weights::addresses::Tried;
use crate::worker::weights::backoff::Backoff;
use crate::worker::weights::evict;
use crate::worker::weights::range::{Answer, content_range, judge};
use crate::worker::weights::seal::{Seal, Sealing};
use crate::worker::weights::speed::Speed;

/// Files that are fetched at a time.
const PARALLEL: usize = 3;
/// Progress is told at most this often, in milliseconds.
const REPORT_MS: f64 = 100.0;
/// Silence after which a connection is given up, in milliseconds.
const STALL_MS: f64 = 30_000.0;
/// Pause between two looks at a connection that gives nothing, in milliseconds.
const LOOK_MS: i32 = 200;
/// Pause between two looks at whether the network is back or another tab has got on, in milliseconds.
const POLL_MS: i32 = 500;

/// Where a package comes from and who is told.
pub(super) struct Download<'d> {
    pub(super) store: Store,
    pub(super) control: &'d Control,
    pub(super) report: &'d dyn Fn(RunEvent),
}

/// The numbers of a download under way.
struct Progress<'d> {
    report: &'d dyn Fn(RunEvent),
    total: u64,
    /// Bytes that are here, by file.
    here: RefCell<HashMap<String, u64>>,
    /// Bytes that this worker received.
    received: Cell<u64>,
    speed: RefCell<Speed>,
    told_ms: Cell<f64>,
}

impl Progress<'_> {
    fn set(&self, sha256: &str, bytes: u64) {
        self.here.borrow_mut().insert(sha256.to_owned(), bytes);
    }

    fn received(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
        self.speed
            .borrow_mut()
            .record(now_ms(), self.received.get());
    }

    fn tell(&self, transfer: Transfer, at_once: bool) {
        let now = now_ms();
        if !at_once && now - self.told_ms.get() < REPORT_MS {
            return;
        }
        self.told_ms.set(now);
        if transfer != Transfer::Running {
            self.speed.borrow_mut().pause();
        }
        (self.report)(RunEvent::Download {
            loaded: self.here.borrow().values().sum(),
            total: self.total,
            bytes_per_second: self.speed.borrow().bytes_per_second(),
            transfer,
        });
    }
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
        let progress = Progress {
            report: self.report,
            total: manifest.files().map(|f| f.bytes).sum(),
            here: RefCell::default(),
            received: Cell::new(0),
            speed: RefCell::default(),
            told_ms: Cell::new(f64::NEG_INFINITY),
        };
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
        let here: u64 = progress.here.borrow().values().sum();
        let needed = progress.total.saturating_sub(here);
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

    /// One file, stored whole and sealed.
    async fn file(
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

/// An answer under way; dropping it ends the transfer.
pub(super) struct Sent {
    response: Response,
    controller: AbortController,
    control: Control,
}

impl Sent {
    /// Asks for the bytes from `at` on.
    async fn get(url: &str, at: u64, control: &Control) -> Result<Self, JsValue> {
        let range = (at > 0).then(|| format!("bytes={at}-"));
        Self::ask(url, range, control).await
    }

    async fn ask(url: &str, range: Option<String>, control: &Control) -> Result<Self, JsValue> {
        let scope = scope().ok_or_else(|| JsValue::from_str("this is no worker"))?;
        let controller = AbortController::new()?;
        control.transfer(controller.clone());
        let headers = Headers::new()?;
        if let Some(range) = range {
            headers.set("range", &range)?;
        }
        let init = RequestInit::new();
        init.set_headers(&headers);
        init.set_signal(Some(&controller.signal()));
        // The browser's own cache would keep a second copy.
        init.set_cache(RequestCache::NoStore);
        let request = Request::new_with_str_and_init(url, &init)?;
        let response = settle(scope.fetch_with_request(&request)).await;
        match response.and_then(JsCast::dyn_into) {
            Ok(response) => Ok(Self {
                response,
                controller,
                control: control.clone(),
            }),
            Err(error) => {
                control.finished(&controller);
                Err(error)
            }
        }
    }

    fn reader(&self) -> Result<ReadableStreamDefaultReader, JsValue> {
        let body = self.response.body();
        let body = body.ok_or_else(|| JsValue::from_str("the answer is empty"))?;
        Ok(body.get_reader().unchecked_into())
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.control.finished(&self.controller);
        // After the end of the body this does nothing.
        self.controller.abort();
    }
}

/// The next bytes; an error where none come for too long. `waiting` is called now and then until they are here.
async fn next(
    reader: &ReadableStreamDefaultReader,
    waiting: impl Fn(),
) -> Result<Option<Uint8Array>, JsValue> {
    let began = now_ms();
    let mut read = std::pin::pin!(settle(reader.read()));
    let part = loop {
        let pause = std::pin::pin!(js::sleep(LOOK_MS));
        match futures::future::select(read, pause).await {
            futures::future::Either::Left((part, _)) => break part?,
            futures::future::Either::Right((_, still)) => read = still,
        }
        if now_ms() - began >= STALL_MS {
            let why = format!("no byte came for {} s", STALL_MS / 1e3);
            return Err(JsValue::from_str(&why));
        }
        waiting();
    };
    if Reflect::get(&part, &JsValue::from_str("done"))?.is_truthy() {
        return Ok(None);
    }
    Reflect::get(&part, &JsValue::from_str("value"))?
        .dyn_into()
        .map(Some)
}

/// Where the files of the package at `base` lie. A hub that knows nothing of other addresses has them all beside the manifest.
pub(super) async fn addresses(base: &str, control: &Control) -> Addresses {
    let url = format!("{base}/{}", Addresses::FILE);
    let json = whole(&url, control).await.unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// A small file.
async fn fetch_whole(url: &str, control: &Control) -> Result<Vec<u8>, End> {
    let mut backoff = Backoff::default();
    loop {
        let why = match whole(url, control).await {
            Ok(bytes) => return Ok(bytes),
            Err(why) => why,
        };
        control.check()?;
        let failed = || End::Download(format!("{url} could not be downloaded: {why}"));
        let pause = backoff.failed(js_sys::Math::random()).ok_or_else(failed)?;
        if is_offline() {
            return Err(failed());
        }
        control.wait(pause).await?;
    }
}

async fn whole(url: &str, control: &Control) -> Result<Vec<u8>, String> {
    let sent = Sent::get(url, 0, control).await.map_err(|e| text(&e))?;
    if !sent.response.ok() {
        return Err(format!("HTTP status {}", sent.response.status()));
    }
    let body = sent.response.array_buffer().map_err(|e| text(&e))?;
    let bytes = settle(body).await.map_err(|e| text(&e))?;
    Ok(Uint8Array::new(&bytes).to_vec())
}

/// Exactly `length` bytes of a file from `start` on.
pub(super) async fn fetch_range(
    url: &str,
    start: u64,
    length: usize,
    control: &Control,
) -> Result<Uint8Array, String> {
    let last = start + length as u64 - 1;
    let sent = Sent::ask(url, Some(format!("bytes={start}-{last}")), control)
        .await
        .map_err(|e| text(&e))?;
    if sent.response.status() != 206 {
        return Err(format!("HTTP status {}", sent.response.status()));
    }
    let body = sent.response.array_buffer().map_err(|e| text(&e))?;
    let bytes = Uint8Array::new(&settle(body).await.map_err(|e| text(&e))?);
    if bytes.length() as usize != length {
        return Err(format!("{} bytes came of {length}", bytes.length()));
    }
    Ok(bytes)
}
