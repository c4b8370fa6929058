//! A package's files as `onnx-gpu` reads them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use onnx_gpu::weights::{Reading, WeightSource};

use crate::error::Error;
use crate::files::Files;
use crate::manifest::Graph;

/// Keeps the first failure of the files: an error of `onnx-gpu` has no place for its kind.
pub(super) struct Source {
    files: Arc<dyn Files>,
    graph: Graph,
    failure: Mutex<Option<Error>>,
}

impl Source {
    #[cfg_attr(
        target_arch = "wasm32",
        allow(
            clippy::arc_with_non_send_sync,
            reason = "a browser's files stay on their thread; elsewhere they are shared"
        )
    )]
    pub(super) fn new(files: &Arc<dyn Files>, graph: &Graph) -> Arc<Self> {
        Arc::new(Self {
            files: Arc::clone(files),
            graph: graph.clone(),
            failure: Mutex::new(None),
        })
    }

    /// Why the files could not be read, if that is what went wrong.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The package's file of a location that the graph names.
    fn file<'a>(&'a self, location: &'a str) -> &'a str {
        let external = self.graph.external.get(location);
        external.map_or(location, String::as_str)
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

impl WeightSource for Source {
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        let size = self
            .files
            .size(self.file(file))
            .map_err(|error| self.note(error));
        Box::pin(std::future::ready(size))
    }

    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        Box::pin(async move {
            let read = self.files.read(self.file(file), offset, length).await;
            read.map_err(|error| self.note(error))
        })
    }
}
