//! Workers that were heard of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::super::queue::{WORKER_GONE, WorkerStatus};
use super::Shared;

/// Signs of life by worker.
#[derive(Default)]
pub struct Workers(Mutex<HashMap<String, (Instant, WorkerStatus)>>);

#[derive(Serialize, Deserialize)]
struct Sign {
    worker: WorkerStatus,
    leaves: bool,
}

impl Workers {
    /// Workers heard of lately; with a model, those that take its jobs now.
    pub fn count(&self, model: Option<&str>) -> usize {
        self.counted(|worker| model.is_none_or(|model| worker.could_take(model)))
    }

    /// Whether a worker other than `worker` is well and takes jobs of `model`.
    pub fn has_others(&self, worker: &str, model: &str) -> bool {
        self.counted(|other| other.id != worker && other.could_take(model)) > 0
    }

    fn counted(&self, of: impl Fn(&WorkerStatus) -> bool) -> usize {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|_, (seen, _)| seen.elapsed() < WORKER_GONE);
        workers.values().filter(|(_, worker)| of(worker)).count()
    }

    fn hear(&self, sign: Sign) {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sign.leaves {
            workers.remove(&sign.worker.id);
        } else {
            workers.insert(sign.worker.id.clone(), (Instant::now(), sign.worker));
        }
    }
}

impl Shared {
    /// Sends a worker's sign of life, or of its end.
    pub async fn announce(&self, worker: &WorkerStatus, leaves: bool) {
        let sign = Sign {
            worker: worker.clone(),
            leaves,
        };
        match serde_json::to_vec(&sign) {
            Ok(json) => self.publish(self.workers_subject(), json).await,
            Err(error) => tracing::error!(%error, "sign of life"),
        }
    }

    /// Listens to workers for as long as the queue is used.
    pub async fn watch_workers(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut signs = self.client.subscribe(self.workers_subject()).await?;
        let queue = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(message) = signs.next().await {
                let Some(queue) = queue.upgrade() else { return };
                match serde_json::from_slice(&message.payload) {
                    Ok(sign) => queue.workers.hear(sign),
                    Err(error) => tracing::debug!(%error, "unreadable sign of life"),
                }
            }
        });
        Ok(())
    }
}
