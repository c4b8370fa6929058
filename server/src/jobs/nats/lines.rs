//! Who is before whom, per model.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use protocol::Problem;
use tokio::sync::Mutex;

use super::super::estimate::{Durations, Load};
use super::super::format::{self, FORMAT};
use super::super::queue::Depth;
use super::orders::Lane;
use super::{Shared, class, unavailable};

/// Age up to which a line is not asked for again.
const FRESH: Duration = Duration::from_millis(250);

/// Lines by model as last seen.
#[derive(Default)]
pub struct Lines(Mutex<HashMap<String, (Instant, Arc<Line>)>>);

/// The unfinished jobs of one model.
#[derive(Debug, Default)]
pub struct Line {
    /// Id and lane, in the order in which they are to be made.
    jobs: Vec<(String, Lane)>,
    /// Jobs of each lane that workers are at.
    taken: HashMap<Lane, usize>,
    pub load: Load,
}

impl Line {
    /// Waiting jobs before that one. Workers take the oldest ones of a lane first, so as many of these as are being
    /// made do not wait.
    pub fn ahead(&self, id: &str) -> usize {
        let mut taken = self.taken.clone();
        let before = self.jobs.iter().take_while(|(other, _)| other != id);
        before
            .filter(|(_, lane)| match taken.get_mut(lane) {
                Some(running) if *running > 0 => {
                    *running -= 1;
                    false
                }
                _ => true,
            })
            .count()
    }

    /// How many jobs wait and are being made.
    pub fn depth(&self, model: &str) -> Depth {
        Depth {
            model: model.to_owned(),
            waiting: self.jobs.len().saturating_sub(self.load.running),
            running: self.load.running,
        }
    }
}

impl Shared {
    /// The line of a model, at most [`FRESH`] old.
    pub async fn line(&self, model: &str) -> Result<Arc<Line>, Problem> {
        // Held while asking: many watchers, one question.
        let mut lines = self.lines.0.lock().await;
        if let Some((seen, line)) = lines.get(model)
            && seen.elapsed() < FRESH
        {
            return Ok(Arc::clone(line));
        }
        let line = Arc::new(self.ask_line(model).await?);
        lines.insert(model.to_owned(), (Instant::now(), Arc::clone(&line)));
        Ok(line)
    }

    async fn ask_line(&self, model: &str) -> Result<Line, Problem> {
        let jobs: Vec<(String, Lane)> = self
            .orders(Some(model))
            .await?
            .into_iter()
            .map(|order| (order.id, order.lane))
            .collect();
        let lanes: BTreeSet<Lane> = jobs.iter().map(|(_, lane)| *lane).collect();
        let taken: HashMap<Lane, usize> = try_join_all(lanes.into_iter().map(|lane| async move {
            let consumer = self.consumer(model, lane).await?;
            let info = consumer
                .get_info()
                .await
                .map_err(|e| unavailable("asking a consumer", &e))?;
            Ok::<_, Problem>((lane, info.num_ack_pending))
        }))
        .await?
        .into_iter()
        .collect();
        Ok(Line {
            load: Load {
                median_ms: self.load_durations(model).await?.0.median_ms(),
                running: taken.values().sum(),
                workers: self.workers.count(Some(model)),
            },
            jobs,
            taken,
        })
    }

    /// The highest turn of a job of a model that was started.
    pub async fn last_turn(&self, model: &str) -> Result<u64, Problem> {
        let turn = self
            .durations
            .get(turn_key(model))
            .await
            .map_err(|e| unavailable("reading the turn", &e))?;
        let text = turn.as_deref().map(std::str::from_utf8);
        Ok(text
            .and_then(Result::ok)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default())
    }

    /// Notes that a job of that turn was started. Where two workers do so at once the lower one may stay: then the next
    /// newcomer goes before one more job.
    pub async fn note_turn(&self, model: &str, turn: u64) {
        let noted = match self.last_turn(model).await {
            Ok(known) if known >= turn => return,
            Ok(_) => self
                .durations
                .put(turn_key(model), turn.to_string().into())
                .await
                .map_err(|error| error.to_string()),
            Err(problem) => Err(problem.to_string()),
        };
        if let Err(error) = noted {
            tracing::debug!(error, "a turn is not noted");
        }
    }

    /// Durations of a model and their revision; 0: they are new. What cannot be read is begun anew: it is a sample.
    async fn load_durations(&self, model: &str) -> Result<(Durations, u64), Problem> {
        let entry = |key: String| async move {
            let entry = self.durations.entry(key).await;
            entry.map_err(|e| unavailable("reading durations", &e))
        };
        if let Some(entry) = entry(durations_key(model)).await? {
            let durations = format::read(&entry.value).unwrap_or_default();
            return Ok((durations, entry.revision));
        }
        let first = entry(class(model)).await?.and_then(|entry| {
            let milliseconds: VecDeque<u64> = serde_json::from_slice(&entry.value).ok()?;
            Some(milliseconds.into())
        });
        Ok((first.unwrap_or_default(), 0))
    }

    /// Notes how long a job took. Where several workers do so at once one of them may be lost: it is a sample.
    pub async fn note_duration(&self, model: &str, milliseconds: u64) {
        let (mut durations, revision) = match self.load_durations(model).await {
            Ok(known) => known,
            Err(problem) => {
                tracing::debug!(%problem, "a duration is not noted");
                return;
            }
        };
        durations.push(milliseconds);
        let noted = match serde_json::to_vec(&durations) {
            Ok(json) => self
                .durations
                .update(durations_key(model), json.into(), revision)
                .await
                .map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = noted {
            tracing::debug!(error, "a duration is not noted");
        }
    }
}

fn turn_key(model: &str) -> String {
    format!("{}.turn", class(model))
}

/// Beside the key of the first format, which older versions go on to read and write.
fn durations_key(model: &str) -> String {
    format!("{}.{FORMAT}", class(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_being_made_do_not_wait() {
        let line = |running| Line {
            jobs: ["c", "b", "a"]
                .map(|id| (id.to_owned(), Lane::Old))
                .to_vec(),
            taken: HashMap::from([(Lane::Old, running)]),
            load: Load::default(),
        };
        assert_eq!([line(0).ahead("c"), line(0).ahead("a")], [0, 2]);
        assert_eq!([line(1).ahead("b"), line(1).ahead("a")], [0, 1]);
        assert_eq!(line(3).ahead("a"), 0);
    }

    #[test]
    fn those_being_made_are_the_first_of_their_lane() {
        let jobs = [("d", 0), ("c", 1), ("b", 1), ("a", 2)];
        let line = Line {
            jobs: jobs
                .map(|(id, lane)| (id.to_owned(), Lane::Turn(lane)))
                .to_vec(),
            taken: HashMap::from([(Lane::Turn(1), 1)]),
            load: Load::default(),
        };
        assert_eq!(["d", "c", "b", "a"].map(|id| line.ahead(id)), [0, 1, 1, 2]);
    }
}
