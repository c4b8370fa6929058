//! Which pictures are listed.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use protocol::{GalleryQuery, ModelSummary};

use super::link;
use crate::data;

/// Filters as a form that works without scripts, and applies at once with them.
#[component]
pub(super) fn Filters(query: Memo<GalleryQuery>) -> impl IntoView {
    let models = Resource::new(|| (), |()| data::models());
    let everyone = move || {
        link(&GalleryQuery {
            mine: false,
            cursor: None,
            ..query.get()
        })
    };
    let mine = move || {
        link(&GalleryQuery {
            mine: true,
            cursor: None,
            ..query.get()
        })
    };
    let current = move |wanted: bool| (query.with(|q| q.mine) == wanted).then_some("page");
    view! {
        <div class="gallery-bar">
            <nav class="tabs" aria-label="Whose pictures">
                <a href=everyone aria-current=move || current(false)>
                    "Everyone’s"
                </a>
                <a href=mine aria-current=move || current(true) data-testid="mine">
                    "Mine"
                </a>
            </nav>
            <Suspense>
                {move || Suspend::new(async move {
                    // Without the models the pictures are listed all the same, unfiltered.
                    let models = models.await.unwrap_or_default();
                    view! { <Choices models query /> }
                })}
            </Suspense>
            <a
                class="export"
                rel="external"
                download="demo-hub-pictures.zip"
                href="/api/v1/images/export"
                data-testid="export"
                hidden=move || !query.with(|q| q.mine)
            >
                "Download all of mine (zip)"
            </a>
        </div>
    }
    .into_any()
}

#[component]
fn Choices(models: Vec<ModelSummary>, query: Memo<GalleryQuery>) -> impl IntoView {
    let first = query.get_untracked();
    let mut creators: Vec<String> = models.iter().map(|m| m.creator.clone()).collect();
    creators.extend(first.creator.clone());
    creators.sort();
    creators.dedup();
    let mut named: Vec<(String, String)> = models.into_iter().map(|m| (m.id, m.name)).collect();
    // Of a model that is gone pictures may be left.
    if let Some(id) = &first.model
        && named.iter().all(|(known, _)| known != id)
    {
        named.push((id.clone(), id.clone()));
    }
    let navigate = use_navigate();
    let apply = move |changed: GalleryQuery| {
        navigate(&link(&changed), NavigateOptions::default());
    };
    let choose_model = {
        let apply = apply.clone();
        move |value: String| {
            apply(GalleryQuery {
                model: (!value.is_empty()).then_some(value),
                cursor: None,
                ..query.get_untracked()
            });
        }
    };
    let choose_creator = move |value: String| {
        apply(GalleryQuery {
            creator: (!value.is_empty()).then_some(value),
            cursor: None,
            ..query.get_untracked()
        });
    };
    let options = |all: Vec<(String, String)>, chosen: Option<String>| {
        all.into_iter()
            .map(|(value, text)| {
                let selected = chosen.as_ref() == Some(&value);
                view! {
                    <option value=value selected=selected>
                        {text}
                    </option>
                }
            })
            .collect_view()
    };
    let creators = creators.into_iter().map(|c| (c.clone(), c)).collect();
    view! {
        <form class="choices" action="/gallery" aria-label="Filter the pictures">
            {first.mine.then(|| view! { <input type="hidden" name="mine" value="true" /> })}
            <label>
                <span>"Model"</span>
                <select
                    name="model"
                    data-testid="filter-model"
                    prop:value=move || query.with(|q| q.model.clone().unwrap_or_default())
                    on:change:target=move |e| choose_model(e.target().value())
                >
                    <option value="">"All"</option>
                    {options(named, first.model)}
                </select>
            </label>
            <label>
                <span>"Creator"</span>
                <select
                    name="creator"
                    data-testid="filter-creator"
                    prop:value=move || query.with(|q| q.creator.clone().unwrap_or_default())
                    on:change:target=move |e| choose_creator(e.target().value())
                >
                    <option value="">"All"</option>
                    {options(creators, first.creator)}
                </select>
            </label>
            <noscript>
                <button class="button quiet" type="submit">
                    "Show"
                </button>
            </noscript>
        </form>
    }
    .into_any()
}
