//! Which exports are being sent: one of an owner, a few of a network, and so much in memory of all.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{LimitName, Problem, ProblemCode};

use crate::images::{OwnerId, Room};
use crate::limits::Network;

/// Exports of one network at a time: a household, or a room of students.
const PER_NETWORK: usize = 4;
/// What pictures on their way to all clients may take, in KiB.
const ROOM: u32 = 32 << 10;
/// When a client that is refused may ask again, in seconds.
const AGAIN: u32 = 10;

/// The exports of this process.
#[derive(Clone)]
pub struct Exports(Arc<Shared>);

struct Shared {
    room: Room,
    running: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    owners: HashSet<OwnerId>,
    networks: HashMap<Network, usize>,
}

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Shared {
            room: Room::of_kibibytes(ROOM),
            running: Mutex::default(),
        }))
    }
}

/// An export that is being sent, until dropped.
pub struct Running {
    shared: Arc<Shared>,
    owner: OwnerId,
    network: Network,
}

impl Exports {
    /// Room in memory for pictures.
    pub fn room(&self) -> Room {
        self.0.room.clone()
    }

    /// An export begins.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] while the owner has one, or the network too many.
    pub fn begin(&self, owner: &OwnerId, network: Network) -> Result<Running, Problem> {
        let mut now = self.0.now();
        if now.owners.contains(owner) {
            let detail = "your pictures are being exported already";
            return Err(refused(detail, LimitName::ExportsAtOnce));
        }
        let running = now.networks.entry(network).or_default();
        if *running >= PER_NETWORK {
            let detail = "too many exports are being sent to your network";
            return Err(refused(detail, LimitName::ExportsAtOnceOfAddress));
        }
        *running += 1;
        now.owners.insert(owner.clone());
        Ok(Running {
            shared: Arc::clone(&self.0),
            owner: owner.clone(),
            network,
        })
    }
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut now = self.shared.now();
        now.owners.remove(&self.owner);
        if let Some(running) = now.networks.get_mut(&self.network) {
            *running -= 1;
            if *running == 0 {
                now.networks.remove(&self.network);
            }
        }
    }
}

fn refused(detail: &str, limit: LimitName) -> Problem {
    let mut problem = Problem::new(ProblemCode::RateLimited, detail)
        .with_hint("Wait until it has arrived, or cancel it.")
        .with_limit(limit);
    problem.retry_after = Some(AGAIN);
    problem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_owner_has_one_and_a_network_a_few() {
        let exports = Exports::default();
        let network = |last: u8| Network::from(std::net::IpAddr::from([192, 0, 2, last]));
        let owner = |n: usize| OwnerId::of(&n.to_string());
        let first = exports.begin(&owner(0), network(1)).unwrap();
        let again = exports.begin(&owner(0), network(2)).err().unwrap();
        assert_eq!(again.code, ProblemCode::RateLimited);
        assert_eq!(again.limit, Some(LimitName::ExportsAtOnce));
        let others: Vec<_> = (1..4)
            .map(|n| exports.begin(&owner(n), network(1)).unwrap())
            .collect();
        let fifth = exports.begin(&owner(4), network(1)).err().unwrap();
        assert_eq!(fifth.limit, Some(LimitName::ExportsAtOnceOfAddress));
        assert!(exports.begin(&owner(4), network(2)).is_ok());
        drop(first);
        drop(exports.begin(&owner(0), network(1)).unwrap());
        drop(others);
        assert!(exports.0.now().owners.is_empty() && exports.0.now().networks.is_empty());
    }
}
