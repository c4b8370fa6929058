//! What only the owner can do: say who sees the picture, and delete it.

use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use protocol::{ImageRecord, Problem, Visibility};

use crate::format;

use crate::parts::ProblemNote;

#[component]
pub(super) fn Owner(record: ImageRecord) -> impl IntoView {
    let seen_by = RwSignal::new((record.visibility, record.expires_at));
    let busy = RwSignal::new(false);
    let asking = RwSignal::new(false);
    let problem = RwSignal::new(None::<Problem>);
    let id = StoredValue::new(record.id);
    let deleted = RwSignal::new(false);
    let act = OwnerAct {
        id,
        seen_by,
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
    view! {
        <section class="owner" aria-label="Your picture">
            <p class="note" data-testid="owner-note">
                {move || said(seen_by.get())}
            </p>
            <div class="actions">
                {move || {
                    choices(seen_by.get().0)
                        .into_iter()
                        .map(|(visibility, name, label)| {
                            view! {
                                <button
                                    class="button quiet"
                                    type="button"
                                    data-testid=name
                                    disabled=move || busy.get()
                                    on:click=move |_| act.show_to(visibility)
                                >
                                    {label}
                                </button>
                            }
                        })
                        .collect_view()
                }}
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

/// Who sees the picture, and until when.
fn said((visibility, expires_at): (Visibility, Option<u64>)) -> String {
    let seen = match visibility {
        Visibility::Private => "Only you see this picture.",
        Visibility::Unlisted => {
            "You made this picture. It is unlisted: only who has the link sees it."
        }
        Visibility::Listed => "You made this picture. It is in the gallery.",
    };
    match expires_at {
        Some(time) => format!(
            "{seen} It is deleted after {} unless you save it.",
            format::date_time(time)
        ),
        None => seen.to_owned(),
    }
}

/// What can be done about it: the new state, the button's name in tests and its words.
fn choices(visibility: Visibility) -> Vec<(Visibility, &'static str, &'static str)> {
    match visibility {
        Visibility::Private => vec![
            (Visibility::Listed, "publish", "Put it into the gallery"),
            (Visibility::Unlisted, "keep", "Save it unlisted"),
        ],
        Visibility::Unlisted => vec![(Visibility::Listed, "publish", "Put it into the gallery")],
        Visibility::Listed => vec![(Visibility::Unlisted, "unlist", "Take it out of the gallery")],
    }
}

/// The owner's picture as the server has it.
#[derive(Clone, Copy)]
struct OwnerAct {
    id: StoredValue<String>,
    seen_by: RwSignal<(Visibility, Option<u64>)>,
    deleted: RwSignal<bool>,
    busy: RwSignal<bool>,
    problem: RwSignal<Option<Problem>>,
}

#[cfg(browser)]
impl OwnerAct {
    /// Says who sees the picture from now on; that also saves one that would expire.
    fn show_to(self, visibility: Visibility) {
        let change = protocol::ImageChange { visibility };
        self.run(async move |url: String| {
            let record: ImageRecord = crate::browser::api::patch(&url, &change).await?;
            self.seen_by.try_set((record.visibility, record.expires_at));
            Ok(())
        });
    }

    fn delete(self) {
        self.run(async move |url: String| {
            crate::browser::api::delete(&url).await?;
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
            let url = format!("/api/v1/images/{}", crate::format::encode(&id));
            // The page may have been left.
            if let Err(problem) = act(url).await {
                self.problem.try_set(Some(problem));
            }
            self.busy.try_set(false);
        });
    }
}

#[cfg(not(browser))]
impl OwnerAct {
    fn show_to(self, _visibility: Visibility) {
        let _ = (self.id, self.seen_by, self.deleted, self.busy, self.problem);
    }

    fn delete(self) {}
}
