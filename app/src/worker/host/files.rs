//! A stored package as the pipeline reads it: block by block, each checked, a damaged one repaired.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use diffusion::{Error, ErrorKind, Files, Manifest};
use js_sys::Uint8Array;

use super::control::Control;
use super::fetch::{addresses, fetch_range};
use super::store::Store;
use super::store::shelf::ShelfError;
use crate::worker::weights::seal::{BLOCK, Seal};

/// Blocks that are kept in the browser's memory: tensors begin and end inside of blocks.
const KEPT: usize = 6;

/// The sealed files of one package.
pub(super) struct StoredFiles {
    store: Store,
    base: String,
    files: HashMap<String, Seal>,
    kept: RefCell<VecDeque<(String, u64, Uint8Array)>>,
}

impl StoredFiles {
    pub(super) fn new(
        store: Store,
        base: &str,
        manifest: &Manifest,
        mut seals: HashMap<String, Seal>,
    ) -> Self {
        let files = manifest.files();
        let files = files.filter_map(|f| Some((f.name.clone(), seals.remove(&f.name)?)));
        Self {
            files: files.collect(),
            store,
            base: base.to_owned(),
            kept: RefCell::default(),
        }
    }

    fn seal(&self, file: &str) -> diffusion::Result<&Seal> {
        self.files.get(file).ok_or_else(|| {
            Error::new(
                ErrorKind::MissingFile {
                    file: file.to_owned(),
                },
                format!("{file} is not among the package's files"),
            )
        })
    }

    async fn block(&self, file: &str, seal: &Seal, index: u64) -> diffusion::Result<Uint8Array> {
        let known = self
            .kept
            .borrow()
            .iter()
            .find_map(|(name, i, block)| (name == file && *i == index).then(|| block.clone()));
        if let Some(block) = known {
            return Ok(block);
        }
        let fail = |error: ShelfError| {
            Error::new(ErrorKind::Io, format!("{file} cannot be read: {error}"))
        };
        let block = match self.store.checked_block(seal, index).await.map_err(fail)? {
            Some(block) => block,
            None => self.repair(file, seal, index).await?,
        };
        let mut kept = self.kept.borrow_mut();
        kept.push_back((file.to_owned(), index, block.clone()));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(block)
    }

    /// Fetches a damaged block again.
    async fn repair(&self, file: &str, seal: &Seal, index: u64) -> diffusion::Result<Uint8Array> {
        let fail = |detail: String| {
            Error::new(
                ErrorKind::HashMismatch {
                    file: file.to_owned(),
                },
                format!("the stored {file} is damaged and could not be repaired: {detail}"),
            )
        };
        let (start, length) = seal.span(index);
        let control = Control::default();
        let mut why = String::new();
        for url in addresses(&self.base, &control).await.of(&self.base, file) {
            let block = match fetch_range(&url, start, length, &control).await {
                Ok(block) => block,
                Err(error) => {
                    why = error;
                    continue;
                }
            };
            match self.store.repair(seal, index, &block).await {
                Ok(true) => return Ok(block),
                Ok(false) => "the server has other bytes".clone_into(&mut why),
                // It is good for now; the next read repairs it again.
                Err(_) => return Ok(block),
            }
        }
        Err(fail(why))
    }
}

#[async_trait(?Send)]
impl Files for StoredFiles {
    fn size(&self, file: &str) -> diffusion::Result<u64> {
        Ok(self.seal(file)?.bytes)
    }

    async fn read(
        &self,
        file: &str,
        offset: u64,
        length: usize,
    ) -> diffusion::Result<Cow<'_, [u8]>> {
        let seal = self.seal(file)?;
        let end = offset
            .checked_add(length as u64)
            .filter(|end| *end <= seal.bytes)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::TruncatedModel {
                        file: file.to_owned(),
                    },
                    format!("{file} ends before the {length} bytes at {offset}"),
                )
            })?;
        let mut bytes = vec![0; length];
        if length == 0 {
            return Ok(Cow::Owned(bytes));
        }
        let indices = offset / BLOCK..=(end - 1) / BLOCK;
        let blocks = indices.map(|index| async move {
            let block = self.block(file, seal, index).await?;
            Ok::<_, Error>((index, block))
        });
        for (index, block) in futures::future::try_join_all(blocks).await? {
            let start = index * BLOCK;
            let from = offset.max(start);
            let to = end.min(start + BLOCK);
            let part = block.subarray((from - start) as u32, (to - start) as u32);
            part.copy_to(&mut bytes[(from - offset) as usize..(to - offset) as usize]);
        }
        Ok(Cow::Owned(bytes))
    }
}
