//! What only the owner can do: take the picture out of the gallery, and delete it.

use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use protocol::{ImageRecord, Problem};

use crate::pages::ProblemNote;

#[component]
pub(super) fn Owner(record: ImageRecord) -> impl IntoView {
    let unlisted = RwSignal::new(record.unlisted);
    let busy = RwSignal::new(false);
    let asking = RwSignal::new(false);
    let problem = RwSignal::new(None::<Problem>);
    let id = StoredValue::new(record.id);
    let deleted = RwSignal::new(false);
    let act = OwnerAct {
        id,
        unlisted,
        deleted,
        busy,
        problem,
    };
    let navigate = use_navigate();
    Effect::new(move |_| {
        if deleted.get() {
            navigate("/gallery?mine=true", Default::default());
        }
    });
    let toggle = move |_| act.list(!unlisted.get_untracked());
    view! {
        <section class="owner" aria-label="Your picture">
            <p class="note" data-testid="owner-note">
                {move || if unlisted.get() {
                    "You made this picture. It is unlisted: only who has the link sees it."
                } else {
                    "You made this picture. It is in the gallery."
                }}
            </p>
            <div class="actions">
                <button
                    class="button quiet"
                    type="button"
                    data-testid="unlist"
                    disabled=move || busy.get()
                    on:click=toggle
                >
                    {move || if unlisted.get() { "Put it into the gallery" } else { "Take it out of the gallery" }}
                </button>
                <Show
                    when=move || asking.get()
                    fallback=move || {
                        view! {
                            <button
                                class="button quiet"
                                type="button"
                                data-testid="delete"
                                disabled=move || busy.get()
                                on:click=move |_| asking.set(true)
                            >
                                "Delete"
                            </button>
                        }
                    }
                >
                    <button
                        class="button danger"
                        type="button"
                        data-testid="delete-confirm"
                        autofocus=true
                        disabled=move || busy.get()
                        on:click=move |_| act.delete()
                    >
                        "Delete for good"
                    </button>
                    <button
                        class="button quiet"
                        type="button"
                        on:click=move |_| asking.set(false)
                    >
                        "Keep"
                    </button>
                </Show>
            </div>
            <div class="alert" role="alert">
                {move || problem.get().map(|problem| view! { <ProblemNote problem name="owner-error" /> })}
            </div>
        </section>
    }
    .into_any()
}

/// The owner's picture as the server has it.
#[derive(Clone, Copy)]
struct OwnerAct {
    id: StoredValue<String>,
    unlisted: RwSignal<bool>,
    deleted: RwSignal<bool>,
    busy: RwSignal<bool>,
    problem: RwSignal<Option<Problem>>,
}

#[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
impl OwnerAct {
    /// Puts the picture into the gallery or takes it out.
    fn list(self, unlisted: bool) {
        let visibility = if unlisted {
            protocol::Visibility::Unlisted
        } else {
            protocol::Visibility::Listed
        };
        let change = protocol::ImageChange { visibility };
        self.run(async move |url: String| {
            let record: ImageRecord = crate::api::patch(&url, &change).await?;
            self.unlisted.try_set(record.unlisted);
            Ok(())
        });
    }

    fn delete(self) {
        self.run(async move |url: String| {
            crate::api::delete(&url).await?;
            self.deleted.try_set(true);
            Ok(())
        });
    }

    fn run(self, act: impl AsyncFnOnce(String) -> Result<(), Problem> + 'static) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.problem.set(None);
        let id = self.id.get_value();
        leptos::task::spawn_local(async move {
            let url = format!("/api/v1/images/{}", crate::settings::encode(&id));
            // The page may have been left.
            if let Err(problem) = act(url).await {
                self.problem.try_set(Some(problem));
            }
            self.busy.try_set(false);
        });
    }
}

#[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
impl OwnerAct {
    fn list(self, _unlisted: bool) {
        let _ = (
            self.id,
            self.unlisted,
            self.deleted,
            self.busy,
            self.problem,
        );
    }

    fn delete(self) {}
}
