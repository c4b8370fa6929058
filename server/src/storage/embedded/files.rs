//! Larger objects, a file each.
//!
//! A file is written under a temporary name, synced, and renamed into one of 256 folders; the index refers to it only
//! then, so that no crash leaves a torn object. What a crash leaves is a file that nothing refers to.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, NewFile, OldFile};
use super::error::Failure;

/// Folder of files that are being written.
const TEMPORARY: &str = "tmp";
/// Folder of folders of files.
const OBJECTS: &str = "objects";
/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// Files without an entry that are removed at start whatever share of all they are: a crash leaves a few.
const FEW: usize = 64;

/// The folders.
#[derive(Debug)]
pub struct Files {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

/// A file that is not finished; gone when this is dropped.
pub struct Temporary {
    files: Arc<Files>,
    name: String,
    file: Option<Box<dyn NewFile>>,
}

/// A finished file that nothing refers to yet.
#[derive(Debug)]
pub struct Placed {
    files: Arc<Files>,
    name: String,
    kept: bool,
}

/// What was found and done at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Files that nothing referred to, removed.
    pub removed: usize,
    /// Files that nothing refers to, kept because they are implausibly many.
    pub kept: usize,
    /// Objects whose file is not there.
    pub missing: usize,
}

impl Files {
    /// Creates the folders where they are missing, and empties the temporary one.
    pub fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, Failure> {
        let files = Self {
            disk,
            root: root.to_owned(),
        };
        files.disk.create_dirs(&root.join(TEMPORARY))?;
        let objects = root.join(OBJECTS);
        files.disk.create_dirs(&objects)?;
        let there: HashSet<String> = files.disk.names(&objects)?.into_iter().collect();
        for folder in folders().filter(|folder| !there.contains(folder)) {
            files.disk.create_dirs(&objects.join(folder))?;
        }
        for name in files.disk.names(&root.join(TEMPORARY))? {
            files.disk.remove(&root.join(TEMPORARY).join(name))?;
        }
        Ok(files)
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> Result<bool, Failure> {
        for folder in folders() {
            let names = self.disk.names(&self.root.join(OBJECTS).join(folder))?;
            if names.iter().any(|name| is_name(name)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes files that are not among `known`, which is emptied, unless they are implausibly many.
    pub fn tidy(&self, mut known: HashSet<String>) -> Result<Tidied, Failure> {
        let all = known.len();
        let mut unknown = Vec::new();
        for folder in folders() {
            for name in self.disk.names(&self.root.join(OBJECTS).join(folder))? {
                // Others' files are left alone.
                if !known.remove(&name) && is_name(&name) {
                    unknown.push(name);
                }
            }
        }
        let mut tidied = Tidied {
            missing: known.len(),
            ..Tidied::default()
        };
        if unknown.len() > FEW.max(all / 10) {
            tidied.kept = unknown.len();
            return Ok(tidied);
        }
        tidied.removed = unknown.len();
        for name in &unknown {
            self.disk.remove(&self.path(name))?;
        }
        Ok(tidied)
    }

    /// Begins a file.
    pub fn create(self: &Arc<Self>) -> Result<Temporary, Failure> {
        let random = crate::random::bytes::<16>().map_err(|e| Failure::Broken(e.to_string()))?;
        let name = hex::encode(random);
        let file = self.disk.create(&self.temporary(&name))?;
        Ok(Temporary {
            files: Arc::clone(self),
            name,
            file: Some(file),
        })
    }

    /// A file with the bytes of one elsewhere, which is only read and must not change.
    pub fn adopt(self: &Arc<Self>, path: &Path) -> Result<Placed, Failure> {
        let mut file = self.create()?;
        let mut from = self.disk.open(path)?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                return file.place();
            }
            file.write(buffer.get(..n).unwrap_or_default())?;
        }
    }

    /// Opens a file for reading.
    pub fn read(&self, name: &str) -> std::io::Result<Box<dyn OldFile>> {
        self.disk.open(&self.path(name))
    }

    /// Whether a file is there.
    pub fn exists(&self, name: &str) -> std::io::Result<bool> {
        self.disk.exists(&self.path(name))
    }

    /// Removes a file that nothing refers to any more. If that fails, the next start does it.
    pub fn remove(&self, name: &str) {
        if let Err(error) = self.disk.remove(&self.path(name)) {
            tracing::warn!(%error, name, "a file that is no longer needed stays until the next start");
        }
    }

    /// Where a file has its place until it is whole.
    pub fn temporary(&self, name: &str) -> PathBuf {
        self.root.join(TEMPORARY).join(name)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(OBJECTS).join(name.get(..2).unwrap_or("00"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder(name).join(name)
    }
}

impl Temporary {
    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        Ok(())
    }

    /// Gives the file its place. It outlasts a power cut once this returns.
    pub fn place(mut self) -> Result<Placed, Failure> {
        let Some(mut file) = self.file.take() else {
            return Err(Failure::Broken("the file was placed before".to_owned()));
        };
        let placed = Placed {
            files: Arc::clone(&self.files),
            name: self.name.clone(),
            kept: false,
        };
        let done = file.sync().and_then(|()| {
            drop(file);
            let files = &self.files;
            files
                .disk
                .rename(&files.temporary(&self.name), &files.path(&self.name))?;
            files.disk.sync_dir(&files.folder(&self.name))
        });
        if let Err(error) = done {
            self.remove();
            return Err(error.into());
        }
        Ok(placed)
    }

    fn remove(&self) {
        if let Err(error) = self.files.disk.remove(&self.files.temporary(&self.name)) {
            tracing::warn!(%error, "an unfinished upload stays until the next start");
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.remove();
        }
    }
}

impl Placed {
    /// Name that an index entry refers to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Something refers to the file now.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.kept {
            self.files.remove(&self.name);
        }
    }
}

fn folders() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|n| hex::encode([n]))
}

fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
