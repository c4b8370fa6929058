//! A model package: manifest and its files, every digest checked.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, MemoryFiles};
use crate::manifest::{FileEntry, Manifest};

/// A verified package.
pub struct Package {
    /// The checked manifest.
    pub manifest: Manifest,
    pub(crate) files: Arc<dyn Files>,
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Package").field(&self.manifest.id).finish()
    }
}

impl Package {
    /// Takes files fetched by name and checks size and SHA-256 of each; files that the manifest does not
    /// list are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPackage`], [`ErrorKind::MissingFile`], [`ErrorKind::TruncatedModel`] or
    /// [`ErrorKind::HashMismatch`].
    pub fn from_files(manifest_json: &[u8], files: HashMap<String, Vec<u8>>) -> Result<Self> {
        let manifest = Manifest::parse(manifest_json)?;
        let files = in_memory(manifest.files(), files)?;
        Ok(Self { manifest, files })
    }

    /// A package whose files `files` answers for: it vouches that their bytes are those that the manifest names.
    pub fn from_source(manifest: Manifest, files: Box<dyn Files>) -> Self {
        Self {
            manifest,
            files: files.into(),
        }
    }

    /// Frees what main memory holds of a file that nobody reads any more; nothing while a model goes on reading files.
    pub(crate) fn forget(&mut self, file: &str) {
        if let Some(files) = Arc::get_mut(&mut self.files) {
            files.forget(file);
        }
    }

    /// Opens the folder that holds `manifest.json`. Every file is read once, to check it, and again in parts as it is
    /// needed; it must not change meanwhile.
    ///
    /// # Errors
    /// Those of [`Self::from_files`], and [`ErrorKind::Io`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_dir(dir: &std::path::Path) -> Result<Self> {
        let manifest = Manifest::parse(&manifest_in(dir)?)?;
        let files = in_folder(dir, manifest.files())?;
        Ok(Self { manifest, files })
    }
}

/// Fetched files that were checked; others are dropped.
pub(crate) fn in_memory<'e>(
    entries: impl Iterator<Item = &'e FileEntry>,
    mut files: HashMap<String, Vec<u8>>,
) -> Result<Arc<dyn Files>> {
    let checked = entries.map(|entry| {
        let bytes = files.remove(&entry.name).ok_or_else(|| missing(entry))?;
        verify(entry, &bytes)?;
        Ok((entry.name.clone(), bytes))
    });
    Ok(Arc::new(MemoryFiles(checked.collect::<Result<_>>()?)))
}

/// Files of a folder that were checked.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn in_folder<'e>(
    dir: &std::path::Path,
    entries: impl Iterator<Item = &'e FileEntry>,
) -> Result<Arc<dyn Files>> {
    let mut sizes = HashMap::new();
    for entry in entries {
        verify_in(dir, entry)?;
        sizes.insert(entry.name.clone(), entry.bytes);
    }
    let folder = dir.to_owned();
    Ok(Arc::new(crate::files::FolderFiles { folder, sizes }))
}

/// The bytes of the manifest in a folder.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn manifest_in(dir: &std::path::Path) -> Result<Vec<u8>> {
    let path = dir.join("manifest.json");
    std::fs::read(&path).map_err(|e| io(&path, &e))
}

/// Checks length and SHA-256 of a file on a disk, whose name is the entry's, reading it once in parts.
///
/// # Errors
/// Those of [`verify`], [`ErrorKind::MissingFile`] and [`ErrorKind::Io`].
#[cfg(not(target_arch = "wasm32"))]
pub fn verify_in(dir: &std::path::Path, entry: &FileEntry) -> Result<()> {
    let path = dir.join(&entry.name);
    let meta = std::fs::metadata(&path).map_err(|_| missing(entry))?;
    check_length(entry, meta.len())?;
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(&path).map_err(|e| io(&path, &e))?;
    std::io::copy(&mut file, &mut hasher).map_err(|e| io(&path, &e))?;
    check_digest(entry, &hex::encode(hasher.finalize()))
}

#[cfg(not(target_arch = "wasm32"))]
fn io(path: &std::path::Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}

/// Checks length and SHA-256 of a fetched file.
///
/// # Errors
/// [`ErrorKind::TruncatedModel`] when it is shorter than declared, [`ErrorKind::HashMismatch`] when it is
/// longer or its digest is another.
pub fn verify(entry: &FileEntry, bytes: &[u8]) -> Result<()> {
    check_length(entry, bytes.len() as u64)?;
    check_digest(entry, &hex::encode(Sha256::digest(bytes)))
}

/// Compares the SHA-256 of a file, in hex, with the manifest's.
///
/// # Errors
/// [`ErrorKind::HashMismatch`].
pub fn check_digest(entry: &FileEntry, digest: &str) -> Result<()> {
    if digest == entry.sha256 {
        return Ok(());
    }
    Err(mismatch(
        entry,
        format!(
            "its SHA-256 is {digest}, the manifest says {}",
            entry.sha256
        ),
    ))
}

fn check_length(entry: &FileEntry, bytes: u64) -> Result<()> {
    if bytes < entry.bytes {
        return Err(Error::new(
            ErrorKind::TruncatedModel {
                file: entry.name.clone(),
            },
            format!(
                "{} is cut off: {bytes} of {} bytes",
                entry.name, entry.bytes
            ),
        ));
    }
    if bytes > entry.bytes {
        return Err(mismatch(
            entry,
            format!("it has {bytes} bytes, the manifest says {}", entry.bytes),
        ));
    }
    Ok(())
}

fn mismatch(entry: &FileEntry, detail: String) -> Error {
    Error::new(
        ErrorKind::HashMismatch {
            file: entry.name.clone(),
        },
        format!("{} is not the package's file: {detail}", entry.name),
    )
}

fn missing(entry: &FileEntry) -> Error {
    Error::new(
        ErrorKind::MissingFile {
            file: entry.name.clone(),
        },
        format!("{} is missing from the package", entry.name),
    )
}
