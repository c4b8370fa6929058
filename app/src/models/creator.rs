//! `/creators/{owner}`: everything that one creator made.

use leptos::prelude::*;
use leptos_meta::{Link, Meta, Title};
use leptos_router::hooks::{use_params_map, use_query_map};
use protocol::CreatorPage as Page;

use super::json_ld::{JsonLd, creator};
use super::list::listing;
use super::provenance::Sources;
use crate::data;
use crate::format::encode;
use crate::parts::fetched;

/// A creator's models.
#[component]
pub(crate) fn CreatorPage() -> impl IntoView {
    let params = use_params_map();
    let query = use_query_map();
    let asked = move || {
        (
            params.read().get("owner").unwrap_or_default(),
            query.read().get("cursor").filter(|c| !c.is_empty()),
        )
    };
    let page = Resource::new(asked, |(owner, cursor)| data::creator(owner, cursor));
    fetched(page, "Loading the models…", |page| {
        view! { <Shown page /> }.into_any()
    })
}

#[component]
fn Shown(page: Page) -> impl IntoView {
    let origin = data::origin();
    let title = format!("Models by {}", page.owner);
    let description = format!(
        "Text-to-image models by {}, with their papers and licences.",
        page.owner
    );
    let address = format!("{origin}/creators/{}", encode(&page.owner));
    let json = creator(&page, &origin);
    let image = page
        .items
        .iter()
        .find_map(|card| card.sample.as_ref())
        .map(|sample| crate::parts::absolute(&origin, &sample.url));
    let next = page
        .next_cursor
        .map(|c| format!("/creators/{}?cursor={}", encode(&page.owner), encode(&c)));
    view! {
        <Title text=title.clone() />
        <Meta name="description" content=description.clone() />
        <Meta property="og:type" content="profile" />
        <Meta property="og:site_name" content="Demo Hub" />
        <Meta property="og:title" content=title.clone() />
        <Meta property="og:description" content=description />
        <Meta property="og:url" content=address.clone() />
        {image.map(|image| view! { <Meta property="og:image" content=image /> })}
        <Link rel="canonical" href=address />
        <main id="main" class="page">
            <JsonLd json />
            <div class="page-head">
                <p class="eyebrow">"Creator"</p>
                <h1>{page.owner}</h1>
                {page
                    .hub_url
                    .map(|href| {
                        view! {
                            <p class="lead">
                                <a href=href rel="noopener">
                                    "Profile on Hugging Face"
                                </a>
                            </p>
                        }
                    })}
            </div>
            {listing(page.items, false)}
            {next
                .map(|href| {
                    view! {
                        <nav class="pager" aria-label="Pages of this creator">
                            <a class="button quiet" rel="next" href=href>
                                "More models"
                            </a>
                        </nav>
                    }
                })}
            <Sources provenance=page.provenance />
        </main>
    }
    .into_any()
}
