//! The job that runs on the server, as the browser remembers it for a reload or another tab.

use protocol::{Decision, JobView};
use serde::{Deserialize, Serialize};
use web_sys::Storage;

use super::remote;

const KEY: &str = "demo-hub-job";

/// A job that was handed to the server.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptJob {
    /// Id of the job.
    pub(crate) id: String,
    /// Why it runs on the server.
    pub(crate) decision: Decision,
}

impl KeptJob {
    /// Forgets it: it cannot be followed.
    pub(crate) fn forget(&self) {
        forget(&self.id);
    }
}

/// A job of before, with what the server says of it now, unless the server no longer knows it.
pub(crate) async fn found() -> Option<(KeptJob, JobView)> {
    let job = job()?;
    match remote::find(&job.id).await {
        Ok(Some(view)) => Some((job, view)),
        Ok(None) => {
            job.forget();
            None
        }
        // It may still be made: the next visit looks for it once more.
        Err(_) => None,
    }
}

/// The job that was running when this browser last heard of it.
fn job() -> Option<KeptJob> {
    let json = storage()?.get_item(KEY).ok()??;
    serde_json::from_str(&json).ok()
}

/// Remembers a job; where the browser keeps nothing, a reload does not find it again.
pub(crate) fn keep(job: &KeptJob) {
    if let (Some(storage), Ok(json)) = (storage(), serde_json::to_string(job)) {
        let _ = storage.set_item(KEY, &json);
    }
}

/// Forgets a job that has ended, unless another one is remembered by now.
pub(crate) fn forget(id: &str) {
    if job().is_some_and(|job| job.id == id)
        && let Some(storage) = storage()
    {
        let _ = storage.remove_item(KEY);
    }
}

fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok()?
}
