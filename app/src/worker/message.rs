//! Messages between the page and the render worker.
//!
//! Each is posted as a JSON string; [`RunEvent::Done`] comes as the array `[string, ArrayBuffer]`, the
//! buffer being the PNG, transferred.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{CapabilityReport, ModelSummary, Place, Recipe, Residency, ResolvedRequest};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::weights::evict::{NeedsRoom, StoredModel};

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
        /// What to make, and how.
        order: Box<Order>,
    },
    /// Stop a run; answered by [`RunEvent::Cancelled`] within one step.
    Cancel {
        /// Number of the run.
        run: u32,
    },
    /// Stop the download of a run, or go on with it.
    Pause {
        /// Number of the run.
        run: u32,
        /// Whether it stands still.
        paused: bool,
    },
    /// Answer to [`RunEvent::NeedsRoom`].
    Room {
        /// Number of the run.
        run: u32,
        /// What to do.
        choice: RoomChoice,
    },
    /// Tell what is stored; answered by [`FromWorker::Storage`].
    Storage,
    /// Delete a stored model; answered by [`FromWorker::Storage`].
    Forget {
        /// SHA-256 of its manifest.
        digest: String,
    },
    /// Check every byte of a stored model; answered by [`FromWorker::Verified`].
    Verify {
        /// SHA-256 of its manifest.
        digest: String,
    },
}

/// A picture to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The model, with the address of its package.
    pub model: ModelSummary,
    /// What to make.
    pub request: ResolvedRequest,
    /// [`Place::BrowserGpu`] or [`Place::BrowserCpu`].
    pub place: Place,
    /// How much of the model is in the device's memory at a time.
    pub residency: Residency,
    /// Where to go on from.
    pub resume: Option<StateAfter>,
    /// What to begin with, if not with noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartFile>,
}

/// A picture to begin with, as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartFile {
    /// How much of the way from noise is gone, 0 to 1.
    pub strength: f32,
    /// The file in base64.
    file: String,
}

impl StartFile {
    /// Takes the bytes of a PNG, JPEG or WebP file.
    pub fn new(file: &[u8], strength: f32) -> Self {
        Self {
            strength,
            file: STANDARD.encode(file),
        }
    }

    /// The bytes; nothing where the text is damaged.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.file).ok()
    }
}

/// What to do where the browser gives too little room for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomChoice {
    /// Delete the models that were named.
    Evict,
    /// Fetch it for this visit only.
    WithoutKeeping,
}

/// The state after a step, in full precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateAfter {
    /// Steps done.
    pub step: u32,
    /// Channels, height and width.
    pub shape: [u32; 3],
    /// 32-bit floats, little-endian, in base64.
    latents: String,
    /// What the scheduler keeps beside the latents, each like them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    registers: Vec<String>,
}

impl StateAfter {
    /// Writes latents `[c, h, w]` and registers of that shape.
    pub fn new(step: u32, shape: [u32; 3], latents: &[f32], registers: &[Vec<f32>]) -> Self {
        Self {
            step,
            shape,
            latents: written(latents),
            registers: registers.iter().map(|values| written(values)).collect(),
        }
    }

    /// The latents; nothing where the text is damaged.
    pub fn latents(&self) -> Option<Vec<f32>> {
        read(&self.latents)
    }

    /// The registers; nothing where a text is damaged.
    pub fn registers(&self) -> Option<Vec<Vec<f32>>> {
        self.registers.iter().map(|text| read(text)).collect()
    }
}

fn written(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

fn read(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty()
        .then(|| floats.iter().map(|b| f32::from_le_bytes(*b)).collect())
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
    /// What is stored, or why that cannot be told.
    Storage {
        /// The numbers.
        storage: Result<Storage, String>,
    },
    /// A model is being checked.
    Verifying {
        /// SHA-256 of its manifest.
        digest: String,
        /// Bytes checked.
        bytes: u64,
    },
    /// A model was checked.
    Verified {
        /// SHA-256 of its manifest.
        digest: String,
        /// Blocks that are damaged or missing, or why that cannot be told.
        damaged: Result<u64, String>,
    },
    /// A run is at work and the worker's event loop turns.
    Alive,
    /// The worker hit a fault of its own and answers nothing more.
    Crashed {
        /// What went wrong.
        detail: String,
    },
}

/// What the browser stores for the hub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// The models, the most recently used one first.
    pub models: Vec<StoredModel>,
    /// Bytes that this site uses, where the browser tells.
    pub usage: Option<u64>,
    /// Bytes that it may use, where the browser tells.
    pub quota: Option<u64>,
    /// Whether the browser promised not to delete them by itself.
    pub persisted: bool,
    /// Where they are, or would be.
    pub kind: String,
    /// Whether what is put there outlasts the page.
    pub lasts: bool,
}

/// How bytes are arriving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// From the server.
    #[default]
    Running,
    /// The visitor stopped it for now.
    Paused,
    /// The connection broke; the next attempt follows.
    Retrying,
    /// There is no network.
    Offline,
    /// Another tab fetches them.
    OtherTab,
}

/// Times of a run in milliseconds, and what it did to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From "Generate" until the worker had the order: starting it, and looking at the adapter. Measured by the page.
    #[serde(default)]
    pub start_ms: f64,
    /// Until every file was stored and checked.
    pub download_ms: f64,
    /// Until every graph was on the device: parsing, uploading, making pipelines; 0 where they were there already.
    pub load_ms: f64,
    /// From there to the end of the first step, the text encoder included.
    pub first_step_ms: f64,
    /// The other steps.
    pub other_steps_ms: f64,
    /// From the last step to the PNG.
    pub decode_ms: f64,
    /// Bytes uploaded to the device since it was opened.
    pub uploaded_bytes: u64,
    /// Pipelines made since it was opened.
    pub pipelines: u64,
    /// Most bytes that buffers took on the device.
    pub peak_buffer_bytes: u64,
    /// Bytes of the worker's WebAssembly memory, which never shrinks.
    pub wasm_heap_bytes: u64,
}

/// What happens in a run, in this order; one of the last three ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunEvent {
    /// Weights are arriving; sizes in bytes.
    Download {
        /// Here so far, all files together.
        loaded: u64,
        /// Size of all files.
        total: u64,
        /// Speed over the last seconds, once known.
        bytes_per_second: Option<f64>,
        /// How they arrive.
        transfer: Transfer,
    },
    /// The browser gives too little room; waits for [`ToWorker::Room`].
    NeedsRoom(NeedsRoom),
    /// Everything is here; graphs are prepared.
    Preparing,
    /// Denoising.
    Step {
        /// Steps done.
        step: u32,
        /// Steps asked for.
        total_steps: u32,
        /// What the picture looks like so far, as `data:` URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preview: Option<String>,
        /// From which the run can go on elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<StateAfter>,
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
        /// How long it took.
        timings: Timings,
    },
    /// It failed.
    Failed {
        /// What went wrong.
        fault: Fault,
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
                    total_steps: 8,
                    preview: None,
                    state: None,
                }
            }
        );
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn states_keep_every_bit() {
        let latents = [1.0, -0.1, f32::MIN_POSITIVE, 1e-42];
        let registers = [latents.map(|x| -x).to_vec(), vec![0.1; 4]];
        let state = StateAfter::new(3, [1, 2, 2], &latents, &registers);
        assert_eq!(state.latents().unwrap(), latents);
        let text = serde_json::to_string(&state).unwrap();
        let sent: StateAfter = serde_json::from_str(&text).unwrap();
        assert_eq!(sent.registers().unwrap(), registers);
        let mut damaged = state;
        damaged.latents.truncate(6);
        assert_eq!(damaged.latents(), None);
    }
}
