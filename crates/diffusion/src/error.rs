//! The one error type of the crate.

use std::fmt;

/// What went wrong, for callers that act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The manifest, or the package as a whole, is not what this crate reads.
    InvalidPackage,
    /// A file that the manifest lists is not there.
    MissingFile {
        /// Name in the manifest.
        file: String,
    },
    /// A file is shorter than its manifest entry says: the download or copy broke off.
    TruncatedModel {
        /// Name in the manifest.
        file: String,
    },
    /// A file's bytes are not those that the manifest names.
    HashMismatch {
        /// Name in the manifest.
        file: String,
    },
    /// A component is not an ONNX graph that the engine can run.
    InvalidModel {
        /// Component, such as `denoiser`.
        component: String,
    },
    /// The tokenizer could not be read, or refused the text.
    Tokenizer,
    /// The request is outside what the package accepts.
    InvalidRequest,
    /// No adapter fits.
    NoAdapter,
    /// The device could not allocate, or a size exceeds its limits.
    OutOfMemory,
    /// The device went away while in use.
    DeviceLost,
    /// The engine failed in another way, or gave results that are not what the manifest declares.
    Engine,
    /// The graphs gave a number that is infinite or none.
    NotFinite,
    /// [`crate::Cancel::cancel`] was called.
    Cancelled,
    /// The picture could not be written as PNG.
    Png,
    /// Reading a file failed.
    Io,
}

/// An error with its kind and a sentence.
pub struct Error(Box<(ErrorKind, String)>);

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Makes an error of `kind` with a sentence that names the values involved.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new((kind, message.into())))
    }

    pub(crate) fn package(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidPackage, message)
    }

    pub(crate) fn engine(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Engine, message)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the generation was cancelled")
    }

    /// The kind of failure.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.0
    }

    /// Whether [`crate::Cancel::cancel`] ended the work.
    pub fn is_cancelled(&self) -> bool {
        self.0.0 == ErrorKind::Cancelled
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.1)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.0, self.0.1)
    }
}

impl std::error::Error for Error {}
