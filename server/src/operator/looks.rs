//! Models of the hub that somebody looked at.

use std::sync::Arc;
use std::time::Duration;

use protocol::{AdditionRequest, ModelLook, Problem, ProblemCode, Trouble, TroubleKind};
use tokio::sync::Semaphore;

use super::tool::{Errand, Tool};
use crate::models::add::report::Event;

/// Looks at a time.
const AT_A_TIME: usize = 2;
/// How long a look may take, the wait for its turn included.
const LONGEST: Duration = Duration::from_secs(120);
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(300);
/// Answers that are kept.
const ANSWERS: u64 = 64;

/// What is asked: the id, the revision and the licence.
type Asked = (String, Option<String>, Option<String>);

pub(super) struct Looks {
    tool: Arc<Tool>,
    turns: Semaphore,
    kept: moka::sync::Cache<Asked, ModelLook>,
}

impl Looks {
    pub fn new(tool: Arc<Tool>) -> Self {
        Self {
            tool,
            turns: Semaphore::new(AT_A_TIME),
            kept: moka::sync::Cache::builder()
                .max_capacity(ANSWERS)
                .time_to_live(KEPT)
                .build(),
        }
    }

    /// Looks at a model, or remembers a look of a moment ago.
    pub async fn look(&self, request: &AdditionRequest) -> Result<ModelLook, Problem> {
        let asked = (
            request.id.clone(),
            request.revision.clone(),
            request.license.clone(),
        );
        let looked = tokio::time::timeout(LONGEST, async {
            let _turn = self.turns.acquire().await.map_err(internal)?;
            if let Some(look) = self.kept.get(&asked) {
                return Ok(look);
            }
            let look = self.look_now(request).await?;
            // What stands in the way may be gone in a moment.
            if look.refusal.is_none() {
                self.kept.insert(asked.clone(), look.clone());
            }
            Ok(look)
        });
        let mut look = looked.await.unwrap_or_else(|_| {
            Err(away(format!(
                "the model could not be looked at within {} s",
                LONGEST.as_secs()
            )))
        })?;
        // The disk and the packages are those of now.
        if let Ok(free) = fs4::available_space(&self.tool.models_dir) {
            look.free_bytes = free;
        }
        Ok(look)
    }

    async fn look_now(&self, request: &AdditionRequest) -> Result<ModelLook, Problem> {
        let scratch = tempfile::tempdir().map_err(internal)?;
        let mut run = self
            .tool
            .start(Errand::Look, request, scratch.path())
            .map_err(internal)?;
        let (mut found, mut failed) = (None, None);
        while let Some(event) = run.next().await {
            match event {
                Event::Looked { look } => found = Some(*look),
                Event::Failed { reason, trouble } => failed = Some((reason, trouble)),
                Event::Stage { .. } | Event::Fetched(_) | Event::Note { .. } => {}
            }
        }
        let end = run.end().await;
        match (found, failed, end) {
            (Some(look), None, None) => Ok(look),
            (_, Some((_, Some(trouble))), _) => Err(of_hub(trouble)),
            (_, Some((reason, None)), _) => Err(Problem::new(ProblemCode::Conflict, reason)),
            (_, None, end) => Err(internal(end.unwrap_or_default())),
        }
    }
}

/// What is wrong with the hub, as a problem.
fn of_hub(trouble: Trouble) -> Problem {
    let Trouble { kind, detail } = trouble;
    match kind {
        TroubleKind::NotFound => Problem::new(ProblemCode::UnknownModel, detail)
            .with_hint("Check the id and the revision on the model's page."),
        TroubleKind::Forbidden => Problem::new(ProblemCode::ModelWithheld, detail).with_hint(
            "Agree to the model's terms on its page, and start this hub with --hub-token of who did.",
        ),
        _ => away(detail),
    }
}

fn away(detail: String) -> Problem {
    Problem::new(ProblemCode::ModelHubUnavailable, detail).with_hint("Try again in a while.")
}

fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!("looking at a model: {error:#}");
    Problem::new(ProblemCode::Internal, "the model could not be looked at")
}
