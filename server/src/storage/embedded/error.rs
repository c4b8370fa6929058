//! Why the store cannot do something.

use std::io;

/// A failure of the store itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no room left; reading goes on.
    #[error("the disk is full")]
    Full,
    /// A condition of the request does not hold.
    #[error("the object is not as the request expects it")]
    Precondition,
    /// A condition names an object that is not there.
    #[error("there is no such object")]
    Missing,
    /// The body is not what was announced.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// The disk or the index failed.
    #[error("{0}")]
    Broken(String),
}

/// How a body differs from its announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("the object is larger than this store takes")]
    TooLarge,
    #[error("the body is not as long as announced, or broke off")]
    Length,
    #[error("the body does not have the announced checksum")]
    Checksum,
    #[error("the checksum cannot be read")]
    MalformedChecksum,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            error => Self::Broken(error.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($name:ident),*) => {$(
        impl From<redb::$name> for Failure {
            fn from(error: redb::$name) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_redb!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError
);
