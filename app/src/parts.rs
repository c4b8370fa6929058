//! Pieces that several pages show.

mod copy;
mod fetched;
mod not_found;
mod split;

pub(crate) use copy::CopyButton;
pub(crate) use fetched::fetched;
pub(crate) use not_found::NotFound;
pub(crate) use split::{Shown, Split};

use leptos::prelude::*;
use protocol::{ImageRecord, Problem, Visibility};

/// An address of ours with the hub's origin; any other as it is.
pub(crate) fn absolute(origin: &str, url: &str) -> String {
    if url.starts_with('/') {
        format!("{origin}{url}")
    } else {
        url.to_owned()
    }
}

/// A problem with its way out.
#[component]
pub(crate) fn ProblemNote(
    /// What happened.
    problem: Problem,
    /// `data-testid` of the note.
    #[prop(default = "problem")]
    name: &'static str,
) -> impl IntoView {
    let Problem {
        title,
        detail,
        hint,
        retry_after,
        ..
    } = problem;
    let detail =
        (!detail.eq_ignore_ascii_case(&title)).then(|| view! { <p>{sentence(&detail)}</p> });
    let hint = (!hint.is_empty()).then(|| view! { <p class="hint">{hint}</p> });
    let wait = retry_after.map(|s| view! { <p class="hint">{format!("Try again in {s} s.")}</p> });
    view! {
        <div class="problem" data-testid=name>
            <p class="problem-title">{title}</p>
            {detail}
            {hint}
            {wait}
        </div>
    }
    .into_any()
}

/// First letter upper case, full stop at the end.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.trim().chars();
    let mut out: String = chars
        .next()
        .map(|c| c.to_uppercase().chain(chars).collect())
        .unwrap_or_default();
    if !out.is_empty() && !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

/// Pictures as tiles that link to their pages.
#[component]
pub(crate) fn Tiles(
    /// What to show, in this order.
    items: Vec<ImageRecord>,
) -> impl IntoView {
    let tiles: Vec<_> = items
        .into_iter()
        .map(|item| view! { <Tile item /> })
        .collect();
    view! { <ul class="tiles">{tiles}</ul> }.into_any()
}

/// One picture of a list of tiles.
#[component]
pub(crate) fn Tile(
    /// What to show.
    item: ImageRecord,
) -> impl IntoView {
    let (width, height) = match &item.thumbnail {
        Some(small) => (small.width, small.height),
        None => (item.width, item.height),
    };
    let src = item.thumbnail_url().to_owned();
    let prompt = item.recipe.request.prompt;
    let note = match item.visibility {
        Visibility::Private => Some("Only you"),
        Visibility::Unlisted => Some("Unlisted"),
        Visibility::Listed => None,
    }
    .map(|note| view! { <span class="tile-note">{note}</span> });
    view! {
        <li>
            <a class="tile" href=item.permalink>
                <img
                    class="pixels"
                    src=src
                    alt=format!("Generated picture of: {prompt}")
                    width=width
                    height=height
                    loading="lazy"
                    decoding="async"
                />
                <span class="tile-prompt">{prompt}</span>
                {note}
            </a>
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn details_become_sentences() {
        assert_eq!(sentence("the prompt is empty"), "The prompt is empty.");
        assert_eq!(sentence("Why?"), "Why?");
        assert_eq!(sentence(" "), "");
    }
}
