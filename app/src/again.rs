//! "Re-run on my GPU": the picture made a second time, and how far the two are apart.

pub mod difference;

mod rerun;

#[cfg(browser)]
mod browser;
#[cfg(browser)]
mod pixels;

use leptos::prelude::*;
use protocol::ImageRecord;

use self::rerun::Rerun;
use crate::parts::{ProblemNote, Shown, Split};
use crate::runs::TransferControls;
use crate::runs::run::Phase;

#[component]
pub(crate) fn Again(record: ImageRecord) -> impl IntoView {
    let rerun = Rerun::new();
    on_cleanup(move || rerun.run.cancel());
    let run = rerun.run.state;
    let stored = record.url.clone();
    let record = StoredValue::new(record);
    let active = Memo::new(move |_| run.with(|r| r.is_active()));
    let begun = Memo::new(move |_| run.with(|r| r.phase != Phase::Idle));
    let made = Memo::new(move |_| run.with(|r| r.finished().map(|done| done.picture.clone())));
    let press = move |_| {
        if active.get_untracked() {
            rerun.run.cancel();
        } else {
            rerun.start(record.get_value());
        }
    };
    let pictures = move || {
        made.get().map(|picture| {
            let left = Shown {
                label: "Stored".to_owned(),
                url: stored.clone(),
            };
            let right = Shown {
                label: "Made here".to_owned(),
                url: picture.url().to_owned(),
            };
            view! { <div class="again-pictures"><Split left right /></div> }
        })
    };
    let score = move || {
        rerun.score.get().map(|score| {
            let sentence = score.map_or_else(|why| why, |difference| difference.sentence());
            view! { <p class="score" data-testid="score">{sentence}</p> }
        })
    };
    view! {
        <section class="again" aria-labelledby="again-title" data-testid="again">
            <h2 id="again-title">"Is it reproducible?"</h2>
            <p class="note">
                "Makes the picture again in this browser, from the same seed and settings, and measures the difference."
            </p>
            <button class="button quiet" type="button" data-testid="rerun" on:click=press>
                {move || if active.get() { "Cancel" } else { "Re-run on my GPU" }}
            </button>
            <progress
                class="bar"
                aria-label="Progress"
                hidden=move || !active.get()
                max=move || run.with(|r| r.progress().1.to_string())
                value=move || run.with(|r| r.progress().0.map(|v| v.to_string()))
            ></progress>
            <div role="status" hidden=move || !begun.get()>
                <p class="status" data-testid="again-status">
                    {move || run.with(|r| r.status())}
                </p>
                {score}
            </div>
            <p class="note" data-testid="again-where" hidden=move || !begun.get()>
                {move || run.with(|r| r.where_and_why())}
            </p>
            <TransferControls run=rerun.run stays=true />
            <div class="alert" role="alert">
                {move || run.with(|r| r.failure().cloned())
                    .map(|problem| view! { <ProblemNote problem name="again-error" /> })}
            </div>
            {pictures}
        </section>
    }
    .into_any()
}
