//! Where the bytes of a package's files are, read in ranges so that a large weight never has to be in main memory whole.

use std::borrow::Cow;
use std::collections::HashMap;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};

/// `Send + Sync` except in a browser, whose objects stay on their thread.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeShared: Send + Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync> MaybeShared for T {}
/// `Send + Sync` except in a browser, whose objects stay on their thread.
#[cfg(target_arch = "wasm32")]
pub trait MaybeShared {}
#[cfg(target_arch = "wasm32")]
impl<T> MaybeShared for T {}

/// The files of one package, known to be those that its manifest names.
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
pub trait Files: MaybeShared {
    /// Length of a file in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::MissingFile`].
    fn size(&self, file: &str) -> Result<u64>;

    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// [`ErrorKind::MissingFile`], [`ErrorKind::TruncatedModel`] for a range beyond the end, [`ErrorKind::Io`] or
    /// [`ErrorKind::HashMismatch`] where the bytes cannot be read or are not the package's.
    async fn read(&self, file: &str, offset: u64, length: usize) -> Result<Cow<'_, [u8]>>;

    /// Frees what is held of a file that will not be read again.
    fn forget(&mut self, _file: &str) {}
}

/// All bytes of a file.
///
/// # Errors
/// As [`Files::read`].
pub async fn whole<'f>(files: &'f dyn Files, file: &str) -> Result<Cow<'f, [u8]>> {
    let size = files.size(file)?;
    let length = usize::try_from(size).map_err(|_| {
        Error::new(
            ErrorKind::OutOfMemory,
            format!("{file} has {size} bytes, more than this machine can address"),
        )
    })?;
    files.read(file, 0, length).await
}

/// Files in main memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub(crate) HashMap<String, Vec<u8>>);

impl MemoryFiles {
    fn find(&self, file: &str) -> Result<&Vec<u8>> {
        self.0.get(file).ok_or_else(|| missing(file))
    }
}

#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
impl Files for MemoryFiles {
    fn size(&self, file: &str) -> Result<u64> {
        Ok(self.find(file)?.len() as u64)
    }

    async fn read(&self, file: &str, offset: u64, length: usize) -> Result<Cow<'_, [u8]>> {
        let bytes = self.find(file)?;
        usize::try_from(offset)
            .ok()
            .and_then(|start| bytes.get(start..start.checked_add(length)?))
            .map(Cow::Borrowed)
            .ok_or_else(|| ended(file, offset, length))
    }

    fn forget(&mut self, file: &str) {
        self.0.remove(file);
    }
}

/// Files of a folder.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Debug)]
pub struct FolderFiles {
    /// The folder; names are plain, see [`crate::Manifest`].
    pub(crate) folder: std::path::PathBuf,
    /// Lengths of the files that the manifest lists.
    pub(crate) sizes: HashMap<String, u64>,
}

#[cfg(not(target_arch = "wasm32"))]
#[async_trait]
impl Files for FolderFiles {
    fn size(&self, file: &str) -> Result<u64> {
        self.sizes.get(file).copied().ok_or_else(|| missing(file))
    }

    async fn read(&self, file: &str, offset: u64, length: usize) -> Result<Cow<'_, [u8]>> {
        use std::io::{Read, Seek, SeekFrom};
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.sizes.get(file).copied().unwrap_or_default()) {
            return Err(self
                .size(file)
                .err()
                .unwrap_or_else(|| ended(file, offset, length)));
        }
        let path = self.folder.join(file);
        let read = || {
            let mut handle = std::fs::File::open(&path)?;
            handle.seek(SeekFrom::Start(offset))?;
            let mut bytes = vec![0; length];
            handle.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        read().map(Cow::Owned).map_err(|error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
        })
    }
}

fn missing(file: &str) -> Error {
    Error::new(
        ErrorKind::MissingFile {
            file: file.to_owned(),
        },
        format!("{file} is not, or no longer, among the package's files"),
    )
}

fn ended(file: &str, offset: u64, length: usize) -> Error {
    Error::new(
        ErrorKind::TruncatedModel {
            file: file.to_owned(),
        },
        format!("{file} ends before the {length} bytes at {offset}"),
    )
}
