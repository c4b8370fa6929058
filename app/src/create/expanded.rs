//! What the alternatives in a prompt stand for, as the visitor types them.

use leptos::prelude::*;

use super::Studio;
use super::alternatives::expand;
use super::link::MAX_PICTURES;

/// The prompts that the one in the form stands for; nothing where that is itself.
#[component]
pub(super) fn Expanded() -> impl IntoView {
    let studio = expect_context::<Studio>();
    let prompts = Memo::new(move |_| {
        let prompts = studio.settings.with(|s| expand(&s.prompt, MAX_PICTURES));
        Some(prompts).filter(|prompts| !matches!(prompts, Ok(one) if one.len() < 2))
    });
    let said = move || {
        prompts.get().map(|prompts| match prompts {
            Ok(prompts) => {
                let count = prompts.len();
                let items = prompts.into_iter().map(|prompt| view! { <li>{prompt}</li> });
                view! {
                    <p>{format!("These are {count} prompts:")}</p>
                    <ol data-testid="expanded">{items.collect_view()}</ol>
                }
                .into_any()
            }
            Err(count) => {
                let sentence = format!(
                    "These are {count} prompts; at most {MAX_PICTURES} pictures are asked for at once."
                );
                view! { <p class="refused">{sentence}</p> }.into_any()
            }
        })
    };
    view! {
        <div class="expanded note" aria-live="polite">
            {said}
        </div>
    }
}
