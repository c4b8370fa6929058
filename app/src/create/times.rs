//! Where the time of a picture went, and what it held.

use leptos::prelude::*;

use crate::format;
use crate::worker::message::Timings;

/// The parts of a run in this browser, in their order, and the most memory that it took.
#[component]
pub(super) fn Times(timings: Timings) -> impl IntoView {
    let parts = [
        ("Starting", timings.start_ms),
        ("Downloading", timings.download_ms),
        ("Loading", timings.load_ms),
        ("First step", timings.first_step_ms),
        ("Other steps", timings.other_steps_ms),
        ("Decoding", timings.decode_ms),
    ];
    let memory = [
        ("GPU memory", timings.peak_buffer_bytes),
        ("WebAssembly memory", timings.wasm_heap_bytes),
    ];
    let times = parts
        .into_iter()
        .map(|(name, ms)| fact(name, ms.round().to_string(), format::duration(ms)));
    let sizes = memory
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(name, bytes)| fact(name, bytes.to_string(), format::megabytes(bytes)));
    view! {
        <details class="more" data-testid="times">
            <summary>"Time and memory"</summary>
            <dl class="facts">{times.chain(sizes).collect_view()}</dl>
        </details>
    }
    .into_any()
}

fn fact(name: &'static str, value: String, shown: String) -> impl IntoView {
    view! {
        <div>
            <dt>{name}</dt>
            <dd>
                <data value=value>{shown}</data>
            </dd>
        </div>
    }
}
