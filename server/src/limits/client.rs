//! How the hub tells clients apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::images::OwnerId;
use crate::network::Network;

/// Longest name of an API key, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Whose requests count as one client's: the API key's where one is given, else the owner cookie's, else the
/// address's. As text: `key:NAME`, `owner:HEX`, `net:ADDRESS`, `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClientKey {
    /// Holder of an API key that the operator gave out.
    ApiKey(KeyName),
    /// Holder of an owner cookie.
    Owner(OwnerId),
    /// Whoever comes from there without a cookie or a key.
    Network(Network),
    /// Nobody in particular: a job of before clients were told apart.
    #[default]
    Unknown,
}

/// The text names no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a client's name")]
pub struct InvalidClient;

impl ClientKey {
    /// Sixteen hexadecimal digits that stand for the client where its name cannot.
    pub fn token(&self) -> String {
        token(&self.to_string())
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(name) => write!(f, "key:{name}"),
            Self::Owner(owner) => write!(f, "owner:{owner}"),
            Self::Network(network) => write!(f, "net:{network}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl FromStr for ClientKey {
    type Err = InvalidClient;

    fn from_str(text: &str) -> Result<Self, InvalidClient> {
        match text.split_once(':') {
            Some(("key", name)) => name.parse().map(Self::ApiKey),
            Some(("owner", owner)) => owner.parse().map(Self::Owner).map_err(|_| InvalidClient),
            Some(("net", network)) => network
                .parse()
                .map(Self::Network)
                .map_err(|_| InvalidClient),
            None if text == "unknown" => Ok(Self::Unknown),
            _ => Err(InvalidClient),
        }
    }
}

impl TryFrom<String> for ClientKey {
    type Error = InvalidClient;

    fn try_from(text: String) -> Result<Self, InvalidClient> {
        text.parse()
    }
}

impl From<ClientKey> for String {
    fn from(client: ClientKey) -> Self {
        client.to_string()
    }
}

/// Name of an API key: 1 to 64 letters, digits, `.`, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = InvalidClient;

    fn from_str(text: &str) -> Result<Self, InvalidClient> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidClient)
        }
    }
}

impl TryFrom<String> for KeyName {
    type Error = InvalidClient;

    fn try_from(text: String) -> Result<Self, InvalidClient> {
        text.parse()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

impl Network {
    /// Sixteen hexadecimal digits that stand for it.
    pub fn token(&self) -> String {
        token(&format!("net:{self}"))
    }
}

fn token(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_read_as_it_was_written() {
        let clients = [
            ClientKey::ApiKey("ci.build-1_a".parse().unwrap()),
            ClientKey::Owner(OwnerId::of("a")),
            ClientKey::Network(network("192.0.2.7")),
            ClientKey::Network(network("2001:db8::1")),
            ClientKey::Unknown,
        ];
        for client in &clients {
            assert_eq!(client.to_string().parse::<ClientKey>().as_ref(), Ok(client));
            let json = serde_json::to_string(client).unwrap();
            assert_eq!(&serde_json::from_str::<ClientKey>(&json).unwrap(), client);
        }
        let tokens: std::collections::HashSet<_> = clients.iter().map(ClientKey::token).collect();
        assert_eq!(tokens.len(), clients.len());
    }

    #[test]
    fn other_texts_name_nobody() {
        for text in [
            "", "owner:", "owner:x", "key:", "key:a b", "net:", "net:x", "x:y", "Unknown",
        ] {
            assert_eq!(text.parse::<ClientKey>(), Err(InvalidClient), "{text}");
        }
        assert_eq!("x".repeat(65).parse::<KeyName>(), Err(InvalidClient));
    }
}
