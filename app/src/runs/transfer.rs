//! Pause of a download, and the choice where the browser gives too little room.

use leptos::prelude::*;

use super::RunHandle;
use super::run::Phase;
use crate::format;
use crate::worker::message::{RoomChoice, Transfer};
use crate::worker::weights::evict::NeedsRoom;

/// What the visitor can do about the download of a run.
#[component]
pub(crate) fn TransferControls(
    /// The run.
    run: RunHandle,
    /// Whether it stays in this browser.
    #[prop(into)]
    stays: Signal<bool>,
) -> impl IntoView {
    let state = run.state;
    let transfer = Memo::new(move |_| {
        state.with(|r| match &r.phase {
            Phase::Downloading { transfer, .. } => Some(*transfer),
            _ => None,
        })
    });
    let needs = Memo::new(move |_| {
        state.with(|r| match &r.phase {
            Phase::NeedsRoom(needs) => Some(needs.clone()),
            _ => None,
        })
    });
    let downloading = Memo::new(move |_| transfer.get().is_some());
    let paused = Memo::new(move |_| transfer.get() == Some(Transfer::Paused));
    let pause = move || {
        downloading.get().then(|| {
            view! {
                <div class="actions">
                    <button
                        class="button quiet"
                        type="button"
                        data-testid="pause"
                        on:click=move |_| run.pause(!paused.get_untracked())
                    >
                        {move || if paused.get() { "Go on" } else { "Pause" }}
                    </button>
                </div>
            }
        })
    };
    let choice = move || {
        needs
            .get()
            .map(|needs| view! { <RoomQuestion run needs stays=stays.get_untracked() /> })
    };
    view! { {pause} {choice} }.into_any()
}

#[component]
fn RoomQuestion(run: RunHandle, needs: NeedsRoom, stays: bool) -> impl IntoView {
    let names: Vec<String> = needs
        .evictable
        .iter()
        .map(|m| format!("{} ({})", m.name, format::megabytes(m.stored_bytes)))
        .collect();
    let evict = (!names.is_empty()).then(|| {
        view! {
            <button
                class="button"
                type="button"
                data-testid="room-evict"
                on:click=move |_| run.choose_room(RoomChoice::Evict)
            >
                {format!("Delete {}", names.join(", "))}
            </button>
        }
    });
    let server = (!stays).then(|| {
        view! {
            <button
                class="button"
                type="button"
                data-testid="room-server"
                on:click=move |_| run.send_to_server()
            >
                "Make it on the server"
            </button>
        }
    });
    view! {
        <div class="note-box" role="group" aria-label="Too little room" data-testid="room">
            <p>
                "Models are stored in this browser so that they are downloaded once. "
                <a href="/storage">"See what is stored"</a>
            </p>
            <div class="actions">
                {evict}
                <button
                    class="button quiet"
                    type="button"
                    data-testid="room-without"
                    on:click=move |_| run.choose_room(RoomChoice::WithoutKeeping)
                >
                    "Download for this visit only"
                </button>
                {server}
            </div>
        </div>
    }
    .into_any()
}
