//! What the visitor's browser can do, as the pages know it.

#[cfg(browser)]
mod browser;

use leptos::prelude::*;
use protocol::CapabilityReport;

/// The render worker's answer.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    not(browser),
    expect(dead_code, reason = "only a browser asks and answers")
)]
pub(crate) enum Answer {
    /// Not asked for yet.
    #[default]
    Unasked,
    /// On its way.
    Asked,
    /// Here.
    Known(CapabilityReport),
    /// There will be none; why.
    Failed(String),
}

/// Handle on the answer; lives as long as the application.
#[derive(Clone, Copy)]
pub(crate) struct Capability {
    /// The answer so far.
    pub(crate) answer: RwSignal<Answer>,
    /// Whether the processor is being measured.
    pub(crate) measuring: RwSignal<bool>,
    /// Whether the visitor counts a software adapter as a GPU.
    pub(crate) accept_software: Signal<bool>,
}

impl Capability {
    pub(crate) fn new(accept_software: Signal<bool>) -> Self {
        Self {
            answer: RwSignal::default(),
            measuring: RwSignal::new(false),
            accept_software,
        }
    }

    /// Asks, in a browser, unless that was done.
    pub(crate) fn ask(self) {
        in_browser!(self => browser::ask(self));
    }

    /// Has the processor measured, in a browser, unless that was done; `report` is what is known of the GPU.
    pub(crate) fn ask_processor(self, report: CapabilityReport) {
        in_browser!(self, report => browser::ask_processor(self, report));
    }

    /// Takes over the answer that an earlier page of this visit got, if one did.
    pub(crate) fn recall(self) {
        in_browser!(self => browser::recall(self));
    }
}
