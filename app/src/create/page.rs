//! `/`: prompt in, picture out.

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::use_query_map;
use protocol::GalleryQuery;

use super::form::Form;
use super::link::{self, Settings};
use super::result::ResultPane;
use super::studio::Studio;
use crate::data;
use crate::parts::{ProblemNote, Tiles};
use crate::response::set_status;

/// Newest pictures shown under the studio.
const NEWEST: usize = 6;

/// The page where pictures are made.
#[component]
pub(crate) fn Create() -> impl IntoView {
    let models = Resource::new(|| (), |()| data::models());
    let newest = Resource::new(
        || (),
        |()| {
            data::gallery(GalleryQuery {
                limit: Some(NEWEST),
                ..GalleryQuery::default()
            })
        },
    );
    let studio = expect_context::<Studio>();
    let query = use_query_map();
    view! {
        <Title text="" />
        <Meta
            name="description"
            content="Try text-to-image models in your own browser, on your own GPU."
        />
        <main id="main" class="page">
            <h1 class="visually-hidden">"Make a picture from words"</h1>
            <noscript>
                <p class="problem">
                    "Making pictures needs JavaScript and WebAssembly. The gallery, the pictures and the model cards work without."
                </p>
            </noscript>
            <Suspense fallback=|| {
                view! { <p class="waiting">"Loading the models…"</p> }
            }>
                {move || {
                    let query = query.get();
                    Suspend::new(async move {
                        match models.await {
                            Ok(models) => {
                                fill(studio, &models, |name| query.get(name));
                                studio.resume(&models);
                                let models = StoredValue::new(models);
                                view! {
                                    <div class="studio">
                                        <Form models />
                                        <ResultPane models />
                                    </div>
                                }
                                    .into_any()
                            }
                            Err(problem) => {
                                set_status(problem.status);
                                view! { <ProblemNote problem /> }.into_any()
                            }
                        }
                    })
                }}
            </Suspense>
            <Suspense>
                {move || Suspend::new(async move {
                    match newest.await {
                        Ok(page) if page.items.is_empty() => ().into_any(),
                        Ok(page) => {
                            view! {
                                <section class="newest" aria-labelledby="newest-title">
                                    <div class="section-head">
                                        <h2 id="newest-title">"Newest pictures"</h2>
                                        <a href="/gallery">"All pictures"</a>
                                    </div>
                                    <Tiles items=page.items />
                                </section>
                            }
                                .into_any()
                        }
                        Err(problem) => view! { <ProblemNote problem /> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

/// Fills the form from the query, or from the defaults where it was never filled.
fn fill(studio: Studio, models: &[protocol::ModelSummary], get: impl Fn(&str) -> Option<String>) {
    let asked = link::FIELDS.iter().any(|name| get(name).is_some());
    if asked || studio.settings.with_untracked(|s| s.model.is_empty()) {
        studio.settings.set(Settings::from_query(models, get));
        studio.adopt_typed();
    }
}
