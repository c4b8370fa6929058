//! The pictures of two sides in one frame.

use leptos::prelude::*;

use super::link::NAMES;
use super::sides::Sides;
use crate::parts::{Shown, Split};

/// Shows the first and one other picture, once there are two.
#[component]
pub(super) fn Slider(sides: Sides) -> impl IntoView {
    let pictures = Memo::new(move |_| {
        sides
            .runs
            .into_iter()
            .zip(NAMES)
            .filter_map(|(side, name)| Some((name, side.run.finished()?)))
            .map(|(name, done)| Shown {
                label: format!("Side {name}"),
                url: done.picture.url().to_owned(),
            })
            .collect::<Vec<_>>()
    });
    let right = RwSignal::new(String::new());
    let pair = Memo::new(move |_| {
        pictures.with(|all| {
            let left = all.first()?.clone();
            let chosen =
                right.with(|label| all.iter().skip(1).find(|p| p.label == *label).cloned());
            Some((left, chosen.or_else(|| all.get(1).cloned())?))
        })
    });
    let choice = move || {
        let labels: Vec<String> =
            pictures.with(|all| all.iter().skip(1).map(|p| p.label.clone()).collect());
        (labels.len() > 1).then(|| {
            let options = labels
                .into_iter()
                .map(|label| view! { <option value=label.clone()>{label.clone()}</option> })
                .collect_view();
            view! {
                <select
                    aria-label="Picture on the right"
                    on:change:target=move |e| right.set(e.target().value())
                >
                    {options}
                </select>
            }
        })
    };
    view! {
        {move || {
            pair.get()
                .map(|(left, right)| {
                    view! {
                        <section class="slider" aria-label="Two pictures in one frame">
                            <Split left right />
                            {choice}
                        </section>
                    }
                })
        }}
    }
    .into_any()
}
