//! `/models`: every model that the hub knows of, with filters.

mod card;
mod filters;
mod shelf;

use leptos::prelude::*;
use leptos_meta::{Link, Meta, Title};
use leptos_router::hooks::use_query_map;
use protocol::{ModelCard, ModelPage, ModelQuery, RunsOn};

use super::provenance::Sources;
use crate::data;
use crate::data::catalog::{from_query, to_query};
use crate::parts::ProblemNote;
use crate::response::set_status;

pub(super) use card::Cards;

/// The catalogue.
#[component]
pub(crate) fn Models() -> impl IntoView {
    let query = use_query_map();
    let filters = Memo::new(move |_| {
        let query = query.read();
        from_query(|name| query.get(name))
    });
    let page = Resource::new(move || filters.get(), data::search);
    let origin = data::origin();
    let description = "Text-to-image models with their papers, their people and their licences, and whether each of them runs in your browser.";
    view! {
        <Title text="Models" />
        <Meta name="description" content=description />
        <Meta property="og:type" content="website" />
        <Meta property="og:site_name" content="Demo Hub" />
        <Meta property="og:title" content="Models" />
        <Meta property="og:description" content=description />
        <Meta property="og:url" content=format!("{origin}/models") />
        <Link rel="canonical" href=format!("{origin}/models") />
        <main id="main" class="page">
            <div class="page-head with-action">
                <div>
                    <h1>"Models"</h1>
                    <p class="lead">
                        "Text-to-image models, who made them and from which paper, and whether each runs in your browser."
                    </p>
                </div>
                {data::is_operator()
                    .then(|| {
                        view! {
                            <a
                                class="button"
                                href="/models/add"
                                rel="external"
                                data-testid="add-a-model"
                            >
                                "Add a model"
                            </a>
                        }
                    })}
            </div>
            {move || view! { <filters::Filters filters=filters.get() /> }}
            <Suspense fallback=|| {
                view! { <p class="waiting">"Loading the models…"</p> }
            }>
                {move || {
                    let filters = filters.get();
                    Suspend::new(async move {
                        match page.await {
                            Ok(page) => view! { <Found page filters /> }.into_any(),
                            Err(problem) => {
                                set_status(problem.status);
                                view! { <ProblemNote problem /> }.into_any()
                            }
                        }
                    })
                }}
            </Suspense>
        </main>
    }
}

#[component]
fn Found(page: ModelPage, filters: ModelQuery) -> impl IntoView {
    let ModelPage {
        items,
        known,
        next_cursor,
        provenance,
    } = page;
    let here_only = filters.runs == Some(RunsOn::Browser);
    let pager = pager(&filters, next_cursor);
    // The hub's models, of which nothing is known but their cards, come last.
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|card| card.runnable.is_some());
    let nothing = here.is_empty() && elsewhere.is_empty() && known.is_empty();
    let elsewhere = (!elsewhere.is_empty()).then(|| {
        view! {
            <section aria-labelledby="elsewhere-title">
                <h2 id="elsewhere-title" class="visually-hidden">
                    "On Hugging Face"
                </h2>
                <Cards items=elsewhere here_only />
            </section>
        }
    });
    view! {
        {(nothing || !here.is_empty()).then(|| listing(here, here_only))}
        <shelf::Shelf models=known />
        {elsewhere}
        {pager}
        <Sources provenance />
    }
    .into_any()
}

/// The cards, or that there are none.
pub(super) fn listing(items: Vec<ModelCard>, here_only: bool) -> AnyView {
    if items.is_empty() {
        return view! {
            <div class="empty">
                <p>"No model passes these filters."</p>
                <p>
                    <a class="button" href="/models">
                        "Show every model"
                    </a>
                </p>
            </div>
        }
        .into_any();
    }
    view! { <Cards items here_only /> }.into_any()
}

fn pager(filters: &ModelQuery, next_cursor: Option<String>) -> impl IntoView + use<> {
    let address = |cursor: Option<String>| {
        let filters = ModelQuery {
            cursor,
            ..filters.clone()
        };
        format!("/models?{}", to_query(&filters))
    };
    let first = filters.cursor.is_some().then(|| address(None));
    let next = next_cursor.map(|cursor| address(Some(cursor)));
    (first.is_some() || next.is_some()).then(|| {
        view! {
            <nav class="pager" aria-label="Pages of the catalogue">
                {first
                    .map(|href| {
                        view! {
                            <a class="button quiet" href=href>
                                "First page"
                            </a>
                        }
                    })}
                {next
                    .map(|href| {
                        view! {
                            <a class="button quiet" rel="next" href=href>
                                "More models"
                            </a>
                        }
                    })}
            </nav>
        }
    })
}
