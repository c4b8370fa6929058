//! Which connections are held: so many in all, so many of one address. Where there is no room, one that has no request
//! in hand makes it, those that never made one first; a client with a request in hand is never put out for another.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::vitals::{Vitals, Waiting};
use crate::network::Network;

/// The open connections of a port.
pub struct Connections {
    most: usize,
    most_per_address: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// In the order in which they came.
    open: BTreeMap<u64, Open>,
    per_address: HashMap<Network, usize>,
}

struct Open {
    address: Option<Network>,
    vitals: Arc<Vitals>,
    evicted: CancellationToken,
}

/// The right to a connection, given back when dropped.
pub struct Ticket {
    number: u64,
    evicted: CancellationToken,
    connections: Arc<Connections>,
}

impl Ticket {
    /// Ends when the connection is to make room for another.
    pub fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evicted.cancelled()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.table().remove(self.number);
    }
}

impl Connections {
    /// Room for `most`, and for `most_per_address` of one address.
    pub fn new(most: usize, most_per_address: Option<usize>) -> Self {
        Self {
            most: most.max(1),
            most_per_address: most_per_address.unwrap_or(most).max(1),
            table: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a connection from `peer`, if there is any.
    pub fn admit(self: &Arc<Self>, peer: IpAddr, vitals: &Arc<Vitals>) -> Option<Ticket> {
        let mut table = self.table();
        let address = Network::from(peer);
        let address = (!address.is_loopback()).then_some(address);
        if let Some(address) = address
            && table.per_address.get(&address).copied().unwrap_or(0) >= self.most_per_address
            && !table.evict(Some(address))
        {
            return None;
        }
        if table.open.len() >= self.most && !table.evict(None) {
            return None;
        }
        table.next += 1;
        let number = table.next;
        let evicted = CancellationToken::new();
        if let Some(address) = address {
            *table.per_address.entry(address).or_default() += 1;
        }
        let open = Open {
            address,
            vitals: Arc::clone(vitals),
            evicted: evicted.clone(),
        };
        table.open.insert(number, open);
        Some(Ticket {
            number,
            evicted,
            connections: Arc::clone(self),
        })
    }

    /// Makes room, where the system has none.
    pub fn evict_one(&self) {
        self.table().evict(None);
    }
}

impl Table {
    /// Has one waiting connection end, of `address` where one is given.
    fn evict(&mut self, address: Option<Network>) -> bool {
        let mut between = None;
        for (&number, open) in &self.open {
            if address.is_some() && open.address != address {
                continue;
            }
            match open.vitals.waiting() {
                Some(Waiting::Unproven) => {
                    self.remove(number);
                    return true;
                }
                Some(Waiting::Between) => between = between.or(Some(number)),
                None => {}
            }
        }
        between.is_some_and(|number| {
            self.remove(number);
            true
        })
    }

    fn remove(&mut self, number: u64) {
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        open.evicted.cancel();
        let Some(address) = open.address else {
            return;
        };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::serving::Limits;

    struct Port(Arc<Connections>);

    impl Port {
        fn new(most: usize, per_address: usize) -> Self {
            Self(Arc::new(Connections::new(most, Some(per_address))))
        }

        fn admit(&self, address: &str) -> Option<(Ticket, Arc<Vitals>)> {
            let vitals = Arc::new(Vitals::new(Limits::default()));
            let ticket = self.0.admit(address.parse().unwrap(), &vitals)?;
            Some((ticket, vitals))
        }
    }

    fn is_evicted(held: &(Ticket, Arc<Vitals>)) -> bool {
        held.0.evicted.is_cancelled()
    }

    #[tokio::test]
    async fn an_address_takes_room_from_itself_alone() {
        let port = Port::new(100, 3);
        let other = port.admit("203.0.113.1").unwrap();
        let held: Vec<_> = (0..3).map(|_| port.admit("203.0.113.9").unwrap()).collect();
        held[0].1.begin(false);
        let fourth = port.admit("203.0.113.9").unwrap();
        let gone: Vec<bool> = held.iter().map(is_evicted).collect();
        assert_eq!(gone, [false, true, false]);
        held[2].1.begin(false);
        fourth.1.begin(false);
        assert!(port.admit("203.0.113.9").is_none());
        assert!(!is_evicted(&other));
        drop(fourth);
        assert!(port.admit("203.0.113.9").is_some());
    }

    #[tokio::test]
    async fn who_never_asked_goes_first_and_who_is_served_stays() {
        let port = Port::new(3, 3);
        let between = port.admit("203.0.113.1").unwrap();
        between.1.end(between.1.begin(false));
        let served = port.admit("203.0.113.2").unwrap();
        served.1.begin(false);
        let silent = port.admit("203.0.113.3").unwrap();
        let fourth = port.admit("203.0.113.4").unwrap();
        assert!(is_evicted(&silent) && !is_evicted(&between));
        fourth.1.begin(false);
        let fifth = port.admit("203.0.113.5").unwrap();
        assert!(is_evicted(&between));
        fifth.1.begin(false);
        assert!(port.admit("203.0.113.6").is_none());
        assert!(!is_evicted(&served));
    }

    #[tokio::test]
    async fn networks_count_as_one_and_this_machine_does_not_count() {
        let port = Port::new(10, 1);
        for (first, second) in [
            ("2001:db8::1", "2001:db8::ffff"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let held = port.admit(first).unwrap();
            let _second = port.admit(second).unwrap();
            assert!(is_evicted(&held), "{first}");
        }
        let held = [port.admit("127.0.0.1").unwrap(), port.admit("::1").unwrap()];
        let more = [port.admit("127.0.0.1").unwrap(), port.admit("::1").unwrap()];
        assert!(!held.iter().chain(&more).any(is_evicted));
        drop((held, more));
        assert!(port.0.table().open.is_empty() && port.0.table().per_address.is_empty());
    }
}
