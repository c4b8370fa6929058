//! Pictures that wait in this browser until they can be saved.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

/// A picture that waits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WaitingPicture {
    /// Of the PNG, in hex.
    pub(crate) sha256: String,
    /// What was asked for.
    pub(crate) prompt: String,
    /// Blob address that shows it.
    pub(crate) url: String,
    /// Why the hub did not take it; absent while it was not asked.
    pub(crate) refused: Option<String>,
}

/// Handle on what waits; lives as long as the application.
#[derive(Clone, Copy)]
pub(crate) struct Outbox {
    /// Those that wait, oldest first.
    pub(crate) waiting: RwSignal<Vec<WaitingPicture>>,
    /// Permanent link of the one that was saved last.
    pub(crate) saved: RwSignal<Option<String>>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            waiting: RwSignal::default(),
            saved: RwSignal::new(None),
        }
    }

    /// Shows what waits to be saved, and saves it as soon as there is a network.
    fn watch(self) {
        in_browser!(self => super::browser::outbox::watch(self));
    }

    /// Tries to save what waits, also what the hub refused before.
    fn send(self) {
        in_browser!(self => super::browser::outbox::send(self));
    }

    /// Gives one up.
    fn discard(self, sha256: String) {
        in_browser!(self, sha256 => super::browser::outbox::discard(self, sha256));
    }
}

/// One line on every page while something waits, or was saved since the page was opened.
#[component]
pub(crate) fn OutboxNote() -> impl IntoView {
    let outbox = expect_context::<Outbox>();
    let path = use_location().pathname;
    Effect::new(move |_| outbox.watch());
    let line = move || {
        let waiting = outbox.waiting.with(Vec::len);
        if waiting > 0 && path.get() != "/storage" {
            let pictures = if waiting == 1 {
                "1 picture waits to be saved.".to_owned()
            } else {
                format!("{waiting} pictures wait to be saved.")
            };
            return Some(view! { {pictures} " " <a href="/storage">"Show"</a> }.into_any());
        }
        let link = outbox.saved.get()?;
        Some(
            view! { "A picture that had waited was saved. " <a href=link>"Permanent link"</a> }
                .into_any(),
        )
    };
    view! {
        <p class="outbox-note" role="status" data-testid="outbox-note">
            {line}
        </p>
    }
    .into_any()
}

/// The pictures that wait, and what can be done with them.
#[component]
pub(crate) fn WaitingPictures() -> impl IntoView {
    let outbox = expect_context::<Outbox>();
    move || {
        let waiting = outbox.waiting.get();
        if waiting.is_empty() {
            return None;
        }
        let rows = waiting
            .into_iter()
            .map(|picture| view! { <Row picture outbox /> })
            .collect_view();
        Some(view! {
            <section class="waiting-pictures" aria-labelledby="waiting-title">
                <h2 id="waiting-title">"Pictures that wait to be saved"</h2>
                <ul class="stored">{rows}</ul>
                <p class="actions">
                    <button
                        class="button quiet"
                        type="button"
                        data-testid="send-waiting"
                        on:click=move |_| outbox.send()
                    >
                        "Save now"
                    </button>
                </p>
            </section>
        })
    }
}

#[component]
fn Row(picture: WaitingPicture, outbox: Outbox) -> impl IntoView {
    let WaitingPicture {
        sha256,
        prompt,
        url,
        refused,
    } = picture;
    let state = refused.map_or_else(
        || "Will be saved when the hub can be reached.".to_owned(),
        |why| format!("The hub did not take it: {why}."),
    );
    let file = format!("{}.png", crate::format::slug(&prompt));
    view! {
        <li class="stored-model" data-testid="waiting-picture">
            <div class="waiting-picture">
                <img class="pixels" src=url.clone() alt="" width="64" height="64" />
                <div>
                    <p class="stored-name">{prompt.clone()}</p>
                    <p class="note">{state}</p>
                </div>
            </div>
            <div class="actions">
                <a class="button quiet" href=url download=file>
                    "Download PNG"
                </a>
                <button
                    class="button quiet"
                    type="button"
                    aria-label=format!("Discard {prompt}")
                    on:click=move |_| outbox.discard(sha256.clone())
                >
                    "Discard"
                </button>
            </div>
        </li>
    }
    .into_any()
}
