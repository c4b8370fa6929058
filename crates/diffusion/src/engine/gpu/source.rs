//! A package's files as `onnx-gpu` reads them.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use onnx_gpu::weights::{Reading, WeightSource};

use crate::error::Error;
use crate::files::Files;

/// Keeps the first failure of the files: an error of `onnx-gpu` has no place for its kind.
pub(super) struct Source<'f> {
    files: &'f dyn Files,
    failure: Mutex<Option<Error>>,
}

impl<'f> Source<'f> {
    pub(super) fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            failure: Mutex::new(None),
        }
    }

    /// Why the files could not be read, if that is what went wrong.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn note(&self, error: Error) -> onnx_gpu::Error {
        let told = onnx_gpu::Error::new(onnx_gpu::ErrorKind::Io, error.to_string());
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        told
    }
}

impl WeightSource for Source<'_> {
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        let size = self.files.size(file).map_err(|error| self.note(error));
        Box::pin(std::future::ready(size))
    }

    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        Box::pin(async move {
            let read = self.files.read(file, offset, length).await;
            read.map_err(|error| self.note(error))
        })
    }
}
