//! What the gallery showed when it was left, for the way back.

use leptos::prelude::*;
use protocol::{GalleryPage, GalleryQuery};

/// Handle on the pictures of the last visit; lives as long as the application.
#[derive(Clone, Copy)]
pub(crate) struct Shelf(StoredValue<Option<Visit>>);

struct Visit {
    query: GalleryQuery,
    page: GalleryPage,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(StoredValue::new(None))
    }

    /// Keeps what is shown now: all pictures since the first of `query`.
    pub(super) fn keep(self, query: GalleryQuery, page: GalleryPage) {
        self.0.set_value(Some(Visit { query, page }));
    }

    /// What was shown for `query`, if the visitor came by the browser's back or forward button.
    pub(super) fn take_back(self, query: &GalleryQuery) -> Option<GalleryPage> {
        let came_back = came_back();
        self.0.with_value(|visit| {
            let visit = visit.as_ref()?;
            (came_back && visit.query == *query).then(|| visit.page.clone())
        })
    }
}

fn came_back() -> bool {
    #[cfg(browser)]
    return super::window::came_back();
    #[cfg(not(browser))]
    false
}
