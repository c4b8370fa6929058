//! What the model made here, and how fast.

use leptos::prelude::*;

use protocol::{GalleryQuery, Problem};

use crate::data;
use crate::format::{self, encode};
use crate::models::measured::{Made, Speed, sum_up};
use crate::parts::{ProblemNote, Tiles};

/// Newest pictures that a model's speed is taken from.
const MEASURED: usize = 60;
/// Newest pictures that a model's page shows.
const SHOWN: usize = 6;

/// What the newest pictures of a model tell of it.
async fn made(model: String) -> Result<Made, Problem> {
    let page = data::gallery(GalleryQuery {
        limit: Some(MEASURED),
        model: Some(model.clone()),
        ..GalleryQuery::default()
    })
    .await?;
    let of_model = page
        .items
        .into_iter()
        .filter(|record| record.recipe.request.model == model)
        .collect();
    Ok(sum_up(of_model, SHOWN))
}

#[component]
pub(super) fn MadeHere(model: String) -> impl IntoView {
    let compare = format!("/compare?a={}%40browser", encode(&model));
    let made = Resource::new(move || model.clone(), made);
    view! {
        <Suspense>
            {move || {
                let compare = compare.clone();
                Suspend::new(async move {
                    match made.await {
                        Ok(made) => view! { <Shown made compare /> }.into_any(),
                        Err(problem) => view! { <ProblemNote problem /> }.into_any(),
                    }
                })
            }}
        </Suspense>
    }
}

#[component]
fn Shown(made: Made, compare: String) -> impl IntoView {
    let Made { speeds, newest } = made;
    let speed = if speeds.is_empty() {
        view! {
            <p class="note" data-testid="not-measured">
                "Not measured yet: none of the newest pictures of the gallery was made with this model. "
                <a href=compare>"Measure it on your own device"</a> "."
            </p>
        }
        .into_any()
    } else {
        view! { <Speeds speeds /> }.into_any()
    };
    let pictures = (!newest.is_empty()).then(|| {
        view! {
            <section aria-labelledby="made-title">
                <h2 id="made-title">"Made with it here"</h2>
                <Tiles items=newest />
            </section>
        }
    });
    view! {
        <section aria-labelledby="speed-title">
            <h2 id="speed-title">"Measured speed"</h2>
            {speed}
        </section>
        {pictures}
    }
    .into_any()
}

#[component]
fn Speeds(speeds: Vec<Speed>) -> impl IntoView {
    let rows: Vec<_> = speeds
        .into_iter()
        .map(|speed| {
            let device = match speed.adapter.as_str() {
                "" => speed.backend.clone(),
                adapter => adapter.to_owned(),
            };
            let place = speed.place.name();
            view! {
                <tr>
                    <th scope="row">{device}</th>
                    <td>{format!("{place}, {}", speed.backend)}</td>
                    <td>{format::duration(speed.picture_ms)}</td>
                    <td>{format!("{:.0} ms", speed.step_ms)}</td>
                    <td>{speed.pictures}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <div class="table-wrap" role="region" aria-label="Table of measured speeds" tabindex="0">
            <table class="times" data-testid="speeds">
                <thead>
                    <tr>
                        <th scope="col">"Device"</th>
                        <th scope="col">"Place and engine"</th>
                        <th scope="col">"Picture"</th>
                        <th scope="col">"Step"</th>
                        <th scope="col">"Pictures"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <p class="note">
                {format!(
                    "Medians over those of the {} newest pictures of the gallery that this model made, weights already there, as the browsers and workers that made them reported.",
                    MEASURED,
                )}
            </p>
        </div>
    }
    .into_any()
}
