//! Two pictures in one frame, with a line between them that can be moved. In a browser only: the policy of served pages
//! forbids the style that places the line.

use leptos::prelude::*;

/// A picture in the frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    /// What it is, in a few words.
    pub(crate) label: String,
    /// Where it is.
    pub(crate) url: String,
}

/// Shows `left` up to the line and `right` beyond it.
#[component]
pub(crate) fn Split(
    /// The picture on the left.
    left: Shown,
    /// The picture on the right.
    right: Shown,
) -> impl IntoView {
    let split = RwSignal::new(50u8);
    let control = format!("Share of {} against {}", left.label, right.label);
    view! {
        <div
            class="stage split"
            data-testid="slider"
            style:--split=move || format!("{}%", split.get())
        >
            <img class="pixels" src=right.url alt=right.label.clone() />
            <img class="pixels split-left" src=left.url alt=left.label.clone() />
            <span class="split-line" aria-hidden="true"></span>
        </div>
        <div class="slider-controls">
            <span aria-hidden="true">{left.label}</span>
            <input
                type="range"
                min="0"
                max="100"
                data-testid="split"
                aria-label=control
                prop:value=move || split.get().to_string()
                on:input:target=move |e| split.set(e.target().value().parse().unwrap_or(50))
            />
            <span aria-hidden="true">{right.label}</span>
        </div>
    }
    .into_any()
}
