//! `/gallery`: stored pictures, newest first.

mod filters;
mod list;
mod shelf;
#[cfg(browser)]
mod window;

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::use_query_map;
use protocol::{GalleryPage, GalleryQuery, Problem};

use self::filters::Filters;
use self::list::List;
use crate::data;
use crate::format::encode;
use crate::parts::ProblemNote;
use crate::response::set_status;

pub(crate) use self::shelf::Shelf;
#[cfg(browser)]
pub(crate) use self::window::watch;

/// The gallery from the page of `?cursor=` on, filtered by `?model=`, `?creator=` and `?mine=true`.
#[component]
pub(crate) fn Gallery() -> impl IntoView {
    let map = use_query_map();
    let shelf = expect_context::<Shelf>();
    let query = Memo::new(move |_| map.with(|map| asked(|name| map.get(name))));
    let page = Resource::new(
        move || query.get(),
        move |query| async move {
            match shelf.take_back(&query) {
                Some(page) => Ok(page),
                None => fetch(query).await,
            }
        },
    );
    let mine = move || query.with(|q| q.mine);
    view! {
        <Title text=move || if mine() { "My pictures" } else { "Gallery" } />
        <Meta name="description" content="Pictures made on Demo Hub, newest first." />
        <main id="main" class="page">
            <div class="page-head">
                <h1>{move || if mine() { "My pictures" } else { "Gallery" }}</h1>
                <p class="lead">
                    {move || if mine() {
                        "Saved from this browser, newest first, unlisted ones too. A cookie without your name tells whose they are: without it they stay, but nobody can change them."
                    } else {
                        "Every saved picture, newest first."
                    }}
                </p>
            </div>
            <Filters query />
            <Suspense fallback=|| {
                view! { <p class="waiting">"Loading the pictures…"</p> }
            }>
                {move || Suspend::new(async move {
                    match page.await {
                        Err(problem) => {
                            set_status(problem.status);
                            view! { <ProblemNote problem /> }.into_any()
                        }
                        Ok(page) => view! { <Pictures page query=query.get_untracked() /> }.into_any(),
                    }
                })}
            </Suspense>
        </main>
    }
}

#[component]
fn Pictures(page: GalleryPage, query: GalleryQuery) -> impl IntoView {
    if !page.items.is_empty() || page.next_cursor.is_some() {
        return view! { <List page query /> }.into_any();
    }
    let filtered = query.model.is_some() || query.creator.is_some();
    let (sentence, href, label) = match (filtered, query.mine, query.cursor.is_some()) {
        (true, _, _) => (
            "No picture passes these filters.",
            "/gallery",
            "Show all pictures",
        ),
        (_, _, true) => (
            "There are no older pictures.",
            "/gallery",
            "Newest pictures",
        ),
        (_, true, _) => (
            "You have not saved a picture from this browser.",
            "/",
            "Make one",
        ),
        _ => ("No picture was saved yet.", "/", "Make the first one"),
    };
    view! {
        <div class="empty">
            <p>{sentence}</p>
            <p>
                <a class="button" href=href>
                    {label}
                </a>
            </p>
        </div>
    }
    .into_any()
}

/// A page of the gallery. Of the visitor's own list only what a server that knows owners calls theirs.
async fn fetch(query: GalleryQuery) -> Result<GalleryPage, Problem> {
    let mine = query.mine;
    let mut page = data::gallery(GalleryQuery {
        limit: Some(data::GALLERY_PAGE),
        ..query
    })
    .await?;
    page.items.retain(|item| item.mine || !mine);
    Ok(page)
}

/// What the address asks for; what it leaves empty does not filter.
fn asked(get: impl Fn(&str) -> Option<String>) -> GalleryQuery {
    let filled = |name: &str| get(name).filter(|value| !value.is_empty());
    GalleryQuery {
        cursor: filled("cursor"),
        limit: None,
        model: filled("model"),
        creator: filled("creator"),
        mine: filled("mine").is_some_and(|value| value != "false"),
    }
}

/// Address of a query.
fn link(query: &GalleryQuery) -> String {
    let pairs: Vec<String> = query
        .pairs()
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    if pairs.is_empty() {
        "/gallery".to_owned()
    } else {
        format!("/gallery?{}", pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_bring_their_query_back() {
        let wanted = GalleryQuery {
            cursor: Some("a/b=".into()),
            model: Some("demo-hub/glyph".into()),
            mine: true,
            ..GalleryQuery::default()
        };
        assert_eq!(
            link(&wanted),
            "/gallery?cursor=a%2Fb%3D&model=demo-hub%2Fglyph&mine=true"
        );
        assert_eq!(link(&GalleryQuery::default()), "/gallery");
        let pairs = wanted.pairs();
        let get = |name: &str| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(asked(get), wanted);
        assert_eq!(asked(|_| Some(String::new())), GalleryQuery::default());
    }
}
