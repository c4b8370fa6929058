//! Who is before whom, per model.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use protocol::Problem;
use tokio::sync::Mutex;

use super::super::estimate::{Durations, Load};
use super::super::format::{self, FORMAT};
use super::super::queue::Depth;
use super::{Shared, class, unavailable};

/// Age up to which a line is not asked for again.
const FRESH: Duration = Duration::from_millis(250);

/// Lines by model as last seen.
#[derive(Default)]
pub struct Lines(Mutex<HashMap<String, (Instant, Arc<Line>)>>);

/// The unfinished jobs of one model.
#[derive(Debug, Default)]
pub struct Line {
    /// Ids, oldest first.
    ids: Vec<String>,
    pub load: Load,
}

impl Line {
    /// Waiting jobs before that one. Workers take the oldest ones first, so as many of these as are being
    /// made do not wait.
    pub fn ahead(&self, id: &str) -> usize {
        let older = self.ids.iter().take_while(|other| *other != id).count();
        older.saturating_sub(self.load.running)
    }

    /// How many jobs wait and are being made.
    pub fn depth(&self, model: &str) -> Depth {
        Depth {
            model: model.to_owned(),
            waiting: self.ids.len().saturating_sub(self.load.running),
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
        let all = self.order_subject(model, "*");
        let prefix = self.order_subject(model, "");
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
        let mut ids: Vec<String> = subjects
            .into_iter()
            .filter_map(|(subject, _)| subject.strip_prefix(&prefix).map(str::to_owned))
            .collect();
        // Ids begin with their inverted time.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let consumer = self.consumer(model).await?;
        let running = consumer
            .get_info()
            .await
            .map_err(|e| unavailable("asking a consumer", &e))?
            .num_ack_pending;
        Ok(Line {
            ids,
            load: Load {
                median_ms: self.load_durations(model).await?.0.median_ms(),
                running,
                workers: self.workers.count(Some(model)),
            },
        })
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
            ids: ["c", "b", "a"].map(str::to_owned).to_vec(),
            load: Load {
                running,
                ..Load::default()
            },
        };
        assert_eq!([line(0).ahead("c"), line(0).ahead("a")], [0, 2]);
        assert_eq!([line(1).ahead("b"), line(1).ahead("a")], [0, 1]);
        assert_eq!(line(3).ahead("a"), 0);
    }
}
