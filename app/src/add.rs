//! `/models/add`: who looks after the hub adds a model of another one. All that acts is a form, so that it works without scripts; with
//! them, progress is followed.

mod additions;
mod choices;
mod look;
mod packages;
mod sign_in;

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::use_query_map;
use protocol::{AddingPage, AdditionRequest, Problem, ProblemCode};

use crate::parts::ProblemNote;
use crate::parts::fetched;
use crate::{data, response};

/// The page.
#[component]
pub(crate) fn AddModel() -> impl IntoView {
    let query = use_query_map();
    let asked = Memo::new(move |_| {
        let query = query.read();
        let filled = |name: &str| query.get(name).filter(|text| !text.trim().is_empty());
        Some(AdditionRequest {
            id: filled("id")?,
            revision: filled("revision"),
            ..AdditionRequest::default()
        })
    });
    let page = Resource::new(move || asked.get(), data::adding);
    response::keep_private();
    view! {
        <Title text="Add a model" />
        <Meta name="robots" content="noindex" />
        {fetched(page, "Looking at the hub…", |page| view! { <Shown page /> }.into_any())}
    }
}

#[component]
fn Shown(page: AddingPage) -> impl IntoView {
    let AddingPage {
        signed_in,
        look,
        additions,
        packages,
    } = page;
    let query = use_query_map();
    let (typed, problem) = {
        let query = query.read_untracked();
        let problem = query.get("problem");
        (
            query.get("id").unwrap_or_default(),
            problem.and_then(|code| told(&code)),
        )
    };
    let body = if signed_in {
        view! {
            <look::Search typed=typed.clone() />
            {look.map(|look| view! { <look::Looked look /> })}
            <additions::Additions additions />
            <packages::Packages packages />
        }
        .into_any()
    } else {
        view! { <sign_in::SignIn id=typed /> }.into_any()
    };
    view! {
        <main id="main" class="page adding">
            <div class="page-head with-action">
                <div>
                    <h1>"Add a model"</h1>
                    <p class="lead">
                        "Any text-to-image model whose author published it on the hub, from their own weight files."
                    </p>
                </div>
                {signed_in.then(|| view! { <sign_in::SignOut /> })}
            </div>
            <div class="alert" role="alert">
                {problem.map(|problem| view! { <ProblemNote problem name="adding-problem" /> })}
            </div>
            {body}
        </main>
    }
    .into_any()
}

/// What a form was refused for, by the code that it leads back with.
fn told(code: &str) -> Option<Problem> {
    let code = ProblemCode::ALL
        .into_iter()
        .find(|known| known.name() == code)?;
    let (detail, hint) = match code {
        ProblemCode::NotSignedIn => (
            "That is not the token of this hub, or the session has ended.",
            "It is what the hub was started with as --admin-token.",
        ),
        ProblemCode::RateLimited => (
            "Too many wrong tokens were sent from this address.",
            "Wait a quarter of an hour, then try again.",
        ),
        ProblemCode::ForeignOrigin => (
            "The form was not sent by this page.",
            "Open this page itself and try again.",
        ),
        ProblemCode::Conflict => (
            "The model is here or being added already, another one has not ended, or its folder holds other files.",
            "Look at the lists below.",
        ),
        ProblemCode::OutOfRange => (
            "That is not the id of a model, or a choice does not exist.",
            "Paste owner/name, owner/name@revision, or the address of the model's page.",
        ),
        ProblemCode::UnknownModel | ProblemCode::NotFound => {
            ("It is not here any more.", "Reload the page.")
        }
        _ => ("It could not be done.", "Try again in a moment."),
    };
    Some(Problem::new(code, detail).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_to_sentences_and_other_words_to_none() {
        let told = |code: &str| super::told(code).map(|problem| problem.code);
        assert_eq!(told("not_signed_in"), Some(ProblemCode::NotSignedIn));
        assert_eq!(told("<script>"), None);
        assert_eq!(told(""), None);
    }
}
