//! What a port allows.

use std::time::Duration;

/// How long clients are waited for, and how many connections are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address, an IPv6 network of 64 bits counting as one; absent: as many as in all, because the
    /// peers are proxies. This machine's own addresses are never counted.
    pub connections_per_address: Option<usize>,
    /// For the head of a request, from its first byte or, on a new connection, from the beginning.
    pub head: Duration,
    /// Without a byte of a body that is being read.
    pub body: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without a byte taken by a client that has an answer coming.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: Some(256),
            head: Duration::from_secs(15),
            body: Duration::from_secs(20),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(60),
        }
    }
}
