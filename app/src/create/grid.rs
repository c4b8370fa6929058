//! The pictures of a batch side by side, each with its progress and its own way to stop it.

use leptos::prelude::*;

use super::Studio;
use super::batch::{Batch, Shot};
use crate::runs::run::Phase;

/// The tiles of the batch that is shown; nothing for a single picture.
#[component]
pub(super) fn Grid() -> impl IntoView {
    let studio = expect_context::<Studio>();
    let batch = Memo::new(move |_| {
        let shown = studio.batches.shown();
        shown.filter(|batch| batch.shots.len() > 1)
    });
    move || {
        batch.get().map(|batch| {
            let Batch { id, shots, .. } = batch;
            let label = format!("{} pictures", shots.len());
            let tiles = shots
                .into_iter()
                .enumerate()
                .map(|(index, shot)| view! { <Tile shot id index /> })
                .collect_view();
            view! {
                <ul class="batch" aria-label=label data-testid="batch">
                    {tiles}
                </ul>
            }
        })
    }
}

#[component]
fn Tile(shot: Shot, id: u32, index: usize) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let run = shot.run.state;
    let number = index + 1;
    let seed = shot.request.with_value(|request| request.seed);
    let prompt = shot.request.with_value(|request| request.prompt.clone());
    let state = move || run.with(|r| r.state_name());
    let said = Memo::new(move |_| {
        run.with(|r| match &r.phase {
            Phase::Idle => "Waiting".to_owned(),
            Phase::Done(_) => format!("Seed {seed}"),
            Phase::Cancelled => "Cancelled".to_owned(),
            _ => r.status(),
        })
    });
    let image = Memo::new(move |_| {
        run.with(|r| {
            let done = r.finished().map(|done| done.picture.url().to_owned());
            done.or_else(|| r.preview.clone())
        })
    });
    let picture = move || match image.get() {
        Some(url) => view! { <img class="pixels" src=url alt="" /> }.into_any(),
        None => view! { <span class="grain"></span> }.into_any(),
    };
    let is_shown = Memo::new(move |_| studio.shown.get() == Some(shot));
    let open = Memo::new(move |_| shot.is_waiting() || shot.is_active());
    view! {
        <li class="shot" data-testid=format!("shot-{number}") data-state=state>
            <button
                class="shot-picture"
                type="button"
                aria-pressed=move || is_shown.get().to_string()
                aria-label=format!("Picture {number}, seed {seed}: {prompt}")
                on:click=move |_| studio.batches.pick(id, index)
            >
                {picture}
            </button>
            <progress
                class="bar"
                aria-label=format!("Progress of picture {number}")
                max=move || run.with(|r| r.progress().1.to_string())
                value=move || run.with(|r| r.progress().0.map(|v| v.to_string()))
            ></progress>
            <div class="shot-line">
                <p class="shot-said">{move || said.get()}</p>
                <button
                    class="text-button"
                    type="button"
                    data-testid=format!("cancel-shot-{number}")
                    aria-label=format!("Cancel picture {number}")
                    hidden=move || !open.get()
                    on:click=move |_| shot.cancel()
                >
                    "Cancel"
                </button>
            </div>
        </li>
    }
    .into_any()
}
