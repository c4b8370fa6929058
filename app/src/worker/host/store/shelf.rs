//! Where files are kept: the origin's private file system, else the Cache API, else main memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::channel::oneshot;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    Blob, Cache, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemSyncAccessHandle, Response,
};

use super::super::js::{call, settle, sleep, storage};
use super::super::{get, scope, text};
use crate::worker::weights::seal::BLOCK;

/// Folder, or cache, of the weights.
const NAME: &str = "demo-hub-weights";
/// How often a file that somebody else has open is tried.
const ATTEMPTS: u32 = 60;
/// Pause between two tries in milliseconds.
const PAUSE_MS: i32 = 50;

/// Why bytes could not be kept or read.
#[derive(Clone, Debug)]
pub(in crate::worker::host) enum ShelfError {
    /// The browser gives no more room.
    Full,
    /// Anything else, as the browser names it.
    Other(String),
}

impl std::fmt::Display for ShelfError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the browser gives no more room"),
            Self::Other(detail) => f.write_str(detail),
        }
    }
}

impl From<JsValue> for ShelfError {
    fn from(error: JsValue) -> Self {
        if is_named(&error, "QuotaExceededError") {
            Self::Full
        } else {
            Self::Other(text(&error))
        }
    }
}

type Memory = Rc<RefCell<BTreeMap<String, Vec<Uint8Array>>>>;

/// Named files, written once from their beginning.
#[derive(Clone)]
pub(in crate::worker::host) enum Shelf {
    Folder(FileSystemDirectoryHandle),
    Cache(Cache),
    Memory(Memory),
}

/// A file that is being written; exclusive in a folder.
pub(in crate::worker::host) enum Writer {
    File {
        handle: FileSystemSyncAccessHandle,
        at: u64,
    },
    /// Whole blocks are entries of their own.
    Blocks {
        shelf: Shelf,
        name: String,
        at: u64,
        pending: Vec<u8>,
    },
}

impl Shelf {
    /// The best place that this browser has.
    pub(in crate::worker::host) async fn open() -> Self {
        match folder().await {
            Ok(folder) => Self::Folder(folder),
            Err(_) => Self::cache_or_memory().await,
        }
    }

    /// The next best place, where this one turned out to be of no use; none behind main memory.
    pub(in crate::worker::host) async fn elsewhere(&self) -> Option<Self> {
        match self {
            Self::Folder(_) => Some(Self::cache_or_memory().await),
            Self::Cache(_) => Some(Self::memory()),
            Self::Memory(_) => None,
        }
    }

    async fn cache_or_memory() -> Self {
        match cache().await {
            Ok(cache) => Self::Cache(cache),
            Err(_) => Self::memory(),
        }
    }

    /// Main memory: nothing outlasts the worker.
    pub(in crate::worker::host) fn memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// What the visitor is told of the place.
    pub(in crate::worker::host) fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "private file system",
            Self::Cache(_) => "browser cache",
            Self::Memory(_) => "memory of this page only",
        }
    }

    /// Length of what is there of a file.
    pub(in crate::worker::host) async fn size(&self, name: &str) -> Result<u64, ShelfError> {
        match self {
            Self::Folder(folder) => {
                let found = stored(folder, name).await?;
                Ok(found.map_or(0, |file| file.size() as u64))
            }
            _ => {
                let (mut size, mut index) = (0, 0);
                while let Some(block) = self.block(name, index).await? {
                    size += u64::from(block.length());
                    if u64::from(block.length()) < BLOCK {
                        break;
                    }
                    index += 1;
                }
                Ok(size)
            }
        }
    }

    /// Opens a file for more bytes at its end.
    pub(in crate::worker::host) async fn writer(&self, name: &str) -> Result<Writer, ShelfError> {
        match self {
            Self::Folder(folder) => {
                let handle = open(folder, name).await?;
                let at = handle.get_size()? as u64;
                Ok(Writer::File { handle, at })
            }
            _ => {
                // A block that is not full was the last one of a file that is now begun anew.
                let at = self.size(name).await? / BLOCK * BLOCK;
                Ok(Writer::Blocks {
                    shelf: self.clone(),
                    name: name.to_owned(),
                    at,
                    pending: Vec::new(),
                })
            }
        }
    }

    /// Block `index` of a file, in the browser's memory; shorter at the end, and nothing beyond.
    pub(in crate::worker::host) async fn block(
        &self,
        name: &str,
        index: u64,
    ) -> Result<Option<Uint8Array>, ShelfError> {
        match self {
            Self::Folder(folder) => {
                let Some(file) = stored(folder, name).await? else {
                    return Ok(None);
                };
                let start = (index * BLOCK) as f64;
                if start >= file.size() {
                    return Ok(None);
                }
                let part = file.slice_with_f64_and_f64(start, start + BLOCK as f64)?;
                let bytes = settle(part.array_buffer()).await?;
                Ok(Some(Uint8Array::new(&bytes)))
            }
            Self::Cache(cache) => {
                let found = settle(cache.match_with_str(&entry(name, index))).await?;
                if found.is_undefined() {
                    return Ok(None);
                }
                let response: Response = found.dyn_into()?;
                let bytes = settle(response.array_buffer()?).await?;
                Ok(Some(Uint8Array::new(&bytes)))
            }
            Self::Memory(files) => Ok(files
                .borrow()
                .get(name)
                .and_then(|blocks| blocks.get(index as usize).cloned())),
        }
    }

    /// Overwrites a block.
    pub(in crate::worker::host) async fn put_block(
        &self,
        name: &str,
        index: u64,
        bytes: &Uint8Array,
    ) -> Result<(), ShelfError> {
        match self {
            Self::Folder(folder) => {
                let handle = open(folder, name).await?;
                let options = FileSystemReadWriteOptions::new();
                options.set_at((index * BLOCK) as f64);
                let written = handle.write_with_buffer_source_and_options(bytes, &options);
                let flushed = handle.flush();
                handle.close();
                flushed?;
                whole(written?, u64::from(bytes.length()))
            }
            Self::Cache(cache) => {
                let response = Response::new_with_opt_buffer_source(Some(bytes))?;
                settle(cache.put_with_str(&entry(name, index), &response)).await?;
                Ok(())
            }
            Self::Memory(files) => {
                let mut files = files.borrow_mut();
                let blocks = files.entry(name.to_owned()).or_default();
                match blocks.get_mut(index as usize) {
                    Some(block) => *block = bytes.clone(),
                    None => blocks.push(bytes.clone()),
                }
                Ok(())
            }
        }
    }

    /// A small file as text.
    pub(in crate::worker::host) async fn read_text(
        &self,
        name: &str,
    ) -> Result<Option<String>, ShelfError> {
        let mut bytes = Vec::new();
        let mut index = 0;
        while let Some(block) = self.block(name, index).await? {
            bytes.extend(block.to_vec());
            index += 1;
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(String::from_utf8(bytes).ok())
    }

    /// Writes a small file, whatever was there.
    pub(in crate::worker::host) async fn write_text(
        &self,
        name: &str,
        text: &str,
    ) -> Result<(), ShelfError> {
        self.remove(name).await?;
        let mut writer = self.writer(name).await?;
        writer.write(text.as_bytes()).await?;
        writer.close().await
    }

    /// Deletes a file, where there is one.
    pub(in crate::worker::host) async fn remove(&self, name: &str) -> Result<(), ShelfError> {
        match self {
            Self::Folder(folder) => match settle(folder.remove_entry(name)).await {
                Err(error) if !is_not_found(&error) => Err(error.into()),
                _ => Ok(()),
            },
            Self::Cache(cache) => {
                let mut index = 0;
                while settle(cache.delete_with_str(&entry(name, index)))
                    .await?
                    .is_truthy()
                {
                    index += 1;
                }
                Ok(())
            }
            Self::Memory(files) => {
                files.borrow_mut().remove(name);
                Ok(())
            }
        }
    }

    /// Names of all files.
    pub(in crate::worker::host) async fn names(&self) -> Result<Vec<String>, ShelfError> {
        match self {
            Self::Folder(folder) => {
                let keys = folder.keys();
                let mut names = Vec::new();
                loop {
                    let next = call(&keys, "next", &[]).await?;
                    if get(&next, "done").is_none_or(|done| done.is_truthy()) {
                        return Ok(names);
                    }
                    names.extend(get(&next, "value").and_then(|name| name.as_string()));
                }
            }
            Self::Cache(cache) => {
                let keys: Array = settle(cache.keys()).await?.dyn_into()?;
                let names = keys.iter().filter_map(|request| {
                    let url = get(&request, "url")?.as_string()?;
                    let name = url.rsplit_once('/')?.1.strip_suffix("-0")?.to_owned();
                    Some(name)
                });
                Ok(names.collect())
            }
            Self::Memory(files) => Ok(files.borrow().keys().cloned().collect()),
        }
    }
}

impl Writer {
    /// Bytes that are there.
    pub(in crate::worker::host) fn at(&self) -> u64 {
        match self {
            Self::File { at, .. } => *at,
            Self::Blocks { at, pending, .. } => at + pending.len() as u64,
        }
    }

    /// Appends bytes.
    pub(in crate::worker::host) async fn write(&mut self, bytes: &[u8]) -> Result<(), ShelfError> {
        match self {
            Self::File { handle, at } => {
                let options = FileSystemReadWriteOptions::new();
                options.set_at(*at as f64);
                // Copied: the browser does not take a view into memory that may grow.
                let copy = Uint8Array::from(bytes);
                let written = handle.write_with_buffer_source_and_options(&copy, &options)?;
                whole(written, bytes.len() as u64)?;
                *at += bytes.len() as u64;
                Ok(())
            }
            Self::Blocks {
                shelf,
                name,
                at,
                pending,
            } => {
                pending.extend_from_slice(bytes);
                while pending.len() as u64 >= BLOCK {
                    let rest = pending.split_off(BLOCK as usize);
                    let block = Uint8Array::from(pending.as_slice());
                    shelf.put_block(name, *at / BLOCK, &block).await?;
                    *at += BLOCK;
                    *pending = rest;
                }
                Ok(())
            }
        }
    }

    /// Forgets everything that was written.
    pub(in crate::worker::host) async fn restart(&mut self) -> Result<(), ShelfError> {
        match self {
            Self::File { handle, at } => {
                handle.truncate_with_f64(0.0)?;
                *at = 0;
            }
            Self::Blocks {
                shelf,
                name,
                at,
                pending,
            } => {
                shelf.remove(name).await?;
                *at = 0;
                pending.clear();
            }
        }
        Ok(())
    }

    /// Ends the writing.
    pub(in crate::worker::host) async fn close(mut self) -> Result<(), ShelfError> {
        match &mut self {
            Self::File { handle, .. } => handle.flush().map_err(ShelfError::from),
            Self::Blocks {
                shelf,
                name,
                at,
                pending,
            } => {
                if !pending.is_empty() {
                    let block = Uint8Array::from(pending.as_slice());
                    shelf.put_block(name, *at / BLOCK, &block).await?;
                }
                Ok(())
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Self::File { handle, .. } = self {
            handle.close();
        }
    }
}

/// What is there of a file.
async fn stored(
    folder: &FileSystemDirectoryHandle,
    name: &str,
) -> Result<Option<Blob>, ShelfError> {
    match file(folder, name, false).await? {
        Some(handle) => Ok(Some(settle(handle.get_file()).await?.dyn_into()?)),
        None => Ok(None),
    }
}

/// Opens a file, made where it is missing, for writing.
async fn open(
    folder: &FileSystemDirectoryHandle,
    name: &str,
) -> Result<FileSystemSyncAccessHandle, ShelfError> {
    let handle = file(folder, name, true).await?;
    access(handle.ok_or_else(|| ShelfError::Other("the file was not made".to_owned()))?).await
}

/// Opens a file for writing, once nobody else has it open. Where the caller goes away meanwhile it is closed again.
async fn access(file: FileSystemFileHandle) -> Result<FileSystemSyncAccessHandle, ShelfError> {
    let (sender, opened) = oneshot::channel();
    spawn_local(async move {
        if let Err(Ok(nobodys)) = sender.send(access_in_turn(&file).await) {
            nobodys.close();
        }
    });
    opened
        .await
        .unwrap_or_else(|_| Err(ShelfError::Other("the file was not opened".to_owned())))
}

async fn access_in_turn(
    file: &FileSystemFileHandle,
) -> Result<FileSystemSyncAccessHandle, ShelfError> {
    let mut attempts = 0;
    loop {
        match settle(file.create_sync_access_handle()).await {
            Ok(handle) => return Ok(handle.dyn_into()?),
            Err(error) if is_named(&error, "NoModificationAllowedError") => {
                attempts += 1;
                if attempts == ATTEMPTS {
                    return Err(error.into());
                }
                sleep(PAUSE_MS).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn whole(written: f64, length: u64) -> Result<(), ShelfError> {
    if written as u64 == length {
        Ok(())
    } else {
        Err(ShelfError::Full)
    }
}

/// Address of a block in a cache; never fetched.
fn entry(name: &str, index: u64) -> String {
    format!("/{NAME}/{name}-{index}")
}

async fn folder() -> Result<FileSystemDirectoryHandle, JsValue> {
    let storage = storage().ok_or(JsValue::NULL)?;
    let root: FileSystemDirectoryHandle = call(&storage, "getDirectory", &[]).await?.dyn_into()?;
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    let folder: FileSystemDirectoryHandle =
        settle(root.get_directory_handle_with_options(NAME, &options))
            .await?
            .dyn_into()?;
    // Some browsers have the folder but no way to write into it: from a worker, in a private window, or with a damaged
    // profile. The file is this worker's alone, so a lock on it passes or is no lock.
    let name = format!(
        "probe-{:016x}",
        (js_sys::Math::random() * f64::from(u32::MAX)) as u64
    );
    let probed = probe(&folder, &name).await;
    // What stays of it is an empty file.
    let _removed = settle(folder.remove_entry(&name)).await;
    probed.map_err(|_| JsValue::NULL)?;
    Ok(folder)
}

/// Writes a byte.
async fn probe(folder: &FileSystemDirectoryHandle, name: &str) -> Result<(), ShelfError> {
    let file = file(folder, name, true).await?;
    let file = file.ok_or_else(|| ShelfError::Other("the file was not made".to_owned()))?;
    if get(&file, "createSyncAccessHandle").is_none_or(|found| found.is_undefined()) {
        return Err(ShelfError::Other("no way to write".to_owned()));
    }
    let handle = access(file).await?;
    let written = handle.write_with_buffer_source(&Uint8Array::new_with_length(1));
    handle.close();
    match written {
        // Room is another question, which the visitor is asked.
        Err(error) if !is_named(&error, "QuotaExceededError") => Err(error.into()),
        _ => Ok(()),
    }
}

async fn cache() -> Result<Cache, JsValue> {
    let caches = scope().ok_or(JsValue::NULL)?.caches()?;
    let cache: Cache = settle(caches.open(NAME)).await?.dyn_into()?;
    // Some browsers open a cache that takes nothing.
    let name = entry("probe", 0);
    let put = settle(cache.put_with_str(&name, &Response::new()?)).await;
    let _removed = settle(cache.delete_with_str(&name)).await;
    match put {
        Err(error) if !is_named(&error, "QuotaExceededError") => Err(error),
        _ => Ok(cache),
    }
}

async fn file(
    folder: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> Result<Option<FileSystemFileHandle>, ShelfError> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(create);
    match settle(folder.get_file_handle_with_options(name, &options)).await {
        Ok(handle) => Ok(Some(handle.dyn_into()?)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_not_found(error: &JsValue) -> bool {
    is_named(error, "NotFoundError")
}

fn is_named(error: &JsValue, name: &str) -> bool {
    get(error, "name").is_some_and(|found| found.as_string().as_deref() == Some(name))
}
