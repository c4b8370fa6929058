//! Options of the ports.

use std::num::NonZeroU8;
use std::time::Duration;

use axum::http::HeaderName;
use clap::Args;

use crate::api::Origins;
use crate::serving::{ClientAddresses, Limits};

/// Options of the ports of pages, API and the store that the server runs itself.
#[derive(Args, Clone, Debug)]
pub struct ServingConfig {
    /// Header in which the proxy in front names the client's address, such as `x-forwarded-for` or `forwarded`; default:
    /// none, clients connect directly.
    #[arg(long, env = "DEMO_HUB_CLIENT_ADDRESS_HEADER")]
    pub client_address_header: Option<HeaderName>,

    /// Proxies in front that each add an address to that header; what stands before theirs is anybody's claim.
    #[arg(long, env = "DEMO_HUB_CLIENT_ADDRESS_HOPS", default_value_t = NonZeroU8::MIN)]
    pub client_address_hops: NonZeroU8,

    /// Further names, separated by commas, by which the hub may be asked; that of the public URL, addresses and this
    /// machine's own names need not be given.
    #[arg(long, env = "DEMO_HUB_HOSTS", value_delimiter = ',')]
    pub hosts: Vec<String>,

    /// Origins, separated by commas, whose pages may use `/v1` from browsers; `*`: any, empty: none.
    #[arg(long, env = "DEMO_HUB_API_ORIGINS", default_value = "*")]
    pub api_origins: Origins,

    /// Connections of each port at a time; files that can be opened lower it.
    #[arg(long, env = "DEMO_HUB_MAX_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub max_connections: u32,

    /// Connections of one address at a time. Without effect behind a proxy.
    #[arg(long, env = "DEMO_HUB_CONNECTIONS_PER_ADDRESS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections_per_address: u32,

    /// Seconds that the head of a request may take.
    #[arg(long, env = "DEMO_HUB_HEADER_TIMEOUT_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub header_timeout_seconds: u32,

    /// Seconds without a byte after which a request's body is given up.
    #[arg(long, env = "DEMO_HUB_BODY_TIMEOUT_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub body_timeout_seconds: u32,

    /// Seconds that a connection is kept for the next request; longer than a proxy in front keeps it.
    #[arg(long, env = "DEMO_HUB_IDLE_TIMEOUT_SECONDS", default_value_t = 130, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub idle_timeout_seconds: u32,

    /// Seconds after which a client that takes nothing of its answer is left.
    #[arg(long, env = "DEMO_HUB_WRITE_TIMEOUT_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub write_timeout_seconds: u32,
}

impl ServingConfig {
    /// What each port allows.
    pub fn limits(&self) -> Limits {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        // Behind a proxy all connections are the proxy's.
        let direct = self.client_address_header.is_none();
        Limits {
            connections: count(self.max_connections),
            connections_per_address: direct.then(|| count(self.connections_per_address)),
            head: seconds(self.header_timeout_seconds),
            body: seconds(self.body_timeout_seconds),
            idle: seconds(self.idle_timeout_seconds),
            write: seconds(self.write_timeout_seconds),
        }
    }

    /// How clients' addresses are told.
    pub fn client_addresses(&self) -> ClientAddresses {
        ClientAddresses::new(self.client_address_header.clone(), self.client_address_hops)
    }
}
