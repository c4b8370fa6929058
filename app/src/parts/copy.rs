//! A button that copies text.

use leptos::prelude::*;

/// Copies what `text` gives at the click, and says so.
#[component]
pub(crate) fn CopyButton(
    /// What the button says.
    label: &'static str,
    /// What is copied.
    text: impl Fn() -> String + Send + Sync + 'static,
) -> impl IntoView {
    let said = RwSignal::new(label);
    let copy = move |_: leptos::ev::MouseEvent| {
        let text = text();
        in_browser!(text => leptos::task::spawn_local(async move {
            let done = crate::browser::clipboard::copy(&text).await;
            // The page may have been left.
            said.try_set(if done {
                "Copied"
            } else {
                "Copying was refused"
            });
        }));
    };
    view! {
        <button class="button quiet" type="button" data-testid="copy" on:click=copy>
            <span aria-live="polite">{move || said.get()}</span>
        </button>
    }
    .into_any()
}
