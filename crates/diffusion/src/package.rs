//! A model package: manifest and the bytes of its files, every digest checked.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{FileEntry, Manifest};

/// A verified package, held in main memory.
#[derive(Clone, Debug)]
pub struct Package {
    /// The checked manifest.
    pub manifest: Manifest,
    files: HashMap<String, Vec<u8>>,
}

impl Package {
    /// Takes files fetched by name and checks size and SHA-256 of each; files that the manifest does not
    /// list are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPackage`], [`ErrorKind::MissingFile`], [`ErrorKind::TruncatedModel`] or
    /// [`ErrorKind::HashMismatch`].
    pub fn from_files(manifest_json: &[u8], mut files: HashMap<String, Vec<u8>>) -> Result<Self> {
        let manifest = Manifest::parse(manifest_json)?;
        let files = manifest
            .files()
            .map(|entry| {
                let bytes = files.remove(&entry.name).ok_or_else(|| missing(entry))?;
                verify(entry, &bytes)?;
                Ok((entry.name.clone(), bytes))
            })
            .collect::<Result<_>>()?;
        Ok(Self { manifest, files })
    }

    /// Reads the folder that holds `manifest.json`.
    ///
    /// # Errors
    /// Those of [`Self::from_files`], and [`ErrorKind::Io`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_dir(dir: &std::path::Path) -> Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path)
                .map_err(|e| Error::new(ErrorKind::Io, format!("{}: {e}", path.display())))
        };
        let json = read("manifest.json")?;
        let manifest = Manifest::parse(&json)?;
        let mut files = HashMap::new();
        for entry in manifest.files() {
            let meta = std::fs::metadata(dir.join(&entry.name)).map_err(|_| missing(entry))?;
            check_length(entry, meta.len())?;
            files.insert(entry.name.clone(), read(&entry.name)?);
        }
        Self::from_files(&json, files)
    }

    /// Takes a file out, so that its bytes are freed after use.
    ///
    /// # Errors
    /// [`ErrorKind::MissingFile`] when it was taken before or never listed.
    pub(crate) fn take(&mut self, name: &str) -> Result<Vec<u8>> {
        self.files.remove(name).ok_or_else(|| {
            Error::new(
                ErrorKind::MissingFile {
                    file: name.to_owned(),
                },
                format!("{name} is used twice by the package"),
            )
        })
    }
}

/// Checks length and SHA-256 of a fetched file.
///
/// # Errors
/// [`ErrorKind::TruncatedModel`] when it is shorter than declared, [`ErrorKind::HashMismatch`] when it is
/// longer or its digest is another.
pub fn verify(entry: &FileEntry, bytes: &[u8]) -> Result<()> {
    check_length(entry, bytes.len() as u64)?;
    let digest = hex::encode(Sha256::digest(bytes));
    if digest != entry.sha256 {
        return Err(mismatch(
            entry,
            format!(
                "its SHA-256 is {digest}, the manifest says {}",
                entry.sha256
            ),
        ));
    }
    Ok(())
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
