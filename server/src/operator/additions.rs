//! Models that are being added, as jobs: one after the other, whichever replica works on them, in files beside the downloads that all
//! replicas of a models folder see.

mod store;
mod work;

use std::sync::Arc;

use futures::Stream;
use protocol::{Addition, AdditionRequest, AdditionStatus, Problem, ProblemCode};
use tokio::sync::Notify;

use super::named;
use super::tool::Tool;
use crate::catalog::Catalog;

pub use store::AdditionId;
use store::{Changed, Files};
use work::LOOK_AGAIN;

/// Additions that may wait or be worked on.
const MOST_OPEN: usize = 32;

/// The additions of a models folder.
pub struct Additions {
    files: Files,
    tool: Arc<Tool>,
    /// Something is to be done.
    wake: Notify,
}

impl Additions {
    /// Those of a folder.
    pub fn new(models_dir: &std::path::Path, tool: Arc<Tool>) -> Self {
        Self {
            files: Files::new(models_dir),
            tool,
            wake: Notify::new(),
        }
    }

    /// All of them, the newest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn list(self: &Arc<Self>) -> Result<Vec<Addition>, Problem> {
        self.blocking(|files| files.list()).await
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn get(self: &Arc<Self>, id: AdditionId) -> Result<Addition, Problem> {
        let found = self.blocking(move |files| files.get(&id)).await?;
        found.ok_or_else(none)
    }

    /// Adds a model, once those before it have been.
    ///
    /// # Errors
    /// For what is no id of a model, one that is here, or is being added already.
    pub async fn ask(
        self: &Arc<Self>,
        request: AdditionRequest,
        catalog: &Catalog,
    ) -> Result<Addition, Problem> {
        let request = named::read(request)?;
        let id = request.id.clone();
        if catalog.summary(&id).is_some() {
            let detail = format!("a model with the id {id} is here already");
            return Err(Problem::new(ProblemCode::Conflict, detail)
                .with_hint("Remove it first, to add another revision or other weights."));
        }
        let added = self
            .blocking(move |files| {
                files.change(|all| {
                    let open = all.iter().filter(|known| !known.status.is_final());
                    if open.clone().any(|known| known.request.id == request.id) {
                        return Ok(Err(format!("{} is being added already", request.id)));
                    }
                    if open.count() >= MOST_OPEN {
                        return Ok(Err(format!("{MOST_OPEN} models wait to be added")));
                    }
                    let addition = store::new(request)?;
                    files.write(&addition)?;
                    Ok(Ok(addition))
                })
            })
            .await?;
        let added = added.map_err(|detail| Problem::new(ProblemCode::Conflict, detail))?;
        tracing::info!(model = id, addition = added.id, "a model is to be added");
        self.wake.notify_one();
        Ok(added)
    }

    /// Asks again for what failed or was cancelled; the old one is forgotten.
    ///
    /// # Errors
    /// When there is none, or it has not ended.
    pub async fn again(
        self: &Arc<Self>,
        id: AdditionId,
        catalog: &Catalog,
    ) -> Result<Addition, Problem> {
        let old = self.get(id.clone()).await?;
        if !old.status.is_final() {
            let detail = "it has not ended yet";
            return Err(Problem::new(ProblemCode::Conflict, detail));
        }
        let new = self.ask(old.request, catalog).await?;
        self.blocking(move |files| files.forget(&id)).await?;
        Ok(new)
    }

    /// Cancels an addition, or forgets one that has ended: what has become of it then.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn cancel(self: &Arc<Self>, id: AdditionId) -> Result<Addition, Problem> {
        let cancelled = self
            .blocking(move |files| {
                let Some(mut addition) = files.get(&id)? else {
                    return Ok(None);
                };
                if addition.status.is_final() {
                    files.forget(&id)?;
                } else {
                    files.ask_to_cancel(&id)?;
                    addition.status = AdditionStatus::Cancelling;
                }
                Ok(Some(addition))
            })
            .await?;
        self.wake.notify_one();
        cancelled.ok_or_else(none)
    }

    /// The list now, and again whenever it has changed.
    pub fn changes(self: Arc<Self>) -> impl Stream<Item = Vec<Addition>> {
        let before: Option<Vec<Addition>> = None;
        futures::stream::unfold((self, before), async |(additions, before)| {
            loop {
                match additions.list().await {
                    Ok(now) if before.as_ref() != Some(&now) => {
                        return Some((now.clone(), (additions, Some(now))));
                    }
                    Ok(_) => {}
                    Err(problem) => tracing::warn!(%problem, "following additions"),
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Files) -> Changed<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let additions = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || act(&additions.files)).await;
        let failed = |error: anyhow::Error| {
            tracing::error!("the list of additions: {error:#}");
            Problem::new(
                ProblemCode::Internal,
                "the list of additions cannot be read or written",
            )
        };
        done.map_err(|error| failed(error.into()))?.map_err(failed)
    }
}

fn none() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is no such addition")
}
