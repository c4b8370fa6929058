//! The papers that a model comes from.

use leptos::prelude::*;
use protocol::{Author, PaperRecord};

use crate::format::encode;
use crate::models::bibtex;
use crate::parts::CopyButton;

/// Authors named before the rest is folded away.
const SHOWN_AUTHORS: usize = 24;

#[component]
pub(super) fn Papers(papers: Vec<PaperRecord>) -> impl IntoView {
    if papers.is_empty() {
        return view! {
            <section aria-labelledby="paper-title">
                <h2 id="paper-title">"Paper"</h2>
                <p class="note">"This model names no paper."</p>
            </section>
        }
        .into_any();
    }
    let base_is_known = papers.iter().any(|paper| paper.base);
    let several = papers.len() > 1;
    papers
        .into_iter()
        .map(|paper| {
            let eyebrow = eyebrow(several && base_is_known, paper.base);
            view! { <PaperNote paper eyebrow /> }
        })
        .collect_view()
        .into_any()
}

/// What a paper is to the model; whether one of several is known to be the one that it comes from.
fn eyebrow(base_is_known: bool, base: bool) -> &'static str {
    match (base_is_known, base) {
        (true, true) => "Base paper",
        (true, false) => "Further paper",
        (false, _) => "Paper",
    }
}

#[component]
fn PaperNote(paper: PaperRecord, eyebrow: &'static str) -> impl IntoView {
    let title = match (&paper.title, &paper.arxiv_id, &paper.doi) {
        (Some(title), ..) => title.clone(),
        (None, Some(id), _) => format!("arXiv:{id}"),
        (None, None, Some(doi)) => format!("doi:{doi}"),
        (None, None, None) => "Untitled".to_owned(),
    };
    let missing = match (&paper.title, &paper.abstract_text) {
        (None, _) => Some("Its title, authors and abstract are not known here yet."),
        (Some(_), None) => Some("Its abstract is not known here yet."),
        _ => None,
    };
    let cite = bibtex::entry(&paper).map(|entry| {
        let copied = entry.clone();
        view! {
            <details class="more">
                <summary>"Cite as BibTeX"</summary>
                <pre class="bibtex" tabindex="0" aria-label="BibTeX entry" data-testid="bibtex">
                    {entry}
                </pre>
                <CopyButton label="Copy BibTeX" text=move || copied.clone() />
            </details>
        }
    });
    let arxiv = paper.arxiv_id.map(|id| {
        view! {
            <a href=format!("https://arxiv.org/abs/{id}") rel="noopener">
                {format!("arXiv:{id}")}
            </a>
        }
    });
    let doi = paper.doi.map(|doi| {
        view! {
            <a href=format!("https://doi.org/{}", encode_path(&doi)) rel="noopener">
                {format!("doi:{doi}")}
            </a>
        }
    });
    view! {
        <section data-testid="paper">
            <p class="eyebrow">{eyebrow}</p>
            <h2>{title}</h2>
            <Authors authors=paper.authors />
            {paper.published.map(|day| view! { <p class="byline">{format!("First version: {day}")}</p> })}
            {paper.abstract_text.map(|text| view! { <p class="abstract">{text}</p> })}
            {missing.map(|text| view! { <p class="note">{text}</p> })}
            <p class="facts paper-links">{arxiv} {doi}</p>
            {cite}
        </section>
    }
    .into_any()
}

/// All authors, each with a link to more of their work.
#[component]
fn Authors(authors: Vec<Author>) -> impl IntoView {
    if authors.is_empty() {
        return ().into_any();
    }
    let mut authors = authors;
    let rest = authors.split_off(authors.len().min(SHOWN_AUTHORS));
    let folded = (!rest.is_empty()).then(|| {
        view! {
            <details class="authors-more">
                <summary>{format!("and {} more", rest.len())}</summary>
                {names(rest)}
            </details>
        }
    });
    view! {
        <div class="authors" data-testid="authors">
            {names(authors)}
            {folded}
        </div>
    }
    .into_any()
}

fn names(authors: Vec<Author>) -> impl IntoView {
    let last = authors.len().saturating_sub(1);
    let names: Vec<_> = authors
        .into_iter()
        .enumerate()
        .map(|(index, author)| {
            let href = profile(&author);
            let comma = if index < last { ", " } else { "" };
            view! {
                <a href=href rel="noopener">
                    {author.name}
                </a>
                {comma}
            }
        })
        .collect();
    view! { <p>{names}</p> }
}

/// The account that the author claimed the paper with, else the author's papers on arXiv.
fn profile(author: &Author) -> String {
    match &author.hub_user {
        Some(user) => format!("https://huggingface.co/{}", encode(user)),
        None => format!(
            "https://arxiv.org/search/?searchtype=author&query={}",
            encode(&author.name)
        ),
    }
}

/// A DOI keeps its slash.
fn encode_path(doi: &str) -> String {
    doi.split('/').map(encode).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_evidence_no_paper_is_the_base() {
        assert_eq!(eyebrow(true, true), "Base paper");
        assert_eq!(eyebrow(true, false), "Further paper");
        assert_eq!(eyebrow(false, false), "Paper");
        // The only one, even where it is known to be the base.
        assert_eq!(eyebrow(false, true), "Paper");
    }

    #[test]
    fn addresses_hold_nothing_but_the_text() {
        assert_eq!(
            profile(&Author::named("Ana \"B\" <c>")),
            "https://arxiv.org/search/?searchtype=author&query=Ana%20%22B%22%20%3Cc%3E"
        );
        let claimed = Author {
            hub_user: Some("../evil?x".into()),
            ..Author::named("x")
        };
        assert_eq!(profile(&claimed), "https://huggingface.co/..%2Fevil%3Fx");
        assert_eq!(encode_path("10.1109/a b"), "10.1109/a%20b");
    }
}
