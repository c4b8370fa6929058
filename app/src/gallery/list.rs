//! The pictures, which grow at their end as the visitor comes near it.

use leptos::prelude::*;
use protocol::{GalleryPage, GalleryQuery, ImageRecord, Problem};

use super::link;
use super::shelf::Shelf;
use crate::parts::ProblemNote;
use crate::parts::Tile;

/// Pictures that one page grows to; from there on the link leads to the next page, so that the page stays light.
const MOST: usize = 240;

/// What is listed.
#[derive(Clone, Copy)]
struct Grown {
    /// From the first picture of `query` on.
    items: RwSignal<Vec<ImageRecord>>,
    /// Where the next ones begin.
    next: RwSignal<Option<String>>,
    loading: RwSignal<bool>,
    problem: RwSignal<Option<Problem>>,
    query: StoredValue<GalleryQuery>,
    shelf: Shelf,
}

#[component]
pub(super) fn List(page: GalleryPage, query: GalleryQuery) -> impl IntoView {
    let shelf = expect_context::<Shelf>();
    let older = query.cursor.is_some();
    let newest = link(&GalleryQuery {
        cursor: None,
        ..query.clone()
    });
    shelf.keep(query.clone(), page.clone());
    let grown = Grown {
        items: RwSignal::new(page.items),
        next: RwSignal::new(page.next_cursor),
        loading: RwSignal::new(false),
        problem: RwSignal::new(None),
        query: StoredValue::new(query),
        shelf,
    };
    let end = NodeRef::<leptos::html::A>::new();
    grown.follow(end);
    let next = move || {
        link(&GalleryQuery {
            cursor: grown.next.get(),
            ..grown.query.get_value()
        })
    };
    let press = move |event: leptos::ev::MouseEvent| {
        if !grown.is_full() {
            event.prevent_default();
            grown.more(true);
        }
    };
    let said = move || {
        let shown = match grown.items.with(Vec::len) {
            1 => "1 picture".to_owned(),
            n => format!("{n} pictures"),
        };
        if grown.loading.get() {
            "Loading older pictures…".to_owned()
        } else if grown.next.with(Option::is_none) {
            format!("{shown}; there are no older ones.")
        } else {
            format!("{shown} shown.")
        }
    };
    view! {
        <ul class="tiles">
            <For each=move || grown.items.get() key=|item| item.id.clone() let:item>
                <Tile item />
            </For>
        </ul>
        <div class="alert" role="alert">
            {move || grown.problem.get().map(|problem| view! { <ProblemNote problem name="more-error" /> })}
        </div>
        <nav class="pager" aria-label="Pages of the gallery">
            {older.then(|| view! { <a class="button quiet" href=newest>"Newest pictures"</a> })}
            <Show when=move || grown.next.with(Option::is_some)>
                <a
                    node_ref=end
                    class="button quiet"
                    rel="next"
                    data-testid="older"
                    href=next
                    on:click=press
                >
                    "Older pictures"
                </a>
            </Show>
            <p class="note" role="status" data-testid="shown">
                {said}
            </p>
        </nav>
    }
    .into_any()
}

impl Grown {
    /// Whether the next pictures go to a page of their own.
    fn is_full(self) -> bool {
        self.items.with_untracked(Vec::len) >= MOST
    }
}

#[cfg(browser)]
impl Grown {
    /// Loads more whenever `end` comes near the window.
    fn follow(self, end: NodeRef<leptos::html::A>) {
        use super::window;
        use send_wrapper::SendWrapper;

        if window::came_back() {
            window::scroll_back();
        }
        let look_again = StoredValue::new(None);
        Effect::new(move |_| {
            let Some(element) = end.get() else { return };
            let near = move || {
                if !self.is_full() {
                    self.more(false);
                }
            };
            let again = window::when_near(element.into(), near);
            look_again.set_value(again.map(SendWrapper::new));
        });
        // The end may still be near after a page was added: the browser tells changes only.
        Effect::new(move |_| {
            self.items.track();
            if let Some(again) = look_again.get_value() {
                again();
            }
        });
    }

    /// Loads the next page; `focus` moves the focus to its first picture.
    fn more(self, focus: bool) {
        let Some(cursor) = self.next.get_untracked() else {
            return;
        };
        if self.loading.get_untracked() {
            return;
        }
        self.loading.set(true);
        self.problem.set(None);
        let query = GalleryQuery {
            cursor: Some(cursor),
            ..self.query.get_value()
        };
        leptos::task::spawn_local(async move {
            let page = super::fetch(query).await;
            // The page may have been left.
            if self.loading.try_set(false).is_some() {
                return;
            }
            match page {
                Ok(page) => self.add(page, focus),
                Err(problem) => self.problem.set(Some(problem)),
            }
        });
    }

    fn add(self, page: GalleryPage, focus: bool) {
        let before = self.items.with_untracked(Vec::len);
        self.next.set(page.next_cursor);
        self.items.update(|items| {
            // A picture that was saved meanwhile moves the others on by one.
            let new = page
                .items
                .into_iter()
                .filter(|new| items.iter().all(|known| known.id != new.id))
                .collect::<Vec<_>>();
            items.extend(new);
        });
        let shown = GalleryPage {
            items: self.items.get_untracked(),
            next_cursor: self.next.get_untracked(),
        };
        self.shelf.keep(self.query.get_value(), shown);
        if focus {
            super::window::focus_tile(before);
        }
    }
}

#[cfg(not(browser))]
impl Grown {
    fn follow(self, end: NodeRef<leptos::html::A>) {
        let _ = (end, self.shelf);
    }

    fn more(self, focus: bool) {
        let _ = focus;
    }
}
