//! What visitors say against pictures: a queue for the operator.

use std::collections::BTreeMap;
use std::net::IpAddr;

use protocol::{LimitName, MAX_REPORT_COMMENT, Problem, ProblemCode, ReportReason, ReportRequest};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::references::now;
use super::{FORMAT, ImageId, Images, MAX_RECORD_BYTES, OwnerId, internal, keys, no_such_picture};
use crate::limits::ClientKey;
use crate::storage::{Condition, Put, StorageError};

/// Open reports kept in all; where there are more, the operator has been told often enough.
const MAX_OPEN: usize = 1000;
/// Reports kept of one picture.
const MAX_OF_ONE: usize = 50;
/// Seconds after which a report may be tried again while the queue is full.
const FULL_RETRY: u32 = 3600;

/// A report as it is kept. Nothing in it says who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    #[serde(default = "super::records::unnumbered")]
    format: u32,
    /// Id of the picture.
    pub id: String,
    /// What is wrong with it.
    pub reason: Reason,
    /// In the reporter's words.
    #[serde(default)]
    pub comment: String,
    /// Milliseconds since the Unix epoch.
    pub reported_at: u64,
}

/// A reason, of a newer version too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reason {
    /// Known here.
    Known(ReportReason),
    /// Of a newer version.
    Newer(String),
}

impl Reason {
    /// As it is written.
    pub fn name(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        json.as_str().unwrap_or_default().to_owned()
    }
}

/// The open reports of one picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// Id of the picture.
    pub id: String,
    /// Its reports, oldest first.
    pub reports: Vec<Report>,
}

impl Images {
    /// Puts a report into the queue. One client's report of one picture counts once, also after it was resolved.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`] for a picture that `asking` does not see, [`ProblemCode::MalformedRequest`],
    /// [`ProblemCode::RateLimited`], [`ProblemCode::StorageUnavailable`].
    pub async fn report(
        &self,
        id: &str,
        report: ReportRequest,
        asking: Option<&OwnerId>,
        client: &ClientKey,
        address: IpAddr,
    ) -> Result<(), Problem> {
        let id: ImageId = id.parse().map_err(|_| no_such_picture())?;
        let chars = report.comment.chars().count();
        if chars > MAX_REPORT_COMMENT {
            return Err(Problem::new(
                ProblemCode::MalformedRequest,
                format!(
                    "comment has {chars} characters; at most {MAX_REPORT_COMMENT} are accepted"
                ),
            ));
        }
        if let Some(quota) = &self.quota {
            quota.take_report(asking, address)?;
        }
        let found = self.find_for(&id, asking).await?;
        found.ok_or_else(no_such_picture)?;
        let name = format!("{}.json", reporter(&id, client));
        let resolved = format!("{}{name}", keys::resolved_reports(&id));
        if self.store.exists(&resolved).await? {
            return Ok(());
        }
        let prefix = keys::open_reports(&id);
        let (of_one, _) = self.store.list(&prefix, None, MAX_OF_ONE).await?;
        let key = format!("{prefix}{name}");
        if of_one.len() >= MAX_OF_ONE || of_one.contains(&key) {
            return Ok(());
        }
        let (open, _) = self.store.list(keys::OPEN_REPORTS, None, MAX_OPEN).await?;
        if open.len() >= MAX_OPEN {
            tracing::error!(
                MAX_OPEN,
                "the queue of reports is full: `demo-hub reports list` shows it"
            );
            let mut problem =
                Problem::new(ProblemCode::RateLimited, "the queue of reports is full")
                    .with_limit(LimitName::OpenReports);
            problem.retry_after = Some(FULL_RETRY);
            return Err(problem);
        }
        let kept = Report {
            format: FORMAT,
            id: id.to_string(),
            reason: Reason::Known(report.reason),
            comment: report.comment,
            reported_at: now(),
        };
        let json = serde_json::to_vec(&kept).map_err(internal)?;
        let put = self
            .store
            .put_if(&key, json, "application/json", &Condition::Absent);
        if matches!(put.await?, Put::Written(_)) {
            tracing::warn!(%id, reason = ?report.reason, "a picture was reported");
        }
        Ok(())
    }

    /// The open reports, those of the most reported pictures first.
    ///
    /// # Errors
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn open_reports(&self) -> Result<Vec<Reported>, Problem> {
        let (keys, _) = self.store.list(keys::OPEN_REPORTS, None, MAX_OPEN).await?;
        let mut of: BTreeMap<String, Vec<Report>> = BTreeMap::new();
        for key in keys {
            if let Some(report) = self.read_report(&key).await? {
                of.entry(report.id.clone()).or_default().push(report);
            }
        }
        let mut all: Vec<Reported> = of
            .into_iter()
            .map(|(id, mut reports)| {
                reports.sort_by_key(|report| report.reported_at);
                Reported { id, reports }
            })
            .collect();
        all.sort_by_key(|reported| std::cmp::Reverse(reported.reports.len()));
        Ok(all)
    }

    /// Takes the open reports of a picture out of the queue; how many there were.
    ///
    /// # Errors
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn resolve_reports(&self, id: &ImageId) -> Result<usize, Problem> {
        let open = keys::open_reports(id);
        let (found, _) = self.store.list(&open, None, MAX_OPEN).await?;
        for key in &found {
            let name = key.strip_prefix(&open).unwrap_or_default();
            // What stays says only that this client's report was dealt with.
            let resolved = format!("{}{name}", keys::resolved_reports(id));
            self.store.put_marker(&resolved).await?;
            self.store.delete(key).await?;
        }
        Ok(found.len())
    }

    async fn read_report(&self, key: &str) -> Result<Option<Report>, Problem> {
        match self.store.get(key, MAX_RECORD_BYTES).await {
            Ok(json) => match serde_json::from_slice(&json) {
                Ok(report) => Ok(Some(report)),
                Err(error) => {
                    tracing::error!(key, %error, "report is damaged");
                    Ok(None)
                }
            },
            Err(StorageError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The same for all reports of one client of one picture, and another one for every other picture.
fn reporter(id: &ImageId, client: &ClientKey) -> String {
    let digest = Sha256::new()
        .chain_update(b"demo-hub report\0")
        .chain_update(id.as_str())
        .chain_update(b"\0")
        .chain_update(client.to_string())
        .finalize();
    hex::encode(&digest[..16])
}
