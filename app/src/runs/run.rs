//! What happens from "Generate" to the picture, as plain data.

use protocol::{Decision, Place, Problem, Recipe, ResolvedRequest};

use serde::{Deserialize, Serialize};

use super::picture::Picture;
use crate::format;
use crate::worker::message::{Timings, Transfer};
use crate::worker::weights::evict::NeedsRoom;

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// Nothing was asked for yet.
    #[default]
    Idle,
    /// Starting the worker and looking at the adapter.
    Probing,
    /// Weights are arriving; bytes.
    Downloading {
        /// Here so far.
        loaded: u64,
        /// All of them.
        total: u64,
        /// Speed over the last seconds, once known.
        bytes_per_second: Option<f64>,
        /// How they arrive.
        transfer: Transfer,
    },
    /// The browser gives too little room for the weights; the visitor is asked.
    NeedsRoom(NeedsRoom),
    /// The rest is for the server, and there is no network.
    WaitingForNetwork,
    /// Weights are checked and prepared.
    Preparing,
    /// The server has the job; `ahead` jobs go first.
    Queued {
        /// Jobs ahead, where known.
        ahead: Option<u32>,
        /// Milliseconds until the picture is likely to be there, where known.
        eta_ms: Option<f64>,
    },
    /// The server has the job and tries it again later.
    Postponed {
        /// What the latest attempt ended with.
        reason: String,
        /// Milliseconds until the picture is likely to be there, where known.
        eta_ms: Option<f64>,
    },
    /// Denoising.
    Generating {
        /// Steps done.
        step: u32,
        /// Steps asked for.
        total_steps: u32,
        /// Milliseconds left, measured from the steps of this run.
        eta_ms: Option<f64>,
    },
    /// Cancel was asked for and not yet confirmed.
    Cancelling,
    /// The picture is here.
    Done(Box<Finished>),
    /// It failed for good.
    Failed(Problem),
    /// It was stopped.
    Cancelled,
}

/// A finished picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Its file.
    pub picture: Picture,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Engine that made it, such as `onnx-gpu (WebGPU)`.
    pub backend: String,
    /// Device that made it; may be empty.
    pub adapter: String,
    /// Milliseconds from the first to the last step, where measured.
    pub duration_ms: Option<f64>,
    /// Recipe and hash of a picture made here, for saving.
    pub made_here: Option<MadeHere>,
    /// What the server keeps of a picture that it made.
    pub kept: Option<Kept>,
}

/// A picture that the server keeps for who asked for it, until it is saved or its time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Id of its record.
    pub id: String,
    /// When it goes unless it is saved, in milliseconds since the Unix epoch; absent: never.
    pub expires_at: Option<u64>,
}

/// What saving a picture made in the browser needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeHere {
    /// How it was made.
    pub recipe: Recipe,
    /// SHA-256 of the PNG in hex.
    pub sha256: String,
    /// How long it took.
    pub timings: Timings,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Where it is.
    pub phase: Phase,
    /// What was asked for.
    pub request: Option<ResolvedRequest>,
    /// Where it runs and why, once decided.
    pub decision: Option<Decision>,
    /// Address of what the picture looks like so far.
    pub preview: Option<String>,
    /// Least milliseconds that the processor takes, where it is at work and was measured.
    pub least_ms: Option<f64>,
    /// Faults that the run got over, a sentence each.
    pub told: String,
    clock: StepClock,
}

impl Run {
    /// A run that has just begun.
    pub fn begin() -> Self {
        Self {
            phase: Phase::Probing,
            ..Self::default()
        }
    }

    /// The picture, once there is one.
    pub fn finished(&self) -> Option<&Finished> {
        match &self.phase {
            Phase::Done(done) => Some(done),
            _ => None,
        }
    }

    /// Why there will be none, if it failed.
    pub fn failure(&self) -> Option<&Problem> {
        match &self.phase {
            Phase::Failed(problem) => Some(problem),
            _ => None,
        }
    }

    /// Where it is in one word, for style and tests.
    pub fn state_name(&self) -> &'static str {
        match &self.phase {
            Phase::Idle => "idle",
            Phase::Done(_) => "done",
            Phase::Failed(_) => "failed",
            Phase::Cancelled => "cancelled",
            _ => "active",
        }
    }

    /// Between "Generate" and its end.
    pub fn is_active(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Idle | Phase::Done(_) | Phase::Failed(_) | Phase::Cancelled
        )
    }

    /// It runs at `decision.place` from now on.
    pub fn decide(&mut self, decision: Decision) {
        self.phase = match decision.place {
            Place::Server => Phase::Queued {
                ahead: None,
                eta_ms: None,
            },
            Place::BrowserGpu | Place::BrowserCpu => Phase::Preparing,
        };
        self.clock = StepClock::default();
        self.preview = None;
        self.decision = Some(decision);
    }

    /// `step` of `total_steps` is done at `now_ms`.
    pub fn step(&mut self, step: u32, total_steps: u32, now_ms: f64) {
        self.clock.record(step, now_ms);
        self.phase = Phase::Generating {
            step,
            total_steps,
            eta_ms: self.clock.eta_ms(total_steps),
        };
    }

    /// The server has the job and `ahead` go first; steps of an attempt that was given up no longer count.
    pub fn queue(&mut self, ahead: Option<u32>, eta_ms: Option<f64>) {
        self.clock = StepClock::default();
        self.preview = None;
        self.phase = Phase::Queued { ahead, eta_ms };
    }

    /// The server has the job and tries it again later, since an attempt ended with `reason`.
    pub fn postpone(&mut self, reason: String, eta_ms: Option<f64>) {
        self.queue(None, eta_ms);
        self.phase = Phase::Postponed { reason, eta_ms };
    }

    /// The sentence for screen readers and everybody else.
    pub fn status(&self) -> String {
        match &self.phase {
            Phase::Idle => String::new(),
            Phase::Probing => "Looking at what this browser can do…".into(),
            Phase::Downloading {
                loaded,
                total,
                bytes_per_second,
                transfer,
            } => download(*loaded, *total, *bytes_per_second, *transfer),
            Phase::NeedsRoom(needs) => format!(
                "The model needs {} and this browser gives {}",
                format::megabytes(needs.needed),
                format::megabytes(needs.available)
            ),
            Phase::WaitingForNetwork => {
                "No network: the server makes the rest once there is one".into()
            }
            Phase::Preparing => "Preparing the model…".into(),
            Phase::Queued { ahead, eta_ms } => {
                let line = match ahead {
                    None => return "Handing it to the server…".into(),
                    Some(0) => "Next in line on the server".to_owned(),
                    Some(1) => "Waiting on the server: 1 picture ahead".to_owned(),
                    Some(n) => format!("Waiting on the server: {n} pictures ahead"),
                };
                match eta_ms {
                    Some(ms) => format!("{line}, done in about {}", format::duration(*ms)),
                    None => line,
                }
            }
            Phase::Postponed { reason, eta_ms } => {
                let line = format!("Waiting on the server, which tries again soon: {reason}");
                match eta_ms {
                    Some(ms) => format!("{line}, done in about {}", format::duration(*ms)),
                    None => line,
                }
            }
            Phase::Generating {
                step, total_steps, ..
            } if step == total_steps => "Finishing the picture…".into(),
            Phase::Generating {
                step,
                total_steps,
                eta_ms,
            } => {
                let eta = eta_ms
                    .map(|ms| format!(", about {} left", format::duration(ms)))
                    .unwrap_or_default();
                format!("Step {step} of {total_steps}{eta}")
            }
            Phase::Cancelling => "Cancelling…".into(),
            Phase::Done(done) => done.duration_ms.map_or_else(
                || "Done".into(),
                |ms| format!("Done in {}", format::duration(ms)),
            ),
            Phase::Failed(_) => "Failed".into(),
            Phase::Cancelled => "Cancelled. Nothing was kept.".into(),
        }
    }

    /// Value and maximum of the progress bar; no value while nothing can be counted.
    pub fn progress(&self) -> (Option<u64>, u64) {
        match &self.phase {
            Phase::Downloading { loaded, total, .. } => (Some(*loaded), (*total).max(1)),
            Phase::Generating {
                step, total_steps, ..
            } => (Some(u64::from(*step)), u64::from(*total_steps).max(1)),
            Phase::Done(_) => (Some(1), 1),
            Phase::Idle | Phase::Failed(_) | Phase::Cancelled => (Some(0), 1),
            _ => (None, 1),
        }
    }

    /// Where it runs, or ran, and why; empty until decided.
    pub fn where_and_why(&self) -> String {
        let Some(Decision { place, reason, .. }) = &self.decision else {
            return String::new();
        };
        let (verb, by) = match &self.phase {
            Phase::Done(done) => {
                let device = if done.adapter.is_empty() || done.backend.contains(&done.adapter) {
                    done.backend.clone()
                } else {
                    format!("{}, {}", done.backend, done.adapter)
                };
                ("Made", format!(" by {device}"))
            }
            Phase::Failed(_) | Phase::Cancelled => ("Tried", String::new()),
            _ => ("Runs", String::new()),
        };
        let by = if by == " by " { String::new() } else { by };
        let told = if self.told.is_empty() {
            String::new()
        } else {
            format!(" {}", self.told)
        };
        let sentence = match place {
            Place::BrowserGpu => format!("{verb} in this browser on WebGPU{by}, because {reason}."),
            Place::BrowserCpu => {
                let least = self
                    .least_ms
                    .filter(|_| self.is_active())
                    .map(|ms| format!(" It takes at least {}.", format::duration(ms)));
                format!(
                    "{verb} in this browser on the processor{by}, because you chose to stay here and {reason}.{}",
                    least.unwrap_or_default()
                )
            }
            Place::Server => format!("{verb} on the server{by}, because {reason}."),
        };
        sentence + &told
    }
}

/// Bytes, speed and time left, or why nothing comes.
fn download(loaded: u64, total: u64, speed: Option<f64>, transfer: Transfer) -> String {
    let bytes = format!(
        "{} of {}",
        format::megabytes(loaded),
        format::megabytes(total)
    );
    match transfer {
        Transfer::Running => {
            let rate = speed.filter(|rate| *rate > 0.0).map(|rate| {
                let left = total.saturating_sub(loaded) as f64 / rate * 1e3;
                format!(
                    " at {}/s, about {} left",
                    format::megabytes(rate as u64),
                    format::duration(left)
                )
            });
            format!("Downloading the model: {bytes}{}", rate.unwrap_or_default())
        }
        Transfer::Paused => format!("Download paused at {bytes}"),
        Transfer::Retrying => format!("The connection broke at {bytes}; trying again…"),
        Transfer::Offline => {
            format!("No network: the download goes on from {bytes} once it is back")
        }
        Transfer::OtherTab => format!("Another tab downloads this model: {bytes}"),
    }
}

/// Times at which the first and the latest step ended; what comes before the first is not denoising.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct StepClock {
    first: Option<(u32, f64)>,
    last: Option<(u32, f64)>,
}

impl StepClock {
    fn record(&mut self, step: u32, now_ms: f64) {
        if step == 0 {
            return;
        }
        self.first.get_or_insert((step, now_ms));
        self.last = Some((step, now_ms));
    }

    /// Mean time of the steps seen times the steps left; unknown before two steps are seen.
    fn eta_ms(&self, total_steps: u32) -> Option<f64> {
        let ((first, began), (last, now)) = (self.first?, self.last?);
        let seen = last.checked_sub(first).filter(|n| *n > 0)?;
        Some((now - began) / f64::from(seen) * f64::from(total_steps.saturating_sub(last)))
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
