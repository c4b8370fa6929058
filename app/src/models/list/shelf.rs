//! Models that people ask for and that this hub could hold.

use leptos::prelude::*;
use protocol::KnownModel;

use crate::format;
use crate::models::verdict::ProspectNote;

/// Cards of known models, with the verdict that this visitor would get.
#[component]
pub(super) fn Shelf(
    /// In this order.
    models: Vec<KnownModel>,
) -> impl IntoView {
    (!models.is_empty()).then(|| {
        let cards = models
            .into_iter()
            .map(|model| view! { <Known model /> })
            .collect_view();
        view! {
            <section class="shelf" aria-labelledby="known-title" data-testid="known-models">
                <h2 id="known-title">"Not here yet"</h2>
                <p class="lead">
                    "Models that people ask for. The operator of this hub can add them from their authors' files. What each takes is counted before anything is downloaded."
                </p>
                <ul class="cards">{cards}</ul>
            </section>
        }
        .into_any()
    })
}

#[component]
fn Known(model: KnownModel) -> impl IntoView {
    let (owner, _) = model.id.split_once('/').unwrap_or_default();
    let owner = owner.to_owned();
    let license = match &model.license {
        Some(license) => license.id.clone(),
        None => "licence: see its page".to_owned(),
    };
    let facts = [
        Some(license),
        model.gated.then(|| "asks for an agreement".to_owned()),
        model.weights.first().map(|w| format::size(w.bytes)),
        model.paper.as_ref().and_then(|p| p.title.clone()),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(" · ");
    view! {
        <li data-testid="known-model">
            <article class="card">
                <div class="card-text">
                    <h3>
                        <a href=format!("/models/{}", model.id)>{model.title.clone()}</a>
                    </h3>
                    <p class="byline">
                        "by " <a href=format!("/creators/{owner}")>{owner.clone()}</a>
                        {format!(" · {}", model.family)}
                    </p>
                    <p class="card-summary">{model.summary.clone()}</p>
                    <p class="byline">{facts}</p>
                    <ProspectNote model />
                </div>
            </article>
        </li>
    }
    .into_any()
}
