//! Who said it, when, and what is missing because somebody did not answer.

use leptos::prelude::*;
use protocol::{Provenance, Source};

use crate::format;

/// The sources of a page.
#[component]
pub(crate) fn Sources(
    /// In this order.
    provenance: Vec<Provenance>,
) -> impl IntoView {
    let lines = provenance
        .into_iter()
        .map(|one| view! { <li>{sentence(&one)}</li> })
        .collect::<Vec<_>>();
    (!lines.is_empty()).then(|| {
        view! {
            <section class="provenance" aria-label="Sources" data-testid="sources">
                <ul>{lines}</ul>
            </section>
        }
    })
}

fn sentence(one: &Provenance) -> String {
    let source = match one.source {
        Source::Package => return "From this hub's own package and catalogue.".to_owned(),
        Source::Hub => "Hugging Face Hub",
        Source::Arxiv => "arXiv",
    };
    let asked = one.fetched_at.map(format::date_time);
    let trouble = one.trouble.as_ref().map(|t| t.detail.trim_end_matches('.'));
    match (asked, trouble) {
        (Some(at), None) if one.stale => format!("{source}, as of {at}; newer facts are due."),
        (Some(at), None) => format!("{source}, as of {at}."),
        (Some(at), Some(why)) => format!("{source}, as of {at}, and not since: {why}."),
        (None, Some(why)) => format!("{source} told nothing: {why}."),
        (None, None) => format!("{source} was not asked yet."),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Trouble, TroubleKind};

    use super::*;

    #[test]
    fn every_state_has_its_sentence() {
        let hub = |fetched_at, stale, trouble: Option<&str>| {
            sentence(&Provenance {
                source: Source::Hub,
                fetched_at,
                stale,
                trouble: trouble.map(|detail| Trouble {
                    kind: TroubleKind::Timeout,
                    detail: detail.into(),
                }),
            })
        };
        let at = Some(1_767_225_600_000);
        assert_eq!(
            hub(at, false, None),
            "Hugging Face Hub, as of 2026-01-01 00:00 UTC."
        );
        assert_eq!(
            hub(at, true, Some("no answer in time.")),
            "Hugging Face Hub, as of 2026-01-01 00:00 UTC, and not since: no answer in time."
        );
        assert_eq!(
            hub(None, false, Some("this hub is set up not to ask")),
            "Hugging Face Hub told nothing: this hub is set up not to ask."
        );
        assert_eq!(
            hub(None, false, None),
            "Hugging Face Hub was not asked yet."
        );
    }
}
