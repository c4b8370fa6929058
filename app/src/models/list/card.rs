//! Models as cards.

use leptos::prelude::*;
use protocol::{ModelCard, VerdictKind};

use crate::format;
use crate::models::verdict::{NotRunnable, VerdictNote, use_verdict};

/// Cards that link to the models' pages.
#[component]
pub(crate) fn Cards(
    /// In this order.
    items: Vec<ModelCard>,
    /// Once the browser was asked: leave out what it cannot run.
    here_only: bool,
) -> impl IntoView {
    let cards = items
        .into_iter()
        .map(|card| view! { <Card card here_only /> })
        .collect_view();
    view! { <ul class="cards">{cards}</ul> }.into_any()
}

#[component]
fn Card(card: ModelCard, here_only: bool) -> impl IntoView {
    let href = format!("/models/{}", card.id);
    let picture = match &card.sample {
        Some(sample) => view! {
            <img
                class="pixels"
                src=sample.url.clone()
                alt=match &sample.prompt {
                    Some(prompt) => format!("Made by {}: {prompt}", card.title),
                    None => format!("A picture made by {}", card.title),
                }
                width=sample.width
                height=sample.height
                loading="lazy"
                decoding="async"
            />
        }
        .into_any(),
        None => {
            let why = match card.runnable {
                Some(_) => "No picture made here yet",
                None => "No picture: it does not run here",
            };
            view! { <span class="none">{why}</span> }.into_any()
        }
    };
    let facts = [
        Some(
            card.license
                .as_ref()
                .map_or("licence not stated".to_owned(), |l| l.id.clone()),
        ),
        card.total_bytes.map(format::megabytes),
        card.papers.first().and_then(|p| p.title.clone()),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(" · ");
    let runnable = card.runnable.clone();
    let judged = runnable.clone().filter(|_| here_only).map(use_verdict);
    let left_out = move || {
        judged.is_some_and(|v| {
            v.with(|v| v.as_ref().is_some_and(|v| v.kind == VerdictKind::OnServer))
        })
    };
    let verdict = match runnable {
        Some(model) => view! { <VerdictNote model /> }.into_any(),
        None => view! { <NotRunnable id=card.id.clone() /> }.into_any(),
    };
    view! {
        <li hidden=left_out data-testid="model-card">
            <article class="card">
                <div class="card-picture">{picture}</div>
                <div class="card-text">
                    <h2>
                        <a href=href>{card.title}</a>
                    </h2>
                    <p class="byline">
                        "by " <a href=format!("/creators/{}", card.owner)>{card.owner.clone()}</a>
                    </p>
                    {card.summary.map(|text| view! { <p class="card-summary">{text}</p> })}
                    <p class="byline">{facts}</p>
                    {verdict}
                </div>
            </article>
        </li>
    }
    .into_any()
}
