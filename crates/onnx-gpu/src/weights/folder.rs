//! Files in a folder.

use std::borrow::Cow;
use std::fs::File;
use std::future::ready;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Reading, WeightSource, ended};
use crate::error::{Error, ErrorKind, Result};

/// The files of a folder, read in ranges. A symbolic link that leads out of the folder is refused.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The files below `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder of a file, and the file's name in it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a path without a file name in UTF-8.
    pub fn of(path: &Path) -> Result<(Self, String)> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
            Error::new(ErrorKind::Io, format!("{} names no file", path.display()))
        })?;
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        Ok((Self::new(folder), name.to_owned()))
    }

    fn open(&self, file: &str) -> Result<File> {
        let path = self.0.join(file);
        let fail = |path: &Path, e: std::io::Error| Error::from(e).about(path.display());
        let root = self.0.canonicalize().map_err(|e| fail(&self.0, e))?;
        let real = path.canonicalize().map_err(|e| fail(&path, e))?;
        if !real.starts_with(&root) {
            return Err(Error::new(
                ErrorKind::InvalidModel,
                format!("{} leads out of the model's folder", path.display()),
            ));
        }
        File::open(&real).map_err(|e| fail(&path, e))
    }

    fn range(&self, file: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut handle = self.open(file)?;
        let size = handle.metadata()?.len();
        // Before anything is allocated: the range comes out of the model.
        if offset
            .checked_add(length as u64)
            .is_none_or(|end| end > size)
        {
            return Err(ended(file, offset, length));
        }
        handle.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; length];
        handle.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl WeightSource for Folder {
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        let size = self.open(file).and_then(|f| Ok(f.metadata()?.len()));
        Box::pin(ready(size))
    }

    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        Box::pin(ready(self.range(file, offset, length).map(Cow::Owned)))
    }
}
