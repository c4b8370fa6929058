//! Whether a queue has room for more jobs of a client.

use protocol::{LimitName, Problem, ProblemCode};

use super::queue::queue_full;
use crate::limits::Allowance;

/// One place in so many is kept free of any one client. A queue of four or fewer is not shared out.
const KEPT_FREE: usize = 4;

/// The unfinished jobs of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// All.
    pub all: usize,
    /// Those of the client.
    pub client: usize,
    /// Those of its network; 0 where the network is not known.
    pub network: usize,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The queue is full.
    Full {
        /// Unfinished jobs.
        jobs: usize,
        /// Jobs that it takes.
        capacity: usize,
    },
    /// The client has as many unfinished jobs as it may have.
    Client {
        /// Unfinished jobs of the client.
        jobs: usize,
        /// How many it may have.
        most: usize,
    },
    /// The clients of the network have as many.
    Network {
        /// Unfinished jobs of the network.
        jobs: usize,
        /// How many it may have.
        most: usize,
    },
}

/// Looks for room for `new` jobs, all or none. However much is allowed, a client and a network get three quarters of
/// the queue at most: nobody fills it alone.
pub fn admit(
    new: usize,
    capacity: usize,
    standing: Standing,
    allowance: Option<Allowance>,
) -> Result<(), Refusal> {
    if standing.all + new > capacity {
        let jobs = standing.all;
        return Err(Refusal::Full { jobs, capacity });
    }
    if let Some(allowance) = allowance {
        let share = capacity - capacity.saturating_sub(1) / KEPT_FREE;
        let most = share.min(allowance.client as usize);
        if standing.client + new > most {
            let jobs = standing.client;
            return Err(Refusal::Client { jobs, most });
        }
        let most = share.min(allowance.network as usize);
        if standing.network + new > most {
            let jobs = standing.network;
            return Err(Refusal::Network { jobs, most });
        }
    }
    Ok(())
}

impl Refusal {
    /// As the client sees it; `retry_after` in seconds.
    pub fn problem(self, retry_after: u32) -> Problem {
        let (limit, whose, jobs, most) = match self {
            Self::Full { jobs, .. } => return queue_full(jobs, retry_after),
            Self::Client { jobs, most } => (LimitName::PicturesInFlight, "you", jobs, most),
            Self::Network { jobs, most } => (
                LimitName::PicturesInFlightOfAddress,
                "your address",
                jobs,
                most,
            ),
        };
        let mut problem = Problem::new(
            ProblemCode::RateLimited,
            format!(
                "{jobs} pictures of {whose} are waiting or being made already, and this request would go beyond the {most} that may be"
            ),
        )
        .with_hint("Try again when one of them is done, or ask for fewer at a time.")
        .with_limit(limit);
        problem.retry_after = Some(retry_after);
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Option<Allowance> = Some(Allowance {
        client: 6,
        network: 9,
    });

    fn standing(all: usize, client: usize, network: usize) -> Standing {
        Standing {
            all,
            client,
            network,
        }
    }

    #[test]
    fn each_limit_refuses_what_goes_beyond_it_and_nothing_else() {
        for (new, all, client, network, wanted) in [
            (1, 15, 5, 8, Ok(())),
            (
                1,
                16,
                0,
                0,
                Err(Refusal::Full {
                    jobs: 16,
                    capacity: 16,
                }),
            ),
            (
                2,
                15,
                0,
                0,
                Err(Refusal::Full {
                    jobs: 15,
                    capacity: 16,
                }),
            ),
            (6, 0, 0, 0, Ok(())),
            (7, 0, 0, 0, Err(Refusal::Client { jobs: 0, most: 6 })),
            (1, 6, 6, 6, Err(Refusal::Client { jobs: 6, most: 6 })),
            (1, 9, 0, 9, Err(Refusal::Network { jobs: 9, most: 9 })),
            (2, 8, 0, 8, Err(Refusal::Network { jobs: 8, most: 9 })),
        ] {
            let admitted = admit(new, 16, standing(all, client, network), ALLOWED);
            assert_eq!(admitted, wanted, "{new} {all} {client} {network}");
        }
    }

    #[test]
    fn nobody_fills_a_queue_alone() {
        let much = Some(Allowance {
            client: 1_000,
            network: 1_000,
        });
        for capacity in 5..=300 {
            let alone = (0..=capacity)
                .take_while(|jobs| admit(1, capacity, standing(*jobs, *jobs, *jobs), much).is_ok())
                .count();
            assert!((1..capacity).contains(&alone), "{alone} of {capacity}");
            assert!(alone * 2 >= capacity, "{alone} of {capacity}");
            let rest = admit(capacity - alone, capacity, standing(alone, 0, 0), None);
            assert_eq!(rest, Ok(()));
        }
        // One of few places can be shared in turn only.
        assert_eq!(admit(4, 4, Standing::default(), much), Ok(()));
        // Without an allowance there is only the queue's own size.
        assert_eq!(admit(300, 300, Standing::default(), None), Ok(()));
    }

    #[test]
    fn the_problem_names_the_limit() {
        let problem = Refusal::Client { jobs: 6, most: 6 }.problem(3);
        assert_eq!(problem.code, ProblemCode::RateLimited);
        assert_eq!(problem.limit, Some(LimitName::PicturesInFlight));
        assert_eq!((problem.status, problem.retry_after), (429, Some(3)));
        let full = Refusal::Full {
            jobs: 16,
            capacity: 16,
        }
        .problem(3);
        assert_eq!(full.code, ProblemCode::QueueFull);
        assert_eq!(full.limit, Some(LimitName::QueueCapacity));
    }
}
