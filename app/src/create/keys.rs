//! What the keyboard can do on this page, and the list of it.

use leptos::prelude::*;

use super::Studio;
use super::studio::Models;

/// Id of the list.
pub(super) const LIST: &str = "keys";

/// Keys and what they do; those without Ctrl are read outside of fields only.
const KEYS: [(&str, &str); 5] = [
    ("Ctrl + Enter", "Generate, or add to the queue"),
    ("/", "Go to the prompt"),
    ("[", "The picture before, of those made together"),
    ("]", "The picture after"),
    ("?", "Open and close this list"),
];

/// The list, folded; `?` opens it.
#[component]
pub(super) fn Keys(models: Models) -> impl IntoView {
    let studio = expect_context::<Studio>();
    studio.listen_to_keys(models);
    let rows = KEYS.map(|(key, action)| {
        view! {
            <div>
                <dt>
                    <kbd>{key}</kbd>
                </dt>
                <dd>{action}</dd>
            </div>
        }
    });
    view! {
        <details class="more" id=LIST data-testid="keys">
            <summary>"Keys"</summary>
            <dl class="facts keys">{rows.into_iter().collect_view()}</dl>
        </details>
    }
    .into_any()
}
