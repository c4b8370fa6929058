//! What was asked for with one press of the button: up to sixteen pictures.

use std::sync::Arc;

use leptos::prelude::*;
#[cfg(browser)]
use protocol::Problem;
use protocol::{ModelSummary, Policy, ResolvedRequest};

use crate::runs::RunHandle;
use crate::runs::run::{Phase, Run};
use crate::runs::start::Chosen;
use crate::saving::Saving;

/// What the pictures of a batch have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// The model.
    pub(super) model: ModelSummary,
    /// Where they may be made.
    pub(super) policy: Policy,
    /// Whether a software adapter counts as a GPU.
    pub(super) accept_software: bool,
    /// What they begin with, and the strength.
    pub(super) begun: Option<(Chosen, f32)>,
}

/// One picture of a batch.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Shot {
    /// What becomes of it.
    pub(super) run: RunHandle,
    /// Saving it.
    pub(super) saving: RwSignal<Saving>,
    /// What is asked for.
    pub(super) request: StoredValue<ResolvedRequest>,
}

impl Shot {
    #[cfg(browser)]
    fn new(request: ResolvedRequest) -> Self {
        Self {
            run: RunHandle::new(),
            saving: RwSignal::default(),
            request: StoredValue::new(request),
        }
    }

    /// Whether it was not begun.
    pub(super) fn is_waiting(self) -> bool {
        self.run.state.with(|run| run.phase == Phase::Idle)
    }

    /// Whether it is being made.
    pub(super) fn is_active(self) -> bool {
        self.run.state.with(Run::is_active)
    }

    /// Stops it, or leaves it out where it was not begun.
    pub(super) fn cancel(self) {
        if untrack(|| self.is_waiting()) {
            self.run.state.update(|run| run.phase = Phase::Cancelled);
        } else {
            self.run.cancel();
        }
    }
}

/// Pictures that were asked for together; clones are the same batch.
#[derive(Clone)]
pub(super) struct Batch {
    /// Its number in this visit.
    pub(super) id: u32,
    /// What they have in common.
    pub(super) asked: Arc<Asked>,
    /// Each of them.
    pub(super) shots: Vec<Shot>,
    /// Ends what the pages know of it with the last clone.
    _owner: Owner,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Batch {
    /// It belongs to no page: pictures outlast a visit to another one.
    #[cfg(browser)]
    pub(super) fn new(id: u32, asked: Asked, requests: Vec<ResolvedRequest>) -> Self {
        let owner = Owner::default();
        let shots = owner.with(|| requests.into_iter().map(Shot::new).collect());
        Self {
            id,
            asked: Arc::new(asked),
            shots,
            _owner: owner,
        }
    }

    /// Whether nothing of it was begun.
    pub(super) fn is_waiting(&self) -> bool {
        self.shots.iter().all(|shot| shot.is_waiting())
    }

    /// Whether nothing of it is to come.
    pub(super) fn is_over(&self) -> bool {
        let to_come = |shot: &Shot| shot.is_waiting() || shot.is_active();
        !self.shots.iter().any(to_come)
    }

    /// The picture to look at: the one that is being made, else the first that is there, else the first.
    pub(super) fn foremost(&self) -> Option<Shot> {
        let is_done = |shot: &&Shot| shot.run.state.with(|run| run.finished().is_some());
        let active = self.shots.iter().find(|shot| shot.is_active());
        let done = || self.shots.iter().find(is_done);
        active.or_else(done).or(self.shots.first()).copied()
    }

    /// What it is of, in few words: its prompt, and how many there are.
    pub(super) fn title(&self) -> String {
        let first = self.shots.first();
        let prompt = first.map(|shot| shot.request.with_value(|request| request.prompt.clone()));
        let prompt = prompt.unwrap_or_default();
        match self.shots.len() {
            1 => prompt,
            count => format!("{prompt} ({count} pictures)"),
        }
    }

    /// Ends what is to come of it: it would fail for the same reason.
    #[cfg(browser)]
    pub(super) fn fail(&self, problem: &Problem) {
        for shot in &self.shots {
            if untrack(|| shot.is_waiting()) {
                let phase = Phase::Failed(problem.clone());
                shot.run.state.update(|run| run.phase = phase);
            }
        }
    }

    /// Stops it: what is being made, and what is to come.
    pub(super) fn cancel(&self) {
        // Those to come first, so that none of them is begun.
        for shot in self.shots.iter().rev() {
            shot.cancel();
        }
    }
}
