//! Two pictures in one frame, with a line between them that can be moved.

use leptos::prelude::*;

use crate::compare::NAMES;
use crate::studio::Sides;

/// Shows the first and one other picture, once there are two.
#[component]
pub(super) fn Slider(sides: Sides) -> impl IntoView {
    let pictures = Memo::new(move |_| {
        sides
            .runs
            .into_iter()
            .zip(NAMES)
            .filter_map(|(side, name)| Some((name, side.picture()?)))
            .map(|(name, done)| (name, done.url, done.width, done.height))
            .collect::<Vec<_>>()
    });
    let split = RwSignal::new(50u8);
    let right = RwSignal::new(String::new());
    let pair = move || {
        pictures.with(|all| {
            let left = all.first()?.clone();
            let chosen = right.with(|name| all.iter().skip(1).find(|p| p.0 == name).cloned());
            Some((left, chosen.or_else(|| all.get(1).cloned())?))
        })
    };
    let choice = move || {
        let names: Vec<&str> = pictures.with(|all| all.iter().skip(1).map(|p| p.0).collect());
        (names.len() > 1).then(|| {
            view! {
                <select
                    aria-label="Picture on the right"
                    on:change:target=move |e| right.set(e.target().value())
                >
                    {names.into_iter().map(|n| view! { <option value=n>{n}</option> }).collect_view()}
                </select>
            }
        })
    };
    view! {
        {move || {
            pair()
                .map(|(left, other)| {
                    let [(left, below, width, height), (other, above, ..)] = [left, other];
                    view! {
                        <section class="slider" data-testid="slider" aria-label="Two pictures in one frame">
                            <div class="stage split" style:--split=move || format!("{}%", split.get())>
                                <img class="pixels" src=above alt=format!("Side {other}") width=width height=height />
                                <img
                                    class="pixels split-left"
                                    src=below
                                    alt=format!("Side {left}")
                                    width=width
                                    height=height
                                />
                                <span class="split-line" aria-hidden="true"></span>
                            </div>
                            <div class="slider-controls">
                                <span aria-hidden="true">{left}</span>
                                <input
                                    type="range"
                                    min="0"
                                    max="100"
                                    data-testid="split"
                                    aria-label=format!("Share of side {left} against side {other}")
                                    prop:value=move || split.get().to_string()
                                    on:input:target=move |e| {
                                        split.set(e.target().value().parse().unwrap_or(50));
                                    }
                                />
                                <span aria-hidden="true">{other}</span>
                                {choice}
                            </div>
                        </section>
                    }
                })
        }}
    }
    .into_any()
}
