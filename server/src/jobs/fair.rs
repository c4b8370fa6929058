//! Turns between clients: which of the waiting jobs of one model is made next.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with jobs as the unit: a job gets a number, its turn,
//! when it enters, and the lowest turn goes first, equal ones in the order in which they came. A client's jobs have
//! turns one apart, and the first one of a client who had none waits for no more than its share: its turn is that of
//! the job started last. So nothing moves when somebody else enters but the places behind, every replica reckons the
//! same order, and between two clients who both wait the jobs made never differ by more than two.

use std::collections::HashSet;
use std::hash::Hash;

/// Clients of one network that have turns of their own; more of them share these, so that cookies made up by one
/// visitor gain nothing beyond.
pub const CLIENTS_PER_NETWORK: u64 = 4;

/// An unfinished job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<C, N> {
    /// Whose.
    pub client: C,
    /// Where that client is; absent: not known, or of no matter.
    pub network: Option<N>,
    /// Its turn.
    pub turn: u64,
}

/// The turn of a new job of `client`, where `now` is the highest turn of a job that was started.
pub fn turn<C: Eq + Hash, N: Eq>(
    now: u64,
    unfinished: &[Place<C, N>],
    client: &C,
    network: Option<&N>,
) -> u64 {
    let own = unfinished.iter().filter(|place| place.client == *client);
    let after_own = own.map(|place| place.turn.saturating_add(1)).max();
    let neighbours: HashSet<&C> = unfinished
        .iter()
        .filter(|place| network.is_some() && place.network.as_ref() == network)
        .map(|place| &place.client)
        .filter(|other| *other != client)
        .collect();
    let crowd = neighbours.len() as u64 / CLIENTS_PER_NETWORK;
    now.saturating_add(crowd).max(after_own.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// A model of a queue: jobs enter, are started by turn, and end.
    #[derive(Default)]
    struct Queue {
        now: u64,
        waiting: Vec<(u64, usize, Place<u8, u8>)>,
        running: VecDeque<Place<u8, u8>>,
        entered: usize,
    }

    impl Queue {
        fn enter(&mut self, client: u8, network: Option<u8>) -> usize {
            let waiting = self.waiting.iter().map(|(_, _, place)| place.clone());
            let unfinished: Vec<_> = waiting.chain(self.running.iter().cloned()).collect();
            let turn = turn(self.now, &unfinished, &client, network.as_ref());
            let place = Place {
                client,
                network,
                turn,
            };
            self.waiting.push((turn, self.entered, place));
            self.entered += 1;
            self.entered - 1
        }

        fn start(&mut self) -> Option<(usize, u8)> {
            self.waiting
                .sort_by_key(|(turn, number, _)| (*turn, *number));
            if self.waiting.is_empty() {
                return None;
            }
            let (turn, number, place) = self.waiting.remove(0);
            self.now = self.now.max(turn);
            let client = place.client;
            self.running.push_back(place);
            Some((number, client))
        }

        fn end(&mut self) {
            self.running.pop_front();
        }

        /// Clients in the order in which their jobs are made, one at a time.
        fn served(&mut self, jobs: usize) -> Vec<u8> {
            let mut served = Vec::new();
            for _ in 0..jobs {
                served.extend(self.start().map(|(_, client)| client));
                self.end();
            }
            served
        }
    }

    #[test]
    fn two_clients_alternate_however_many_jobs_one_has() {
        let mut queue = Queue::default();
        for _ in 0..6 {
            queue.enter(1, None);
        }
        for _ in 0..3 {
            queue.enter(2, None);
        }
        assert_eq!(queue.served(9), [1, 2, 1, 2, 1, 2, 1, 1, 1]);
    }

    #[test]
    fn a_newcomer_waits_for_the_job_in_hand_alone() {
        let mut queue = Queue::default();
        for _ in 0..16 {
            queue.enter(1, None);
        }
        for _ in 0..8 {
            // The greedy client fills up again whenever it can.
            queue.start();
            queue.enter(1, None);
            queue.enter(2, None);
            queue.end();
            assert_eq!(queue.start().map(|(_, client)| client), Some(2));
            queue.end();
        }
    }

    #[test]
    fn cookies_made_up_behind_one_address_are_four_clients_at_most() {
        let mut queue = Queue::default();
        for forged in 10..50 {
            queue.enter(forged, Some(1));
        }
        queue.start();
        let polite = queue.enter(1, Some(2));
        let second = queue.enter(1, Some(2));
        queue.end();
        let before: Vec<usize> = std::iter::from_fn(|| queue.start().map(|(number, _)| number))
            .take_while(|number| *number != second)
            .collect();
        let place = before.iter().position(|number| *number == polite);
        // Of the first four one is in hand; the polite client's second job has four of the next ones before it.
        assert_eq!((place, before.len()), (Some(3), 8));
        // Without a network each of them is somebody.
        let mut queue = Queue::default();
        for client in 10..50 {
            queue.enter(client, None);
        }
        assert_eq!(turn(0, &[], &1u8, None::<&u8>), 0);
        assert!(queue.waiting.iter().all(|(turn, _, _)| *turn == 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter(u8),
        Start,
        End,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..4).prop_map(Step::Enter),
            3 => Just(Step::Start),
            2 => Just(Step::End),
        ]
    }

    proptest! {
        #[test]
        fn clients_who_wait_are_served_alike(steps in prop::collection::vec(step(), 1..200)) {
            let mut queue = Queue::default();
            // Jobs started of each client since two clients began to wait together.
            let mut started = [[0i32; 4]; 4];
            let mut latest = [None; 4];
            for step in steps {
                match step {
                    Step::Enter(client) => {
                        queue.enter(client, None);
                    }
                    Step::Start => {
                        if let Some((number, client)) = queue.start() {
                            let client = usize::from(client);
                            prop_assert!(latest[client] < Some(number), "out of its own order");
                            latest[client] = Some(number);
                            for count in &mut started[client] {
                                *count += 1;
                            }
                        }
                    }
                    Step::End => queue.end(),
                }
                let waits = |client: usize| {
                    queue.waiting.iter().any(|(_, _, place)| usize::from(place.client) == client)
                };
                for (a, b) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
                    if waits(a) && waits(b) {
                        let apart = started[a][b] - started[b][a];
                        prop_assert!(apart.abs() <= 2, "{a} and {b} are {apart} apart");
                    } else {
                        started[a][b] = 0;
                        started[b][a] = 0;
                    }
                }
            }
        }

        #[test]
        fn every_job_is_started_in_the_end(clients in prop::collection::vec((0u8..6, 0u8..2), 1..60)) {
            let mut queue = Queue::default();
            for (client, network) in &clients {
                queue.enter(*client, Some(*network));
            }
            let mut served = queue.served(clients.len());
            let mut wanted: Vec<u8> = clients.iter().map(|(client, _)| *client).collect();
            served.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(served, wanted);
        }
    }
}
