//! `/gallery`: stored pictures, newest first.

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::use_query_map;
use protocol::GalleryQuery;

use super::parts::{ProblemNote, Tiles, set_status};
use crate::data;
use crate::settings::encode;

/// One page of the gallery, chosen by `?cursor=`.
#[component]
pub(crate) fn Gallery() -> impl IntoView {
    let query = use_query_map();
    let cursor = move || query.read().get("cursor").filter(|c| !c.is_empty());
    let page = Resource::new(cursor, |cursor| {
        data::gallery(GalleryQuery {
            cursor,
            limit: Some(data::GALLERY_PAGE),
            ..GalleryQuery::default()
        })
    });
    view! {
        <Title text="Gallery" />
        <Meta name="description" content="Pictures made on Demo Hub, newest first." />
        <main id="main" class="page">
            <div class="page-head">
                <h1>"Gallery"</h1>
                <p class="lead">"Every saved picture, newest first."</p>
            </div>
            <Suspense fallback=|| {
                view! { <p class="waiting">"Loading the pictures…"</p> }
            }>
                {move || {
                    let older = cursor().is_some();
                    Suspend::new(async move {
                    match page.await {
                        Err(problem) => {
                            set_status(problem.status);
                            view! { <ProblemNote problem /> }.into_any()
                        }
                        Ok(page) if page.items.is_empty() => {
                            view! {
                                <div class="empty">
                                    <p>"No picture was saved yet."</p>
                                    <p>
                                        <a class="button" href="/">
                                            "Make the first one"
                                        </a>
                                    </p>
                                </div>
                            }
                                .into_any()
                        }
                        Ok(page) => {
                            let next = page.next_cursor.map(|c| format!("/gallery?cursor={}", encode(&c)));
                            view! {
                                <Tiles items=page.items />
                                <nav class="pager" aria-label="Pages of the gallery">
                                    {older.then(|| view! { <a class="button quiet" href="/gallery">"Newest pictures"</a> })}
                                    {next
                                        .map(|href| {
                                            view! {
                                                <a class="button quiet" rel="next" href=href>
                                                    "Older pictures"
                                                </a>
                                            }
                                        })}
                                </nav>
                            }
                                .into_any()
                        }
                    }
                })}}
            </Suspense>
        </main>
    }
}
