//! Where the orders of the queue lie: `PREFIX.queue.CLASS.LANE.TURN.CLIENT.NETWORK.ID`, so that the subjects of the
//! stream tell whose turn it is. Orders of before there were turns lie on `PREFIX.queue.CLASS.ID` and go first.

use futures::TryStreamExt;
use protocol::Problem;

use super::super::fair::Place;
use super::super::record::JobRecord;
use super::{Shared, class, unavailable};

/// Lanes of a model. Each is worked at in its own order, which is that of the turns as long as the unfinished ones are
/// fewer than this apart.
pub const LANES: u64 = 32;
/// Token where the network is not known.
const NO_NETWORK: &str = "-";

/// A lane of a model's orders, with a consumer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Orders of before there were turns.
    Old,
    /// Orders whose turn leaves this rest.
    Turn(u64),
}

/// An unfinished order, as its subject tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub subject: String,
    pub id: String,
    pub class: String,
    pub lane: Lane,
    /// Whose; tokens stand for client and network.
    pub place: Place<String, String>,
}

impl Lane {
    fn of(turn: u64) -> Self {
        Self::Turn(turn % LANES)
    }

    /// The durable name of the consumer for orders of `class`.
    pub fn consumer(self, class: &str) -> String {
        match self {
            Self::Old => format!("worker-{class}"),
            Self::Turn(lane) => format!("worker-{class}-lane-{lane}"),
        }
    }
}

impl Listed {
    fn read(prefix: &str, subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix(prefix)?.strip_prefix(".queue.")?;
        let tokens: Vec<&str> = rest.split('.').collect();
        match tokens[..] {
            [class, id] => Some(Self {
                subject: subject.to_owned(),
                id: id.to_owned(),
                class: class.to_owned(),
                lane: Lane::Old,
                place: Place {
                    client: String::new(),
                    network: None,
                    turn: 0,
                },
            }),
            [class, lane, turn, client, network, id] => {
                let turn = turn.parse().ok()?;
                let lane_of_turn = Lane::of(turn);
                (lane_token(lane_of_turn) == lane).then(|| Self {
                    subject: subject.to_owned(),
                    id: id.to_owned(),
                    class: class.to_owned(),
                    lane: lane_of_turn,
                    place: Place {
                        client: client.to_owned(),
                        network: (network != NO_NETWORK).then(|| network.to_owned()),
                        turn,
                    },
                })
            }
            _ => None,
        }
    }

    /// Old ones first, then by turn, then those that came first; ids begin with their inverted time.
    fn before(&self, other: &Self) -> std::cmp::Ordering {
        let key = |order: &Self| (order.lane != Lane::Old, order.place.turn);
        key(self)
            .cmp(&key(other))
            .then_with(|| other.id.cmp(&self.id))
    }
}

fn lane_token(lane: Lane) -> String {
    match lane {
        Lane::Old => String::new(),
        Lane::Turn(lane) => format!("l{lane}"),
    }
}

/// The subject of a job's order.
pub fn subject(prefix: &str, record: &JobRecord) -> String {
    let (class, id) = (class(&record.view.request.model), &record.view.id);
    match record.turn {
        None => format!("{prefix}.queue.{class}.{id}"),
        Some(turn) => format!(
            "{prefix}.queue.{class}.{}.{turn}.{}.{}.{id}",
            lane_token(Lane::of(turn)),
            record.client.token(),
            record
                .network
                .map_or_else(|| NO_NETWORK.to_owned(), |network| network.token()),
        ),
    }
}

/// The turn that a subject tells, if it tells one.
pub fn turn(prefix: &str, subject: &str) -> Option<u64> {
    let order = Listed::read(prefix, subject)?;
    (order.lane != Lane::Old).then_some(order.place.turn)
}

/// What the consumer of a lane takes.
pub fn filter(prefix: &str, class: &str, lane: Lane) -> String {
    match lane {
        Lane::Old => format!("{prefix}.queue.{class}.*"),
        Lane::Turn(_) => format!("{prefix}.queue.{class}.{}.>", lane_token(lane)),
    }
}

impl Shared {
    /// The unfinished orders, of one model or of all, in the order in which they are to be made.
    pub async fn orders(&self, model: Option<&str>) -> Result<Vec<Listed>, Problem> {
        let prefix = &self.options.prefix;
        let all = match model {
            Some(model) => format!("{prefix}.queue.{}.>", class(model)),
            None => format!("{prefix}.queue.>"),
        };
        let subjects: Vec<(String, usize)> = async {
            self.queue
                .info_with_subjects(all)
                .await
                .map_err(|e| unavailable("listing the queue", &e))?
                .try_collect()
                .await
                .map_err(|e| unavailable("listing the queue", &e))
        }
        .await?;
        let mut orders: Vec<Listed> = subjects
            .iter()
            .filter_map(|(subject, _)| Listed::read(prefix, subject))
            .collect();
        orders.sort_by(Listed::before);
        Ok(orders)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use protocol::GenerationRequest;

    use super::*;
    use crate::images::Keeping;
    use crate::limits::ClientKey;

    fn record(turn: Option<u64>) -> JobRecord {
        let request = GenerationRequest {
            model: "demo-hub/glyph".into(),
            prompt: "p".into(),
            seed: Some(0),
            num_inference_steps: Some(8),
            guidance_scale: None,
            ..GenerationRequest::default()
        };
        JobRecord {
            client: ClientKey::ApiKey("a".parse().unwrap()),
            network: Some("192.0.2.1".parse().unwrap()),
            turn,
            ..JobRecord::new("id".into(), request, 8, Keeping::default(), None)
        }
    }

    #[test]
    fn a_subject_tells_whose_turn_it_is() {
        let record = record(Some(LANES + 3));
        let subject = subject("p", &record);
        let order = Listed::read("p", &subject).unwrap();
        assert_eq!(order.class, "demo-hub=2Fglyph");
        assert_eq!((order.id.as_str(), order.lane), ("id", Lane::Turn(3)));
        assert_eq!(order.place.turn, LANES + 3);
        assert_eq!(order.place.client, record.client.token());
        assert_eq!(order.place.network, record.network.map(|n| n.token()));
        assert!(subject.starts_with(filter("p", &order.class, order.lane).trim_end_matches('>')));
    }

    #[test]
    fn orders_without_a_turn_are_read_and_go_first() {
        let old = subject("p", &record(None));
        assert_eq!(old, "p.queue.demo-hub=2Fglyph.id");
        let mut orders = [
            subject("p", &record(Some(0))),
            old,
            subject("p", &record(Some(40))),
            subject("p", &record(Some(9))),
        ]
        .map(|subject| Listed::read("p", &subject).unwrap());
        orders.sort_by(Listed::before);
        let turns = orders.map(|order| (order.lane, order.place.turn));
        assert_eq!(
            turns,
            [
                (Lane::Old, 0),
                (Lane::Turn(0), 0),
                (Lane::Turn(9), 9),
                (Lane::Turn(8), 40)
            ]
        );
    }

    #[test]
    fn other_subjects_are_no_orders() {
        for subject in [
            "q.queue.c.id",
            "p.queue.c",
            "p.queue.c.l1.2.a.b.id",
            "p.queue.c.l1.x.a.b.id",
            "p.queue.c.l1.1.a.id",
        ] {
            assert_eq!(Listed::read("p", subject), None, "{subject}");
        }
    }
}
