//! Who counts as one by the address alone.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Network prefix that one IPv6 subscriber has (RFC 6177).
const IPV6_PREFIX_BITS: u32 = 64;

/// Where one subscriber's requests come from: an IPv4 address, or the /64 of an IPv6 address; an IPv4 address written
/// as IPv6 is the IPv4 address. This machine's own address is itself alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpAddr);

impl Network {
    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        self.0.is_loopback()
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                let mask = u128::MAX << (128 - IPV6_PREFIX_BITS);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
            other => other,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Network {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        text.parse::<IpAddr>().map(Self::from)
    }
}

impl TryFrom<String> for Network {
    type Error = AddrParseError;

    fn try_from(text: String) -> Result<Self, AddrParseError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_subscriber_is_one_network() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_eq!(network("2001:db8::1").to_string(), "2001:db8::");
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(network(here).is_loopback(), "{here}");
        }
        assert!(!network("::2").is_loopback());
        assert!("192.0.2".parse::<Network>().is_err());
    }
}
