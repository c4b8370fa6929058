//! The state that the page of comparisons and the work behind it share.

use leptos::prelude::*;
use protocol::{ModelSummary, Policy, ResolvedRequest, RunsOn};

use super::Studio;
use super::run::{Phase, Run};
use crate::compare::{MAX_SIDES, place_label, place_policy};

/// A side that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The model.
    pub(crate) model: ModelSummary,
    /// The checked request.
    pub(crate) request: ResolvedRequest,
    /// Where it runs.
    pub(crate) place: RunsOn,
}

/// One side's run.
#[derive(Clone, Copy)]
pub(crate) struct SideRun {
    /// What was asked for; nothing for a side that the comparison does not have.
    pub(crate) asked: RwSignal<Option<Asked>>,
    /// Its run; form and saving are not used.
    pub(crate) studio: Studio,
    /// Milliseconds from its start to its picture.
    pub(crate) wall_ms: RwSignal<Option<f64>>,
}

/// All sides; they run one after the other, so that none slows another down.
#[derive(Clone, Copy)]
pub(crate) struct Sides {
    /// As many as there can be.
    pub(crate) runs: [SideRun; MAX_SIDES],
    /// From the start to the end of the last side.
    pub(crate) active: RwSignal<bool>,
}

impl Sides {
    pub(crate) fn new() -> Self {
        Self {
            runs: std::array::from_fn(|_| SideRun {
                asked: RwSignal::new(None),
                studio: Studio::new(),
                wall_ms: RwSignal::new(None),
            }),
            active: RwSignal::new(false),
        }
    }

    /// Starts a comparison.
    pub(crate) fn start(self, asked: Vec<Asked>, accept_software: bool) {
        for (index, side) in self.runs.iter().enumerate() {
            side.asked.set(asked.get(index).cloned());
            side.studio.run.set(Run::default());
            side.wall_ms.set(None);
        }
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::compare::start(self, accept_software);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = accept_software;
    }

    /// Stops the side that runs, and those after it.
    pub(crate) fn stop(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::compare::stop(self);
    }
}

impl SideRun {
    /// The picture, once there is one.
    pub(crate) fn picture(&self) -> Option<super::run::Finished> {
        self.studio.run.with(|run| match &run.phase {
            Phase::Done(done) => Some(super::run::Finished::clone(done)),
            _ => None,
        })
    }
}

impl Asked {
    /// `Glyph in this browser`.
    pub(crate) fn title(&self) -> String {
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
        not(all(feature = "hydrate", target_arch = "wasm32")),
        expect(dead_code, reason = "sides run in a browser only")
    )]
    pub(crate) fn policy(&self) -> Policy {
        place_policy(self.place)
    }
}
