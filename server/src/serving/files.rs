//! Open files: every connection is one.

/// Kept back for the store, the queue, packages and what else is opened.
const KEPT: usize = 256;

/// Lets this process open as many files as its hard limit allows; many systems start with 1,024.
#[cfg(unix)]
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files could not be raised");
    }
}

/// Lets this process open as many files as it may.
#[cfg(not(unix))]
pub fn raise_file_limit() {}

/// At most `connections`, and no more than files can be opened for.
#[cfg(unix)]
pub fn within(connections: usize) -> usize {
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current;
    match files.and_then(|files| usize::try_from(files).ok()) {
        Some(files) => connections.min(files.saturating_sub(KEPT).max(files / 2)),
        None => connections,
    }
}

/// At most `connections`.
#[cfg(not(unix))]
pub fn within(connections: usize) -> usize {
    let _ = KEPT;
    connections
}
