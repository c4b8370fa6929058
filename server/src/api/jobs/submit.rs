//! From a checked request to jobs in the queue.

use axum::http::HeaderMap;
use protocol::{JobCreated, Problem, ProblemCode};

use crate::api::Hub;
use crate::jobs::Submission;
use crate::limits::Asking;

/// Longest `Idempotency-Key`, in bytes.
pub const MAX_KEY_BYTES: usize = 200;

/// The `Idempotency-Key` of a request.
///
/// # Errors
/// [`ProblemCode::MalformedRequest`] where it is none.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            ProblemCode::MalformedRequest,
            format!("Idempotency-Key is not 1 to {MAX_KEY_BYTES} ASCII characters"),
        )),
    }
}

/// Takes the jobs of one request in, all or none. A request that repeats an earlier one gets that one's jobs, whatever
/// has become of them, and costs nothing.
///
/// # Errors
/// As [`crate::images::Images::check_room`], [`crate::limits::Limits::take`] and [`crate::jobs::Queue::submit_all`].
pub async fn submit(
    hub: &Hub,
    asking: &Asking,
    submissions: Vec<Submission>,
) -> Result<Vec<JobCreated>, Problem> {
    if let Some(known) = known(hub, &submissions).await? {
        return Ok(known);
    }
    let Some(first) = submissions.first() else {
        return Ok(Vec::new());
    };
    let pictures = u32::try_from(submissions.len()).unwrap_or(u32::MAX);
    // Three bytes a pixel: a picture that is no smaller than it was drawn.
    let pixels = u64::from(first.request.width) * u64::from(first.request.height);
    let bytes = pixels.saturating_mul(3).saturating_mul(pictures.into());
    hub.images.check_room(bytes).await?;
    let taken = hub
        .limits
        .take(asking, &first.request.model, pictures)
        .await?;
    match hub.queue.submit_all(submissions).await {
        Ok(created) => Ok(created),
        Err(problem) => {
            taken.give_back().await;
            Err(problem)
        }
    }
}

/// The jobs of an earlier request, if all are known.
async fn known(hub: &Hub, submissions: &[Submission]) -> Result<Option<Vec<JobCreated>>, Problem> {
    let mut jobs = Vec::new();
    for submission in submissions {
        let Some(key) = &submission.idempotency_key else {
            return Ok(None);
        };
        match hub.queue.known(key, &submission.fingerprint).await? {
            Some(job) => jobs.push(job),
            None => return Ok(None),
        }
    }
    Ok(Some(jobs))
}
