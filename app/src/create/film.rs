//! The pictures of this visit, to look at again.

use leptos::prelude::*;

use super::Studio;
use super::batch::Shot;

/// A finished picture of the visit.
#[derive(Clone, PartialEq)]
struct Frame {
    id: u32,
    index: usize,
    shot: Shot,
    url: String,
}

/// The strip; nothing while there are not two pictures to choose from.
#[component]
pub(super) fn Film() -> impl IntoView {
    let studio = expect_context::<Studio>();
    let frames = Memo::new(move |_| {
        let batches = studio.batches.visited().into_iter();
        let shots = batches.flat_map(|batch| {
            let id = batch.id;
            let shots = batch.shots.into_iter().enumerate();
            shots.map(move |(index, shot)| (id, index, shot))
        });
        let frames = shots.filter_map(|(id, index, shot)| {
            let url = shot
                .run
                .state
                .with(|run| Some(run.finished()?.picture.url().to_owned()))?;
            Some(Frame {
                id,
                index,
                shot,
                url,
            })
        });
        frames.collect::<Vec<_>>()
    });
    move || {
        let frames = frames.get();
        (frames.len() > 1).then(|| {
            let items = frames.into_iter().map(|frame| item(studio, frame));
            view! {
                <section class="film" aria-labelledby="film-title" data-testid="film">
                    <h2 id="film-title">"This visit"</h2>
                    <ol>{items.collect_view()}</ol>
                    <p class="note">"Pictures that you do not save are gone when this page is closed."</p>
                </section>
            }
        })
    }
}

fn item(studio: Studio, frame: Frame) -> impl IntoView {
    let Frame {
        id,
        index,
        shot,
        url,
    } = frame;
    let label = shot
        .request
        .with_value(|request| format!("{}, seed {}", request.prompt, request.seed));
    view! {
        <li>
            <button
                class="frame"
                type="button"
                data-testid="frame"
                aria-label=label
                aria-pressed=move || (studio.shown.get() == Some(shot)).to_string()
                on:click=move |_| studio.batches.pick(id, index)
            >
                <img class="pixels" src=url alt="" width="64" height="64" loading="lazy" />
            </button>
        </li>
    }
}
