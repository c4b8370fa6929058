//! `/models/{owner}/{name}`: the scholarly card of a model.

mod facts;
mod license;
mod made;
mod paper;
mod takes;

use leptos::prelude::*;
use leptos_meta::{Link, Meta, Title};
use leptos_router::hooks::use_params_map;
use protocol::{KnownModel, ModelCard};

use super::json_ld::{JsonLd, model as json_of};
use super::provenance::Sources;
use super::verdict::{NotRunnable, ProspectNote, VerdictNote};
use crate::parts::absolute;
use crate::parts::fetched;
use crate::{data, format};

/// The page of a model, here or on the hub.
#[component]
pub(crate) fn ModelPage() -> impl IntoView {
    let params = use_params_map();
    let id = move || {
        let params = params.read();
        format!(
            "{}/{}",
            params.get("owner").unwrap_or_default(),
            params.get("name").unwrap_or_default()
        )
    };
    let card = Resource::new(id, data::card);
    fetched(card, "Loading the model card…", |card| {
        view! { <Scholarly card /> }.into_any()
    })
}

#[component]
fn Scholarly(card: ModelCard) -> impl IntoView {
    let verdict = match (&card.runnable, &card.known) {
        (Some(model), _) => view! { <VerdictNote model=model.clone() announced=true /> }.into_any(),
        (None, Some(known)) => view! { <ProspectNote model=KnownModel::clone(known) /> }.into_any(),
        (None, None) => view! { <NotRunnable id=card.id.clone() /> }.into_any(),
    };
    let made = card
        .runnable
        .as_ref()
        .map(|model| view! { <made::MadeHere model=model.id.clone() /> });
    let sample = card.sample.clone().map(|sample| {
        let alt = match &sample.prompt {
            Some(prompt) => format!("Made by {}: {prompt}", card.title),
            None => format!("A picture made by {}", card.title),
        };
        let image = view! {
            <img class="pixels" src=sample.url alt=alt width=sample.width height=sample.height />
        };
        view! {
            <figure>
                <div class="stage">
                    {match sample.permalink {
                        Some(href) => view! { <a href=href>{image}</a> }.into_any(),
                        None => image.into_any(),
                    }}
                </div>
                {sample.prompt.map(|prompt| view! { <figcaption class="note">{prompt}</figcaption> })}
            </figure>
        }
    });
    view! {
        <Head card=card.clone() />
        <main id="main" class="page">
            <JsonLd json=json_of(&card, &data::origin()) />
            <div class="page-head">
                <p class="eyebrow">
                    "Model by "
                    <a href=format!("/creators/{}", format::encode(&card.owner))>
                        {card.owner.clone()}
                    </a>
                </p>
                <h1>{card.title.clone()}</h1>
                {card.summary.clone().map(|text| view! { <p class="lead">{text}</p> })}
                <Ways card=card.clone() />
            </div>
            <div class="scholar">
                <article>
                    <section class="panel" aria-label="Will it run here?">
                        {verdict}
                    </section>
                    {card.known.clone().map(|known| view! { <takes::Takes weights=known.weights /> })}
                    <paper::Papers papers=card.papers.clone() />
                    <Prompts card=card.clone() />
                    {made}
                </article>
                <aside aria-label="Facts">
                    {sample} <license::LicensePanel license=card.license.clone() gated=card.gated />
                    <facts::Facts card=card.clone() />
                </aside>
            </div>
            <Sources provenance=card.provenance />
        </main>
    }
    .into_any()
}

#[component]
fn Head(card: ModelCard) -> impl IntoView {
    let origin = data::origin();
    let title = format!("{} by {}", card.title, card.owner);
    let description = card.summary.unwrap_or_else(|| {
        format!(
            "{}: papers, authors and licence of this text-to-image model, and whether it runs in your browser.",
            card.title
        )
    });
    let address = format!(
        "{origin}/models/{}/{}",
        format::encode(&card.owner),
        format::encode(&card.name)
    );
    let image = card.sample.map(|sample| {
        view! {
            <Meta property="og:image" content=absolute(&origin, &sample.url) />
            <Meta property="og:image:width" content=sample.width.to_string() />
            <Meta property="og:image:height" content=sample.height.to_string() />
            <Meta
                property="og:image:alt"
                content=sample.prompt.unwrap_or_else(|| format!("A picture made by {}", card.title))
            />
        }
    });
    view! {
        <Title text=title.clone() />
        <Meta name="description" content=description.clone() />
        <Meta property="og:type" content="article" />
        <Meta property="og:site_name" content="Demo Hub" />
        <Meta property="og:title" content=title />
        <Meta property="og:description" content=description />
        <Meta property="og:url" content=address.clone() />
        {image}
        <Meta name="twitter:card" content="summary" />
        <Link rel="canonical" href=address />
    }
}

/// What can be done with it.
#[component]
fn Ways(card: ModelCard) -> impl IntoView {
    let id = format::encode(&card.id);
    let here = card.runnable.is_some().then(|| {
        view! {
            <a class="button" href=format!("/?model={id}")>
                "Try it"
            </a>
            <a class="button quiet" href=format!("/compare?a={id}%40browser")>
                "Compare"
            </a>
        }
    });
    let hub = card.hub_url.map(|href| {
        view! {
            <a class="button quiet" href=href rel="noopener">
                "On Hugging Face"
            </a>
        }
    });
    view! { <p class="actions">{here} {hub}</p> }
}

#[component]
fn Prompts(card: ModelCard) -> impl IntoView {
    let chips: Vec<_> = card
        .runnable
        .into_iter()
        .flat_map(|model| {
            let id = format::encode(&model.id);
            model.example_prompts.into_iter().map(move |prompt| {
                let href = format!("/?model={id}&prompt={}", format::encode(&prompt));
                view! {
                    <li>
                        <a class="chip" href=href>
                            {prompt}
                        </a>
                    </li>
                }
            })
        })
        .collect();
    (!chips.is_empty()).then(|| {
        view! {
            <section aria-labelledby="prompts-title">
                <h2 id="prompts-title">"Prompts to begin with"</h2>
                <ul class="chips">{chips}</ul>
            </section>
        }
    })
}
