//! `/i/{id}`: one picture for good, with everything needed to make it again.

mod actions;
mod card;
mod owner;
mod recipe;
mod report;

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use protocol::{ImageRecord, RunsOn};

use self::actions::Actions;
use self::card::Card;
use self::owner::Owner;
use self::recipe::RecipeTable;
use self::report::Report;
use crate::again::Again;
use crate::parts::fetched;
use crate::{data, format};

/// The permalink page.
#[component]
pub(crate) fn ImagePage() -> impl IntoView {
    let params = use_params_map();
    let record = Resource::new(
        move || params.read().get("id").unwrap_or_default(),
        data::image,
    );
    fetched(record, "Loading the picture…", |record| {
        view! { <Picture record /> }.into_any()
    })
}

#[component]
fn Picture(record: ImageRecord) -> impl IntoView {
    let request = &record.recipe.request;
    let alt = alt(&record);
    let prompt = request.prompt.clone();
    let model = request.model.clone();
    let owner = record
        .mine
        .then(|| view! { <Owner record=record.clone() /> });
    let report = (!record.mine).then(|| view! { <Report record=record.clone() /> });
    view! {
        <Card record=record.clone() />
        <main id="main" class="page picture-page">
            <figure class="stage">
                <img
                    class="pixels"
                    data-testid="picture"
                    src=record.url.clone()
                    alt=alt
                    width=record.width
                    height=record.height
                />
            </figure>
            <article>
                <h1 class="prompt-title">{prompt}</h1>
                <p class="lead">
                    <a href=format!("/models/{model}")>{model.clone()}</a>
                    " · "
                    <time datetime=format::date_time_attr(
                        record.created_at,
                    )>{format::date_time(record.created_at)}</time>
                </p>
                <Actions record=record.clone() />
                {owner}
                <Again record=record.clone() />
                <RecipeTable record />
                {report}
            </article>
        </main>
    }
    .into_any()
}

fn alt(record: &ImageRecord) -> String {
    format!("Generated picture of: {}", record.recipe.request.prompt)
}

/// In words.
fn place(record: &ImageRecord) -> &'static str {
    match record.recipe.place {
        RunsOn::Browser => "in a visitor's browser",
        RunsOn::Server => "on the server",
    }
}

fn option(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}
