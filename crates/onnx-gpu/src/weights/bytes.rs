//! Files in memory.

use std::borrow::Cow;
use std::future::ready;

use super::{Reading, WeightSource, ended};
use crate::error::{Error, ErrorKind, Result};

/// Files that are in memory already, by their paths.
#[derive(Clone, Debug, Default)]
pub struct Bytes<'b> {
    files: Vec<(String, &'b [u8])>,
}

impl<'b> Bytes<'b> {
    /// No file: for a model that holds its weights itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, bytes: &'b [u8]) -> Self {
        self.files.push((path.into(), bytes));
        self
    }

    fn find(&self, path: &str) -> Result<&'b [u8]> {
        self.files
            .iter()
            .find(|(name, _)| name == path)
            .map(|(_, bytes)| *bytes)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Io,
                    format!("the model keeps weights in '{path}', which was not given"),
                )
            })
    }
}

impl WeightSource for Bytes<'_> {
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        Box::pin(ready(self.find(file).map(|bytes| bytes.len() as u64)))
    }

    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        let found = self
            .find(file)
            .and_then(|bytes| slice(bytes, file, offset, length));
        Box::pin(ready(found.map(Cow::Borrowed)))
    }
}

/// A checked range.
pub(super) fn slice<'a>(
    bytes: &'a [u8],
    name: &str,
    offset: u64,
    length: usize,
) -> Result<&'a [u8]> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| bytes.get(start..start.checked_add(length)?))
        .ok_or_else(|| ended(name, offset, length))
}
