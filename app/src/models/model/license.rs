//! What may be done with the weights.

use leptos::prelude::*;
use protocol::{Gated, License, LicenseUse};

#[component]
pub(super) fn LicensePanel(license: Option<License>, gated: Option<Gated>) -> impl IntoView {
    let access = match gated {
        Some(Gated::Automatic) => {
            Some("The hub gives the files out after signing in and agreeing to this licence.")
        }
        Some(Gated::Manual) => Some("The hub gives the files out after their authors have agreed."),
        Some(Gated::Open) | None => None,
    };
    let body = match license {
        None => view! {
            <p>
                "No licence is stated. Without one nothing is permitted: ask the creator before you use the weights or the pictures."
            </p>
        }
        .into_any(),
        Some(license) => view! { <Terms license /> }.into_any(),
    };
    view! {
        <section class="panel" aria-labelledby="licence-title" data-testid="licence">
            <h2 id="licence-title">"Licence"</h2>
            {body}
            {access.map(|text| view! { <p class="note">{text}</p> })}
        </section>
    }
}

#[component]
fn Terms(license: License) -> impl IntoView {
    let permits = match license.permits {
        LicenseUse::Any => Some("Any use, commercial too."),
        LicenseUse::Restricted => Some("Commercial use too, but not the uses that it lists."),
        LicenseUse::NonCommercial => {
            Some("No commercial use, or only under further terms of the creator.")
        }
        LicenseUse::Unknown => None,
    };
    let name = match license.url {
        Some(href) => view! {
            <a href=href rel="noopener license">
                {license.name.clone()}
            </a>
        }
        .into_any(),
        None => license.name.clone().into_any(),
    };
    let id = (license.id != license.name).then(|| view! { <p class="byline">{license.id}</p> });
    let limits = match license.limits {
        Some(limits) if limits.is_empty() => ().into_any(),
        Some(limits) => {
            let lines: Vec<_> = limits.into_iter().map(|l| view! { <li>{l}</li> }).collect();
            view! { <ul class="plain-list">{lines}</ul> }.into_any()
        }
        None => view! {
            <p class="note">"This hub does not know this licence: read its text before you use the weights."</p>
        }
        .into_any(),
    };
    view! {
        <p>
            <strong>{name}</strong>
        </p>
        {id}
        {permits.map(|text| view! { <p>{text}</p> })}
        {limits}
    }
    .into_any()
}
