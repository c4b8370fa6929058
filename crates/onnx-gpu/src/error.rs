//! The one error type of the crate.

use std::error::Error as Cause;
use std::fmt;

/// What went wrong, for callers that act on it (fall back, ask for another model, retry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a well-formed ONNX or NumPy file.
    Parse,
    /// The graph uses an operator, attribute value or element type that this crate does not implement.
    UnsupportedOp,
    /// The file parses, but the graph breaks the ONNX rules.
    InvalidModel,
    /// A run was given a missing, unknown or wrongly typed input.
    InvalidInput,
    /// Two shapes that have to fit do not.
    ShapeMismatch,
    /// A size exceeds what the adapter or this crate accepts.
    Limit,
    /// The device could not allocate.
    OutOfMemory,
    /// The GPU driver or browser refused a shader, pipeline or command.
    Validation,
    /// The device went away while in use.
    DeviceLost,
    /// No adapter fits the request.
    NoAdapter,
    /// Reading or writing a file failed.
    Io,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    node: Option<(String, String)>,
    source: Option<Box<dyn Cause + Send + Sync>>,
}

/// An error with its kind, a sentence, and, where one is to blame, the graph node.
///
/// Where another error led to it, [`std::error::Error::source`] gives that one; the sentence says what it says, too.
pub struct Error(Box<Inner>);

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Makes an error of `kind` with a sentence that names the values involved.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            node: None,
            source: None,
        }))
    }

    /// Keeps the error that led to this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Cause + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The error with what it is about before its sentence: of the same kind and node, caused by this one.
    #[must_use]
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        let mut outer = Self::new(self.kind(), format!("{what}: {}", self.0.message));
        outer.0.node.clone_from(&self.0.node);
        outer.caused_by(self)
    }

    /// Names the graph node and its operator; the innermost node wins.
    #[must_use]
    pub fn in_node(mut self, name: impl Into<String>, op: impl Into<String>) -> Self {
        self.0.node.get_or_insert_with(|| (name.into(), op.into()));
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Name and operator of the node at fault, if one is.
    pub fn node(&self) -> Option<(&str, &str)> {
        self.0
            .node
            .as_ref()
            .map(|(name, op)| (name.as_str(), op.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.node {
            Some((name, op)) => write!(f, "node '{name}' ({op}): {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl Cause for Error {
    fn source(&self) -> Option<&(dyn Cause + 'static)> {
        let source = self.0.source.as_ref()?;
        Some(&**source)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, error.to_string()).caused_by(error)
    }
}

pub(crate) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedOp, message)
}

pub(crate) fn invalid_model(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidModel, message)
}

pub(crate) fn mismatch(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ShapeMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_led_to_an_error_is_kept() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = Error::from(io).in_node("n", "Conv").about("weight 'w'");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.node(), Some(("n", "Conv")));
        assert_eq!(
            error.to_string(),
            "node 'n' (Conv): weight 'w': no such file"
        );
        let mut depth = 0;
        let mut cause: Option<&(dyn Cause + 'static)> = Cause::source(&error);
        while let Some(inner) = cause {
            depth += 1;
            if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                assert_eq!(io.kind(), std::io::ErrorKind::NotFound);
            }
            cause = inner.source();
        }
        assert_eq!(depth, 2);
    }
}
