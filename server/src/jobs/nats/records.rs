//! Job states in the key-value bucket.

use std::time::Duration;

use async_nats::jetstream::kv::UpdateErrorKind;
use protocol::Problem;

use super::super::format::{self, Unreadable};
use super::super::record::JobRecord;
use super::{Shared, broken, unavailable};

/// A record and the revision of its key.
pub type Held = (JobRecord, u64);

/// What the bucket has of a job.
pub enum Found {
    Held(Box<Held>),
    Missing,
    /// A state that this version cannot read, and must not touch.
    Unreadable(Unreadable),
}

impl Shared {
    /// A job's state.
    pub async fn load(&self, id: &str) -> Result<Option<Held>, Problem> {
        match self.look(id).await? {
            Found::Held(held) => Ok(Some(*held)),
            Found::Missing => Ok(None),
            Found::Unreadable(unreadable) => Err(broken(unreadable)),
        }
    }

    /// A job's state, or why there is none to be had.
    pub async fn look(&self, id: &str) -> Result<Found, Problem> {
        // What cannot be a job's id need not be looked up, and could not.
        if !is_job_id(id) {
            return Ok(Found::Missing);
        }
        let entry = self
            .jobs
            .entry(id)
            .await
            .map_err(|e| unavailable("reading a job", &e))?;
        Ok(match entry {
            Some(entry) if !entry.value.is_empty() => match format::read(&entry.value) {
                Ok(record) => Found::Held(Box::new((record, entry.revision))),
                Err(unreadable) => Found::Unreadable(unreadable),
            },
            _ => Found::Missing,
        })
    }

    /// Applies `change` to the job until it is written or, `false`, changes nothing. `held` is the state known so
    /// far and afterwards the state in the bucket; `None` when it is gone.
    pub async fn change(
        &self,
        id: &str,
        held: &mut Option<Held>,
        mut change: impl FnMut(&mut JobRecord) -> bool,
    ) -> Result<bool, Problem> {
        let mut written: Option<JobRecord> = None;
        loop {
            let Some((record, revision)) = held else {
                return Ok(false);
            };
            if written.as_ref() == Some(record) {
                // The answer to an earlier attempt was lost, the attempt was not.
                return Ok(true);
            }
            let mut next = record.clone();
            if !change(&mut next) {
                return Ok(false);
            }
            let json = serde_json::to_vec(&next).map_err(broken)?;
            match self.jobs.update(id, json.into(), *revision).await {
                Ok(revision) => {
                    *held = Some((next, revision));
                    return Ok(true);
                }
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                    written = Some(next);
                    *held = self.load(id).await?;
                }
                Err(error) => {
                    *held = self.load(id).await?;
                    if held.as_ref().is_none_or(|(record, _)| *record != next) {
                        return Err(unavailable("writing a job", &error));
                    }
                }
            }
        }
    }

    /// [`Self::change`], tried again while NATS is away.
    pub async fn change_surely(
        &self,
        id: &str,
        held: &mut Option<Held>,
        patience: Duration,
        mut change: impl FnMut(&mut JobRecord) -> bool,
    ) -> Result<bool, Problem> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let mut known = held.clone();
            match self.change(id, &mut known, &mut change).await {
                Ok(changed) => {
                    *held = known;
                    return Ok(changed);
                }
                Err(problem) if tokio::time::Instant::now() >= deadline => return Err(problem),
                Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }
}

/// Whether the text can be a job's id, and thus a key and a token of a subject.
pub fn is_job_id(id: &str) -> bool {
    id.parse::<crate::images::ImageId>().is_ok()
}
