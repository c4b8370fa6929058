//! The page for an address that names nothing.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::response::set_status;

/// Says that nothing is here and where to go; on the server the status becomes 404.
#[component]
pub(crate) fn NotFound() -> impl IntoView {
    set_status(404);
    view! {
        <Title text="Not found" />
        <main id="main" class="page prose">
            <h1>"There is nothing here"</h1>
            <p class="lead">"The address may be mistyped, or the picture was never saved."</p>
            <p class="actions">
                <a class="button" href="/">
                    "Make a picture"
                </a>
                <a class="button quiet" href="/gallery">
                    "See the gallery"
                </a>
            </p>
        </main>
    }
}
