//! Pause of a download, and the choice where the browser gives too little room.

use leptos::prelude::*;
use protocol::Policy;

use crate::format;
use crate::studio::Studio;
use crate::studio::run::Phase;
use crate::worker::message::{RoomChoice, Transfer};
use crate::worker::weights::evict::NeedsRoom;

/// What the visitor can do about the download of a run.
#[component]
pub(crate) fn TransferControls(
    /// Whose run.
    studio: Studio,
    /// The run stays in this browser whatever the form says.
    #[prop(optional)]
    browser_only: bool,
) -> impl IntoView {
    let run = studio.run;
    let transfer = Memo::new(move |_| {
        run.with(|r| match &r.phase {
            Phase::Downloading { transfer, .. } => Some(*transfer),
            _ => None,
        })
    });
    let needs = Memo::new(move |_| {
        run.with(|r| match &r.phase {
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
                        on:click=move |_| studio.pause(!paused.get_untracked())
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
            .map(|needs| view! { <RoomQuestion studio needs browser_only /> })
    };
    view! { {pause} {choice} }.into_any()
}

#[component]
fn RoomQuestion(studio: Studio, needs: NeedsRoom, browser_only: bool) -> impl IntoView {
    let names: Vec<String> = needs
        .evictable
        .iter()
        .map(|m| format!("{} ({})", m.name, format::megabytes(m.stored_bytes)))
        .collect();
    let stays = browser_only
        || studio
            .settings
            .with_untracked(|s| s.policy == Policy::BrowserOnly);
    let evict = (!names.is_empty()).then(|| {
        view! {
            <button
                class="button"
                type="button"
                data-testid="room-evict"
                on:click=move |_| studio.choose_room(RoomChoice::Evict)
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
                on:click=move |_| studio.send_to_server()
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
                    on:click=move |_| studio.choose_room(RoomChoice::WithoutKeeping)
                >
                    "Download for this visit only"
                </button>
                {server}
            </div>
        </div>
    }
    .into_any()
}
