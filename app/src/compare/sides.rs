//! The sides of a comparison that was asked for.

use leptos::prelude::*;
use protocol::{ModelSummary, Policy, ResolvedRequest, RunsOn};

use super::link::{MAX_SIDES, place_label, place_policy};
use crate::runs::RunHandle;
use crate::runs::run::Run;

/// A side that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// The model.
    pub(super) model: ModelSummary,
    /// The checked request.
    pub(super) request: ResolvedRequest,
    /// Where it runs.
    pub(super) place: RunsOn,
}

/// One side's run.
#[derive(Clone, Copy)]
pub(super) struct SideRun {
    /// What was asked for; nothing for a side that the comparison does not have.
    pub(super) asked: RwSignal<Option<Asked>>,
    /// Its run.
    pub(super) run: RunHandle,
    /// Milliseconds from its start to its picture.
    pub(super) wall_ms: RwSignal<Option<f64>>,
}

/// All sides; they run one after the other, so that none slows another down.
#[derive(Clone, Copy)]
pub(super) struct Sides {
    /// As many as there can be.
    pub(super) runs: [SideRun; MAX_SIDES],
    /// From the start to the end of the last side.
    pub(super) active: RwSignal<bool>,
}

impl Sides {
    pub(super) fn new() -> Self {
        Self {
            runs: std::array::from_fn(|_| SideRun {
                asked: RwSignal::new(None),
                run: RunHandle::new(),
                wall_ms: RwSignal::new(None),
            }),
            active: RwSignal::new(false),
        }
    }

    /// Starts a comparison.
    pub(super) fn start(self, asked: Vec<Asked>, accept_software: bool) {
        for (index, side) in self.runs.iter().enumerate() {
            side.asked.set(asked.get(index).cloned());
            side.run.state.set(Run::default());
            side.wall_ms.set(None);
        }
        in_browser!(self, accept_software => super::browser::start(self, accept_software));
    }

    /// Stops the side that runs, and those after it.
    pub(super) fn stop(self) {
        in_browser!(self => super::browser::stop(self));
    }
}

impl Asked {
    /// `Glyph in this browser`.
    pub(super) fn title(&self) -> String {
        let preposition = match self.place {
            RunsOn::Browser => "in",
            RunsOn::Server => "on",
        };
        format!(
            "{} {preposition} {}",
            self.model.name,
            place_label(self.place)
        )
    }

    /// What keeps it where it was asked for.
    #[cfg_attr(
        not(browser),
        expect(dead_code, reason = "sides run in a browser only")
    )]
    pub(super) fn policy(&self) -> Policy {
        place_policy(self.place)
    }
}
