//! What this browser can do, asked once per visit.

use leptos::prelude::*;
use protocol::{CapabilityReport, Place};
use wasm_bindgen_futures::spawn_local;
use web_sys::Storage;

use super::{Answer, Capability};
use crate::browser::time;
use crate::runs::browser::{End, Steering, address, is_busy, probe, processor};

const KEY: &str = "demo-hub-capability";
/// Pause before looking again whether the run at work has ended.
const PAUSE_MS: i32 = 500;

/// Asks the render worker, unless this visit has the answer already; a run at work goes first, since both would be slower.
pub(super) fn ask(capability: Capability) {
    if capability.answer.with_untracked(|a| *a != Answer::Unasked) {
        return;
    }
    recall(capability);
    if capability.answer.with_untracked(|a| *a != Answer::Unasked) {
        return;
    }
    capability.answer.set(Answer::Asked);
    spawn_local(async move {
        while is_busy() {
            time::sleep(PAUSE_MS).await;
        }
        let answer = match probe(true, &mut Steering::nobody()).await {
            Ok(report) => {
                keep(&report);
                Answer::Known(report)
            }
            Err(End::Fault(fault)) => Answer::Failed(fault.to_string()),
            Err(End::Cancelled | End::ToServer) => Answer::Unasked,
        };
        // The owner of the signal is the application, which never ends.
        capability.answer.set(answer);
    });
}

/// Has the processor measured, unless that was done; `report` is what is known of the GPU.
pub(super) fn ask_processor(capability: Capability, report: CapabilityReport) {
    if report.processor_flops_per_second.is_some() || capability.measuring.get_untracked() {
        return;
    }
    capability.measuring.set(true);
    spawn_local(async move {
        while is_busy() {
            time::sleep(PAUSE_MS).await;
        }
        match processor(&mut Steering::nobody()).await {
            Ok(measured) => {
                let report = CapabilityReport {
                    processor_flops_per_second: Some(measured),
                    ..report
                };
                keep(&report);
                capability.answer.set(Answer::Known(report));
            }
            Err(End::Fault(fault)) => {
                leptos::logging::warn!("the processor was not measured: {fault}");
            }
            Err(End::Cancelled | End::ToServer) => {}
        }
        capability.measuring.set(false);
    });
}

/// Takes over the answer of an earlier page of this visit.
pub(super) fn recall(capability: Capability) {
    if capability.answer.with_untracked(|a| *a == Answer::Unasked)
        && let Some(report) = kept()
    {
        capability.answer.set(Answer::Known(report));
    }
}

/// The answer of an earlier page of this visit, if the same worker gave it.
fn kept() -> Option<CapabilityReport> {
    let json = storage()?.get_item(KEY).ok()??;
    let (worker, report): (String, CapabilityReport) = serde_json::from_str(&json).ok()?;
    (Some(worker) == address(Place::BrowserGpu)).then_some(report)
}

/// Keeps the answer for the visit; where the browser keeps nothing, every page asks.
fn keep(report: &CapabilityReport) {
    if let (Some(storage), Ok(json)) = (
        storage(),
        serde_json::to_string(&(address(Place::BrowserGpu).unwrap_or_default(), report)),
    ) {
        let _ = storage.set_item(KEY, &json);
    }
}

fn storage() -> Option<Storage> {
    web_sys::window()?.session_storage().ok()?
}
