//! `/storage`: the models that this browser keeps.

#[cfg(browser)]
mod browser;

use leptos::prelude::*;
use leptos_meta::{Meta, Title};

use crate::format;
use crate::saving::WaitingPictures;
use crate::worker::message::Storage;
use crate::worker::weights::evict::StoredModel;

/// What is known of the store.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    not(browser),
    expect(dead_code, reason = "the store is in a browser only")
)]
pub(crate) enum Known {
    /// Nothing yet.
    #[default]
    Asking,
    /// The numbers.
    Here(Storage),
    /// The browser refused.
    Failed(String),
}

/// What a check of a model has found, or how far it is in bytes.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    not(browser),
    expect(dead_code, reason = "models are checked in a browser only")
)]
pub(crate) enum Check {
    Running(u64),
    Whole,
    /// Blocks that are damaged or missing.
    Damaged(u64),
    Failed(String),
}

/// The page's state.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) known: RwSignal<Known>,
    /// Digest of the model that is, or was last, checked, and the result.
    pub(crate) check: RwSignal<Option<(String, Check)>>,
}

impl Stored {
    fn act(self, act: StoreAct) {
        in_browser!(self, act => browser::act(self, act));
    }
}

/// What the visitor asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoreAct {
    /// The numbers.
    Look,
    /// Delete the model of that digest.
    Forget(String),
    /// Check every byte of it.
    Verify(String),
}

/// The models, their sizes, and what can be done with them.
#[component]
pub(crate) fn StoragePage() -> impl IntoView {
    let stored = Stored {
        known: RwSignal::default(),
        check: RwSignal::new(None),
    };
    Effect::new(move |_| stored.act(StoreAct::Look));
    view! {
        <Title text="Models in this browser" />
        <Meta name="description" content="The models that this browser keeps, and the room that they take." />
        <main id="main" class="page">
            <div class="page-head">
                <h1>"Models in this browser"</h1>
                <p class="lead">
                    "A model is downloaded once and kept here, on your device. Deleting it costs nothing but the next download."
                </p>
            </div>
            <noscript>
                <p>"What this browser keeps is shown with JavaScript switched on."</p>
            </noscript>
            <WaitingPictures />
            <div data-testid="storage" aria-live="polite">
                {move || match stored.known.get() {
                    Known::Asking => view! { <p class="waiting">"Looking…"</p> }.into_any(),
                    Known::Failed(detail) => {
                        view! { <p class="problem" role="alert">{detail}</p> }.into_any()
                    }
                    Known::Here(storage) => view! { <Listing storage stored /> }.into_any(),
                }}
            </div>
        </main>
    }
}

#[component]
fn Listing(storage: Storage, stored: Stored) -> impl IntoView {
    let room = match (storage.usage, storage.quota) {
        (Some(usage), Some(quota)) => format!(
            "This site uses {} of the {} that the browser grants it.",
            format::size(usage),
            format::size(quota)
        ),
        _ => "The browser does not tell how much room there is.".to_owned(),
    };
    let promise = match (storage.models.is_empty(), storage.persisted) {
        _ if !storage.lasts => {
            "It lets this site keep no files: a model is downloaded again with every visit."
                .to_owned()
        }
        (true, _) => format!("Models are kept in the {}.", storage.kind),
        (false, persisted) => format!(
            "It {} They are in the {}.",
            if persisted {
                "has promised not to delete the models by itself."
            } else {
                "may delete the models by itself when room runs out; then they are downloaded again."
            },
            storage.kind
        ),
    };
    let list = if storage.models.is_empty() {
        view! {
            <div class="empty">
                <p>"No model is stored here."</p>
                <p>
                    <a class="button" href="/">
                        "Make a picture"
                    </a>
                </p>
            </div>
        }
        .into_any()
    } else {
        let rows = storage.models.into_iter();
        let rows = rows
            .map(|model| view! { <Row model stored /> })
            .collect_view();
        view! { <ul class="stored">{rows}</ul> }.into_any()
    };
    view! {
        {list}
        <p class="note" data-testid="room">
            {room} " " {promise}
        </p>
    }
    .into_any()
}

#[component]
fn Row(model: StoredModel, stored: Stored) -> impl IntoView {
    let StoredModel {
        digest,
        id,
        name,
        stored_bytes,
        total_bytes,
        last_used_ms,
    } = model;
    let size = if stored_bytes < total_bytes {
        format!(
            "{} of {}, not complete",
            format::megabytes(stored_bytes),
            format::megabytes(total_bytes)
        )
    } else {
        format::megabytes(total_bytes)
    };
    let used = format!("used {}", format::date_time(last_used_ms.max(0.0) as u64));
    let result = {
        let digest = digest.clone();
        move || {
            let check = stored.check.get().filter(|(of, _)| *of == digest)?.1;
            Some(match check {
                Check::Running(bytes) => format!(
                    "Checking: {} of {}",
                    format::megabytes(bytes),
                    format::megabytes(total_bytes)
                ),
                Check::Whole => "Every byte is right.".to_owned(),
                Check::Damaged(1) => {
                    "1 part is damaged or missing; it is fetched again with the next picture."
                        .to_owned()
                }
                Check::Damaged(n) => format!(
                    "{n} parts are damaged or missing; they are fetched again with the next picture."
                ),
                Check::Failed(detail) => detail,
            })
        }
    };
    let (to_verify, to_forget) = (digest.clone(), digest);
    view! {
        <li class="stored-model" data-testid="stored-model">
            <div>
                <p class="stored-name">
                    <a href=format!("/models/{id}")>{name.clone()}</a>
                </p>
                <p class="note">{size} " · " {used}</p>
                <p class="note" data-testid="check" role="status">
                    {result}
                </p>
            </div>
            <div class="actions">
                <button
                    class="button quiet"
                    type="button"
                    data-testid="verify"
                    aria-label=format!("Verify {name}")
                    on:click=move |_| stored.act(StoreAct::Verify(to_verify.clone()))
                >
                    "Verify"
                </button>
                <button
                    class="button quiet"
                    type="button"
                    data-testid="forget"
                    aria-label=format!("Delete {name}")
                    on:click=move |_| stored.act(StoreAct::Forget(to_forget.clone()))
                >
                    "Delete"
                </button>
            </div>
        </li>
    }
    .into_any()
}
