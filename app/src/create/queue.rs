//! What waits behind the pictures that are being made.

use leptos::prelude::*;

use super::Studio;
use super::batch::Batch;

/// The batches that wait, and what can be done about them; nothing while none does.
#[component]
pub(super) fn Queue() -> impl IntoView {
    let studio = expect_context::<Studio>();
    let waiting = Memo::new(move |_| studio.batches.waiting());
    move || {
        let waiting = waiting.get();
        (!waiting.is_empty()).then(|| {
            let rows = waiting
                .into_iter()
                .enumerate()
                .map(|(index, batch)| view! { <Row batch index /> })
                .collect_view();
            view! {
                <section class="queue" aria-labelledby="queue-title" data-testid="queue">
                    <h2 id="queue-title">"Waiting"</h2>
                    <ol>{rows}</ol>
                    <p class="note">"What waits is forgotten when this page is closed."</p>
                </section>
            }
        })
    }
}

#[component]
fn Row(batch: Batch, index: usize) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let title = batch.title();
    let id = batch.id;
    view! {
        <li data-testid="queue-item">
            <span class="queue-title">{title.clone()}</span>
            <button
                class="button quiet"
                type="button"
                aria-label=format!("Make sooner: {title}")
                disabled=index == 0
                on:click=move |_| studio.batches.move_up(id)
            >
                "Sooner"
            </button>
            <button
                class="button quiet"
                type="button"
                aria-label=format!("Leave out: {title}")
                on:click=move |_| studio.batches.drop_waiting(id)
            >
                "Leave out"
            </button>
        </li>
    }
}
