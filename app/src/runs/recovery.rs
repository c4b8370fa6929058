//! What happens after a fault: the state machine of a run in the browser.
//!
//! ```text
//!            lost, crashed, hung (first time)        out of memory (with less of the model on the GPU)
//!           ┌────────────────────────────┐          ┌─────────────────────────┐
//! start ──► browser, on its GPU ─────────┴──────────┴──► the same, from the last finished step
//!           │ any other fault, or the second one
//!           ├─ automatic ────────► the server, from the last finished step
//!           └─ only my browser ──► the processor, from the last finished step ──► the end
//! ```

use protocol::{Decision, Place, Policy, Reason, Residency};

use crate::worker::fault::Fault;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the picture, or the rest of it, in this browser.
    Browser {
        /// [`Place::BrowserGpu`] or [`Place::BrowserCpu`].
        place: Place,
        /// How much of the model is on the GPU at a time.
        residency: Residency,
    },
    /// Hand the picture, or the rest of it, to the server.
    Server(Reason),
    /// Hand it over once there is a network.
    WaitForNetwork(Reason),
    /// Give up; a sentence says why.
    Fail(String),
}

/// Decides after every fault of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    policy: Policy,
    place: Place,
    residency: Residency,
    /// Whether layers may be streamed where one part at a time is too much.
    streams: bool,
    /// Whether a device, or worker, was replaced already.
    recovered: bool,
    steps_done: u32,
    total_steps: u32,
    told: Vec<String>,
}

impl Machine {
    /// A run of `total_steps` steps after the verdict on the browser.
    pub fn new(policy: Policy, decision: &Decision, total_steps: u32) -> Self {
        Self {
            policy,
            place: decision.place,
            residency: decision.residency,
            streams: false,
            recovered: false,
            steps_done: 0,
            total_steps,
            told: Vec::new(),
        }
    }

    /// With layers streamed, where memory runs out with one part of the model at a time.
    pub fn streaming(self, streams: bool) -> Self {
        Self { streams, ..self }
    }

    /// The first action, which the verdict names.
    pub fn start(&self, decision: &Decision) -> Action {
        match decision.place {
            Place::Server => Action::Server(decision.reason.clone()),
            place => Action::Browser {
                place,
                residency: decision.residency,
            },
        }
    }

    /// `step` steps are done and their state is kept.
    pub fn step_done(&mut self, step: u32) {
        self.steps_done = self.steps_done.max(step);
    }

    /// Steps that need not be done again.
    pub fn steps_done(&self) -> u32 {
        self.steps_done
    }

    /// What the visitor is told of faults that the run got over, a sentence each.
    pub fn told(&self) -> String {
        self.told.join(" ")
    }

    /// What to do after `fault`; `online` is what the browser believes of its network.
    pub fn after(&mut self, fault: &Fault, online: bool) -> Action {
        if fault.may_pass() && !self.recovered {
            self.recovered = true;
            self.tell(fault, "the rest was made here on a fresh start");
            return self.again();
        }
        if matches!(fault, Fault::OutOfMemory(_))
            && self.place == Place::BrowserGpu
            && let Some(residency) = self.lower_memory()
        {
            self.residency = residency;
            self.tell(
                fault,
                match residency {
                    Residency::Streamed => {
                        "the rest was made here with layers brought to the GPU as they were needed"
                    }
                    _ => "the rest was made here with one part of the model loaded at a time",
                },
            );
            return self.again();
        }
        if matches!(fault, Fault::Download(_)) && !online {
            return Action::Fail(
                "there is no network, and the model is not stored in this browser".to_owned(),
            );
        }
        if self.policy == Policy::BrowserOnly {
            return self.within_browser(fault);
        }
        self.place = Place::Server;
        let reason = Reason::BrowserFailed {
            detail: self.detail(fault),
        };
        if online {
            Action::Server(reason)
        } else {
            Action::WaitForNetwork(reason)
        }
    }

    fn within_browser(&mut self, fault: &Fault) -> Action {
        if self.place == Place::BrowserGpu && !fault.is_of_package() {
            self.place = Place::BrowserCpu;
            self.residency = Residency::Kept;
            self.recovered = false;
            self.tell(fault, "the rest was made on the processor");
            return self.again();
        }
        Action::Fail(fault.to_string())
    }

    fn again(&self) -> Action {
        Action::Browser {
            place: self.place,
            residency: self.residency,
        }
    }

    /// What takes less memory than what was tried.
    fn lower_memory(&self) -> Option<Residency> {
        let next = self.residency.lower_memory()?;
        (next != Residency::Streamed || self.streams).then_some(next)
    }

    fn tell(&mut self, fault: &Fault, remedy: &str) {
        let when = self.when();
        let fault = capitalised(&fault.to_string());
        self.told.push(format!("{fault}{when}; {remedy}."));
    }

    /// The fault as part of the sentence that names the server.
    fn detail(&self, fault: &Fault) -> String {
        match self.total_steps.saturating_sub(self.steps_done) {
            _ if self.steps_done == 0 => fault.to_string(),
            0 => format!("{fault}{}, so the server decoded the picture", self.when()),
            1 => format!("{fault}{}, so the server made the last step", self.when()),
            rest => format!(
                "{fault}{}, so the server made the other {rest}",
                self.when()
            ),
        }
    }

    fn when(&self) -> String {
        if self.steps_done == 0 {
            return String::new();
        }
        format!(" after step {} of {}", self.steps_done, self.total_steps)
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
