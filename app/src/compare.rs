//! `/compare`: one prompt and one seed, several models or places side by side.

pub mod link;

mod form;
mod results;
mod sides;
mod slider;

#[cfg(browser)]
mod browser;

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::use_query_map;
use protocol::ModelSummary;

use self::link::Comparison;
use self::sides::Sides;
use crate::data;
use crate::parts::ProblemNote;
use crate::response::set_status;

/// The page of comparisons; everything in its form can be in its address.
#[component]
pub(crate) fn Compare() -> impl IntoView {
    let models = Resource::new(|| (), |()| data::models());
    let query = use_query_map();
    view! {
        <Title text="Compare" />
        <Meta
            name="description"
            content="One prompt and one seed, side by side: two text-to-image models, or your browser against the server."
        />
        <main id="main" class="page">
            <div class="page-head">
                <h1>"Compare"</h1>
                <p class="lead">
                    "One prompt and one seed, side by side: two models, or this browser against the server. The sides run one after the other, so that none slows another down."
                </p>
            </div>
            <noscript>
                <p class="problem">"Making pictures needs JavaScript and WebAssembly."</p>
            </noscript>
            <Suspense fallback=|| {
                view! { <p class="waiting">"Loading the models…"</p> }
            }>
                {move || Suspend::new(async move {
                    match models.await {
                        Ok(models) if models.is_empty() => {
                            view! {
                                <p class="empty">"This hub has no model that could be compared."</p>
                            }
                                .into_any()
                        }
                        Ok(models) => {
                            let asked = Comparison::from_query(
                                &models,
                                |name| query.read_untracked().get(name),
                            );
                            view! { <Bench models asked /> }.into_any()
                        }
                        Err(problem) => {
                            set_status(problem.status);
                            view! { <ProblemNote problem /> }.into_any()
                        }
                    }
                })}
            </Suspense>
        </main>
    }
}

#[component]
fn Bench(models: Vec<ModelSummary>, asked: Comparison) -> impl IntoView {
    let sides = Sides::new();
    on_cleanup(move || sides.stop());
    let comparison = RwSignal::new(asked);
    let models = StoredValue::new(models);
    view! {
        <form::Form models comparison sides />
        <results::Results sides />
    }
    .into_any()
}
