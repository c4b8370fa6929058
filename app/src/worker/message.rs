//! Messages between the page and the render worker.
//!
//! Each is posted as a JSON string; [`FromWorker::Done`] comes as the array `[string, ArrayBuffer]`, the
//! buffer being the PNG, transferred.

use protocol::{CapabilityReport, GenerationRequest, ModelSummary, Place, Recipe};
use serde::{Deserialize, Serialize};

/// What the page asks of the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// Describe the WebGPU adapter; answered by [`FromWorker::Probed`].
    Probe {
        /// Time a kernel on it, too, if none was timed yet; takes less than a second.
        measure: bool,
    },
    /// Make a picture; a package that is loaded already is used again.
    Generate {
        /// Number that every answer to this message carries.
        run: u32,
        /// The model, with the address of its package.
        model: Box<ModelSummary>,
        /// Resolved request with its seed.
        request: GenerationRequest,
        /// [`Place::BrowserGpu`] or [`Place::BrowserCpu`].
        place: Place,
    },
    /// Stop a run; answered by [`FromWorker::Cancelled`] within one step.
    Cancel {
        /// Number of the run.
        run: u32,
    },
}

/// What the worker tells the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromWorker {
    /// The worker listens.
    Ready,
    /// Answer to [`ToWorker::Probe`].
    Probed {
        /// What the browser offers.
        report: CapabilityReport,
    },
    /// Something happened in a run.
    Run {
        /// Number of the run.
        run: u32,
        /// What happened.
        event: RunEvent,
    },
    /// The worker hit a fault of its own and answers nothing more.
    Crashed {
        /// What went wrong.
        detail: String,
    },
}

/// What happens in a run, in this order; one of the last three ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunEvent {
    /// Weights are arriving; sizes in bytes.
    Download {
        /// Received so far, all files together.
        loaded: u64,
        /// Size of all files.
        total: u64,
    },
    /// Everything is here; hashes are checked and graphs are prepared.
    Preparing,
    /// Denoising.
    Step {
        /// Steps done.
        step: u32,
        /// Steps asked for.
        total_steps: u32,
    },
    /// The picture is finished; its PNG comes beside this message.
    Done {
        /// How it was made.
        recipe: Box<Recipe>,
        /// SHA-256 of the PNG in hex.
        sha256: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// It failed; a sentence for people.
    Failed {
        /// What went wrong.
        detail: String,
    },
    /// It was stopped by [`ToWorker::Cancel`].
    Cancelled,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_tagged_json() {
        let text = r#"{"type":"run","run":3,"event":{"kind":"step","step":2,"total_steps":8}}"#;
        let event: FromWorker = serde_json::from_str(text).unwrap();
        assert_eq!(
            event,
            FromWorker::Run {
                run: 3,
                event: RunEvent::Step {
                    step: 2,
                    total_steps: 8
                }
            }
        );
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
}
