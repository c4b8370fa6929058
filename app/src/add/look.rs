//! A model that is looked at before it is added.

use leptos::prelude::*;
use protocol::{Gated, License, LicenseUse, LookedComponent, ModelLook, Problem};

use super::choices::Choices;
use crate::format;
use crate::parts::ProblemNote;
use crate::parts::sentence;

/// Characters of a commit that are shown.
const SHORT: usize = 10;

/// The field for a model's id.
#[component]
pub(super) fn Search(typed: String) -> impl IntoView {
    let looking = RwSignal::new(false);
    view! {
        <form
            class="look-for"
            action="/models/add"
            role="search"
            aria-label="Look for a model"
            on:submit=move |_| looking.set(true)
        >
            <div class="field">
                <label for="id">"Model on the hub"</label>
                <input
                    id="id"
                    name="id"
                    type="text"
                    required
                    maxlength="300"
                    autocapitalize="off"
                    autocomplete="off"
                    spellcheck="false"
                    placeholder="stabilityai/sd-turbo"
                    aria-describedby="id-note"
                    value=typed
                />
            </div>
            <button class="button" type="submit" data-testid="look">
                "Look"
            </button>
            <p class="note" id="id-note">
                "owner/name, owner/name@revision, or the address of its page. Looking fetches its small files and the headers of its weights."
            </p>
            <p class="note" role="status" data-testid="looking">
                {move || looking.get().then_some("Looking at the hub…")}
            </p>
        </form>
    }
    .into_any()
}

/// What was found, or why nothing was.
#[component]
pub(super) fn Looked(look: Result<ModelLook, Problem>) -> impl IntoView {
    match look {
        Ok(look) => view! { <Found look /> }.into_any(),
        Err(problem) => view! {
            <section class="look" aria-label="What was found">
                <ProblemNote problem name="look-problem" />
            </section>
        }
        .into_any(),
    }
}

#[component]
fn Found(look: ModelLook) -> impl IntoView {
    let commit: String = look.revision.chars().take(SHORT).collect();
    let pipeline = look.pipeline.clone();
    let facts = facts(&look);
    let components = (!look.components.is_empty())
        .then(|| view! { <Components components=look.components.clone() /> });
    let notes = look.notes.iter().map(|note| sentence(note));
    let notes = notes.map(|note| view! { <li>{note}</li> }).collect_view();
    let notes =
        (!look.notes.is_empty()).then(|| view! { <ul class="plain-list note">{notes}</ul> });
    let end = if look.is_here {
        view! {
            <p class="note-box">
                "A model with this id is here already. "
                <a href=format!("/models/{}", look.id)>"Open its page"</a>
            </p>
        }
        .into_any()
    } else if let Some(refusal) = look.refusal.clone() {
        view! {
            <div class="problem" data-testid="refusal">
                <p class="problem-title">"This hub cannot add it"</p>
                <p>{refusal}</p>
            </div>
        }
        .into_any()
    } else {
        view! { <Choices look=look.clone() /> }.into_any()
    };
    view! {
        <section class="panel look" aria-labelledby="look-title" data-testid="look-result">
            <div>
                <h2 id="look-title">{look.id.clone()}</h2>
                <p class="byline">
                    <a href=look.hub_url.clone() rel="noopener">
                        "On the hub"
                    </a>
                    {format!(", at {commit}")}
                    {pipeline.map(|class| format!(", a {class}"))}
                </p>
            </div>
            <ul class="needs">{facts}</ul>
            {components}
            {notes}
            {end}
        </section>
    }
    .into_any()
}

/// How a fact is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Good,
    Care,
    Bad,
}

fn facts(look: &ModelLook) -> Vec<AnyView> {
    let mut facts = vec![licence(look.license.as_ref())];
    match look.gated {
        Some(Gated::Automatic) => facts.push(fact(
            Means::Care,
            "Its terms have to be agreed to.",
            "The hub gives the files to those who did, on its page; this hub shows its --hub-token.".into_any(),
        )),
        Some(Gated::Manual) => facts.push(fact(
            Means::Care,
            "Its authors have to agree.",
            "They are asked on its page; this hub shows its --hub-token.".into_any(),
        )),
        Some(Gated::Open) | None => {}
    }
    if look.download_bytes > 0 {
        let free = format!(
            "{} are free on this server.",
            format::amount(look.free_bytes)
        );
        let means = match look.free_bytes >= look.download_bytes {
            true => Means::Good,
            false => Means::Bad,
        };
        let what = format!("{} to download.", format::amount(look.download_bytes));
        facts.push(fact(means, &what, free.into_any()));
    }
    if !look.choices.is_empty() && look.refusal.is_none() {
        facts.push(fact(
            Means::Good,
            "This hub can run it.",
            "Its graphs were built over the headers of its weights. Only tensors are read; no code of the model is run.".into_any(),
        ));
    }
    facts
}

fn fact(means: Means, what: &str, more: AnyView) -> AnyView {
    let (class, said, path) = match means {
        Means::Good => ("yes", "Good", "M4 10.5l4 4 8-9"),
        Means::Care => (
            "care",
            "Take care",
            "M10 3.5l7.2 12.8H2.8L10 3.5zM10 8.5v3.8M10 14.2v.2",
        ),
        Means::Bad => ("no", "Not possible", "M5 5l10 10M15 5L5 15"),
    };
    let what = what.to_owned();
    view! {
        <li>
            <svg class=class viewBox="0 0 20 20" role="img" aria-label=said>
                <path d=path />
            </svg>
            <div>
                <strong>{what}</strong>
                " "
                {more}
            </div>
        </li>
    }
    .into_any()
}

fn licence(license: Option<&License>) -> AnyView {
    let Some(license) = license else {
        let more = "Without one nothing is permitted: ask its author, and name it below.";
        return fact(Means::Care, "No licence is stated.", more.into_any());
    };
    let (means, what) = match license.permits {
        LicenseUse::Any => (Means::Good, "Any use, commercial too."),
        LicenseUse::Restricted => (Means::Care, "Not the uses that its licence lists."),
        LicenseUse::NonCommercial => (Means::Care, "No commercial use without further terms."),
        LicenseUse::Unknown => (Means::Care, "This hub does not know its licence."),
    };
    let name = match license.url.clone() {
        Some(href) => view! {
            <a href=href rel="noopener license">
                {license.name.clone()}
            </a>
        }
        .into_any(),
        None => license.name.clone().into_any(),
    };
    let limits = license.limits.clone().unwrap_or_default();
    let limits = (!limits.is_empty()).then(|| {
        let lines = limits.into_iter().map(|limit| view! { <li>{limit}</li> });
        view! { <ul class="plain-list note">{lines.collect_view()}</ul> }
    });
    fact(
        means,
        what,
        view! {
            {name}
            {limits}
        }
        .into_any(),
    )
}

#[component]
fn Components(components: Vec<LookedComponent>) -> impl IntoView {
    let rows = components.into_iter().map(|component| {
        let LookedComponent {
            name,
            class,
            files,
            bytes,
            ..
        } = component;
        let files: Vec<String> = files
            .iter()
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect();
        view! {
            <li>
                <span class="part-name">{name}</span>
                <span>
                    {class.unwrap_or_else(|| "a graph".to_owned())}
                    <span class="note files">{files.join(", ")}</span>
                </span>
                <span class="part-size">{format::amount(bytes)}</span>
            </li>
        }
    });
    view! {
        <div>
            <h3 class="parts-title">"What is fetched"</h3>
            <ul class="parts">{rows.collect_view()}</ul>
        </div>
    }
    .into_any()
}
