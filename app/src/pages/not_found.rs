//! The page for an address that names nothing.

use leptos::prelude::*;
use leptos_meta::Title;

/// Says that nothing is here and where to go; on the server the status becomes 404.
#[component]
pub(crate) fn NotFound() -> impl IntoView {
    #[cfg(feature = "ssr")]
    crate::ssr::set_status(404);
    view! {
        <Title text="Not found" />
        <main class="prose">
            <h1>"There is nothing here"</h1>
            <p>"The address may be mistyped, or the picture was never saved."</p>
            <p>
                <a href="/">"Make a picture"</a>
                " or "
                <a href="/gallery">"look at the gallery"</a>
                "."
            </p>
        </main>
    }
}
