//! The jobs behind one request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::try_join_all;
use protocol::{ImageRecord, JobStatus, JobView, Problem, ProblemCode};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::answer::Image;
use super::followed::{Followed, News};
use super::request::{Plan, ResponseFormat};
use crate::api::Hub;
use crate::api::jobs::submit::{Beginning, submit};
use crate::api::visitor::Visitor;
use crate::images::Keeping;
use crate::jobs::{JobKey, Submission};

/// Submitted jobs. Dropped before [`Self::keep`], as when the client leaves, they are cancelled: nobody else knows
/// of them. A client that gave an `Idempotency-Key` may come back for them, so they stay.
pub struct Jobs {
    /// Where they run.
    pub hub: Hub,
    /// Their ids, in the order of the pictures.
    pub ids: Vec<String>,
    abandon: bool,
}

impl Jobs {
    /// Submits one job per picture; all or none.
    pub async fn submit(
        hub: &Hub,
        visitor: &Visitor,
        plan: &Plan,
        beginning: Option<Beginning>,
        key: Option<String>,
    ) -> Result<Self, Problem> {
        let asking = visitor.asking();
        let submissions = (0..)
            .zip(&plan.requests)
            .map(|(number, request)| Submission {
                request: request.clone(),
                resume: None,
                start: None,
                fingerprint: plan.fingerprint,
                idempotency_key: key
                    .as_deref()
                    .map(|key| JobKey::new(&asking.client, key, Some(number))),
                // Whoever has the link sees the picture: clients fetch it without their key.
                keeping: Keeping::default(),
                client: asking.client.clone(),
                network: asking.network,
                allowance: Some(hub.limits.allowance(&asking)),
            });
        let created = submit(hub, &asking, submissions.collect(), beginning).await?;
        Ok(Self {
            hub: hub.clone(),
            ids: created.into_iter().map(|job| job.id).collect(),
            abandon: key.is_none(),
        })
    }

    /// Waits for all pictures.
    pub async fn wait(mut self, format: Option<ResponseFormat>) -> Result<Vec<Image>, Problem> {
        let hub = &self.hub;
        let images = try_join_all(self.ids.iter().map(|id| async move {
            let mut followed = Followed::new(hub, id).await?;
            loop {
                if let News::Ended(view) = followed.next().await? {
                    return image(hub, &view, format).await;
                }
            }
        }))
        .await;
        match &images {
            Ok(_) => self.keep(),
            // Before the answer: a server that stops has no time after it.
            Err(_) => self.give_up().await,
        }
        images
    }

    /// They have ended.
    pub fn keep(&mut self) {
        self.abandon = false;
    }

    /// Cancels those that nobody can come back for; those that have ended stay as they are.
    pub async fn give_up(&mut self) {
        if let Some(Err(error)) = futures::future::OptionFuture::from(self.cancelling()).await {
            tracing::error!(%error, "abandoned jobs were not cancelled");
        }
    }

    /// A task of its own, which goes on when the client leaves meanwhile.
    fn cancelling(&mut self) -> Option<JoinHandle<()>> {
        if !std::mem::take(&mut self.abandon) {
            return None;
        }
        let (queue, ids) = (self.hub.queue.clone(), std::mem::take(&mut self.ids));
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            for id in ids {
                if let Err(problem) = queue.cancel(&id).await {
                    tracing::warn!(id, %problem, "an abandoned job was not cancelled");
                }
            }
        }))
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        drop(self.cancelling());
    }
}

/// The record and bytes of a completed job.
pub async fn picture(hub: &Hub, view: &JobView) -> Result<(ImageRecord, String), Problem> {
    match view.status {
        JobStatus::Completed => {
            let record = hub.images.record(&view.id, None).await?;
            let png = hub.images.png(&record.sha256).await?;
            Ok((record, STANDARD.encode(png)))
        }
        JobStatus::Cancelled => Err(Problem::new(ProblemCode::Conflict, "the job was cancelled")),
        _ => Err(view.error.clone().unwrap_or_else(|| {
            Problem::new(ProblemCode::GenerationFailed, "the picture was not made")
        })),
    }
}

async fn image(
    hub: &Hub,
    view: &JobView,
    format: Option<ResponseFormat>,
) -> Result<Image, Problem> {
    let (record, base64) = picture(hub, view).await?;
    let url = format!("{}{}", hub.public_url, record.url);
    Ok(Image {
        b64_json: (format != Some(ResponseFormat::Url)).then_some(base64),
        url: (format != Some(ResponseFormat::B64Json)).then_some(url),
    })
}
