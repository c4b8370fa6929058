//! Scrolling and history of the browser's window.

use std::cell::Cell;
use std::rc::Rc;

use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{Element, IntersectionObserver, IntersectionObserverEntry, IntersectionObserverInit};

/// How far below the window the end of the list may be before more is loaded.
const MARGIN: &str = "800px";

thread_local! {
    /// The last move through the history was by a button of the browser, not by a link.
    static CAME_BACK: Cell<bool> = const { Cell::new(false) };
    /// Where the window was at the last click, which may have left the page.
    static LEFT_AT: Cell<f64> = const { Cell::new(0.0) };
}

/// Watches how the visitor moves; before the router does, which acts on the same events.
pub(crate) fn watch() {
    let on_pop = Closure::<dyn Fn()>::new(|| CAME_BACK.set(true));
    let on_click = Closure::<dyn Fn()>::new(|| {
        CAME_BACK.set(false);
        LEFT_AT.set(window().scroll_y().unwrap_or_default());
    });
    let window = window();
    let listening = window
        .add_event_listener_with_callback("popstate", on_pop.as_ref().unchecked_ref())
        .and_then(|()| {
            let callback = on_click.as_ref().unchecked_ref();
            window.add_event_listener_with_callback_and_bool("click", callback, true)
        });
    if let Err(error) = listening {
        leptos::logging::error!("the way back cannot be watched: {error:?}");
    }
    on_pop.forget();
    on_click.forget();
}

pub(super) fn came_back() -> bool {
    CAME_BACK.get()
}

/// Scrolls to where the window was before the visitor left.
pub(super) fn scroll_back() {
    let at = LEFT_AT.get();
    // Two frames: one to lay the pictures out, one in which the browser has done its own scrolling.
    request_animation_frame(move || {
        request_animation_frame(move || {
            let options = web_sys::ScrollToOptions::new();
            options.set_top(at);
            options.set_behavior(web_sys::ScrollBehavior::Instant);
            window().scroll_to_with_scroll_to_options(&options);
        });
    });
}

/// Calls `near` whenever `element` comes near the window, until the current owner ends; gives what looks again.
pub(super) fn when_near(element: Element, near: impl Fn() + 'static) -> Option<Rc<dyn Fn()>> {
    let on_change = Closure::<dyn Fn(js_sys::Array)>::new(move |entries: js_sys::Array| {
        let enters = |entry: JsValue| {
            entry
                .dyn_into::<IntersectionObserverEntry>()
                .is_ok_and(|entry| entry.is_intersecting())
        };
        if entries.iter().any(enters) {
            near();
        }
    });
    let options = IntersectionObserverInit::new();
    options.set_root_margin(&format!("0px 0px {MARGIN} 0px"));
    let observer =
        IntersectionObserver::new_with_options(on_change.as_ref().unchecked_ref(), &options)
            .ok()?;
    observer.observe(&element);
    let again = {
        let observer = observer.clone();
        Rc::new(move || {
            observer.unobserve(&element);
            observer.observe(&element);
        })
    };
    let kept = send_wrapper::SendWrapper::new((observer, on_change));
    on_cleanup(move || {
        let (observer, on_change) = kept.take();
        observer.disconnect();
        drop(on_change);
    });
    Some(again)
}

/// Focuses the link of the tile at `index`.
pub(super) fn focus_tile(index: usize) {
    request_animation_frame(move || {
        let selector = format!(".tiles > li:nth-child({}) > a", index + 1);
        let tile = document().query_selector(&selector).ok().flatten();
        if let Some(link) = tile.and_then(|tile| tile.dyn_into::<web_sys::HtmlElement>().ok()) {
            // Fails only for what cannot have the focus.
            let _ = link.focus();
        }
    });
}
