//! What an `Idempotency-Key` stands for (draft-ietf-httpapi-idempotency-key-header).

use std::fmt;

use protocol::Problem;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::limits::ClientKey;

/// A key of one client, as 64 hexadecimal digits. Keys of different clients never meet, nor does the key of a picture
/// of several with any key that a client may send.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JobKey(String);

impl JobKey {
    /// The key `sent` by `client`; `picture` is its number where the request is for several.
    pub fn new(client: &ClientKey, sent: &str, picture: Option<u32>) -> Self {
        let digest = Sha256::new()
            .chain_update(b"demo-hub job key\0")
            .chain_update(client.to_string())
            .chain_update(b"\0")
            .chain_update(
                picture
                    .map_or(0, |number| u64::from(number) + 1)
                    .to_be_bytes(),
            )
            .chain_update(sent)
            .finalize();
        Self(hex::encode(digest))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of what a request asks for: the address that it was sent to and all that was told there, before a seed was
/// drawn.
///
/// # Errors
/// [`protocol::ProblemCode::Internal`] when it cannot be written.
pub fn fingerprint(route: &str, told: &impl Serialize) -> Result<[u8; 32], Problem> {
    let json = serde_json::to_vec(&(route, told)).map_err(|error| {
        tracing::error!(%error, "fingerprint");
        Problem::new(
            protocol::ProblemCode::Internal,
            "the request could not be prepared",
        )
    })?;
    Ok(Sha256::digest(json).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;
    use crate::images::OwnerId;

    #[test]
    fn keys_meet_only_where_client_text_and_number_are_the_same() {
        let clients = [
            ClientKey::Owner(OwnerId::of("ann")),
            ClientKey::Owner(OwnerId::of("bob")),
            ClientKey::ApiKey("ann".parse().unwrap()),
            ClientKey::Network("192.0.2.1".parse().unwrap()),
            ClientKey::Unknown,
        ];
        let sent = ["k", "k#0", "k#1", "k\0", "\0k", "0", "1"];
        let numbers = [None, Some(0), Some(1), Some(9)];
        let mut seen = HashSet::new();
        for client in &clients {
            for text in sent {
                for number in numbers {
                    assert!(seen.insert(JobKey::new(client, text, number)));
                }
            }
        }
        let again = JobKey::new(&clients[0], "k", Some(1));
        assert_eq!(again, JobKey::new(&clients[0], "k", Some(1)));
        assert_eq!(again.as_str().len(), 64);
    }

    #[test]
    fn another_address_or_another_word_is_another_request() {
        let told = [
            fingerprint("/a", &("p", false)).unwrap(),
            fingerprint("/b", &("p", false)).unwrap(),
            fingerprint("/a", &("p", true)).unwrap(),
            fingerprint("/a", &("q", false)).unwrap(),
        ];
        assert_eq!(told.iter().collect::<HashSet<_>>().len(), told.len());
        assert_eq!(fingerprint("/a", &("p", false)).unwrap(), told[0]);
    }
}
