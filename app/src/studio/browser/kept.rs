//! The job that runs on the server, as the browser remembers it for a reload or another tab.

use protocol::Decision;
use serde::{Deserialize, Serialize};
use web_sys::Storage;

const KEY: &str = "demo-hub-job";

/// A job that was handed to the server.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptJob {
    /// Id of the job.
    pub(super) id: String,
    /// Why it runs on the server.
    pub(super) decision: Decision,
}

/// The job that was running when this browser last heard of it.
pub(super) fn job() -> Option<KeptJob> {
    let json = storage()?.get_item(KEY).ok()??;
    serde_json::from_str(&json).ok()
}

/// Remembers a job; where the browser keeps nothing, a reload does not find it again.
pub(super) fn keep(job: &KeptJob) {
    if let (Some(storage), Ok(json)) = (storage(), serde_json::to_string(job)) {
        let _ = storage.set_item(KEY, &json);
    }
}

/// Forgets a job that has ended, unless another one is remembered by now.
pub(super) fn forget(id: &str) {
    if job().is_some_and(|job| job.id == id)
        && let Some(storage) = storage()
    {
        let _ = storage.remove_item(KEY);
    }
}

fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok()?
}
