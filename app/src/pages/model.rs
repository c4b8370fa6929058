//! `/models/{owner}/{name}`: the card of a model.

use leptos::prelude::*;
use leptos_meta::{Meta, Title};
use leptos_router::hooks::use_params_map;
use protocol::{ModelSummary, Paper};

use super::NotFound;
use super::parts::{ProblemNote, set_status};
use crate::{data, format, settings};

/// The model card.
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
    let models = Resource::new(|| (), |()| data::models());
    view! {
        <Suspense fallback=|| {
            view! {
                <main id="main" class="page">
                    <p class="waiting">"Loading the model card…"</p>
                </main>
            }
        }>
            {move || {
                let id = id();
                Suspend::new(async move {
                match models.await {
                    Ok(models) => {
                        match models.into_iter().find(|m| m.id == id) {
                            Some(model) => view! { <Card model /> }.into_any(),
                            None => view! { <NotFound /> }.into_any(),
                        }
                    }
                    Err(problem) => {
                        set_status(problem.status);
                        view! {
                            <main id="main" class="page">
                                <ProblemNote problem />
                            </main>
                        }
                            .into_any()
                    }
                }
            })}}
        </Suspense>
    }
}

#[component]
fn Card(model: ModelSummary) -> impl IntoView {
    let examples: Vec<_> = model
        .example_prompts
        .iter()
        .map(|prompt| {
            let href = format!(
                "/?model={}&prompt={}",
                settings::encode(&model.id),
                settings::encode(prompt)
            );
            view! {
                <li>
                    <a class="chip" href=href>
                        {prompt.clone()}
                    </a>
                </li>
            }
        })
        .collect();
    let rows: Vec<_> = [
        ("Identifier", model.id.clone()),
        ("Creator", model.creator),
        ("Licence", model.license),
        (
            "Picture",
            format!("{} × {} pixels", model.width, model.height),
        ),
        (
            "Download",
            match model.package_url {
                Some(_) => format!(
                    "{}, once per visit",
                    format::megabytes(model.download_bytes)
                ),
                None => "none: it runs on the server".to_owned(),
            },
        ),
        (
            "Steps",
            format!(
                "{} to {}; usually {}",
                model.limits.min_steps, model.limits.max_steps, model.defaults.num_inference_steps
            ),
        ),
        (
            "Guidance",
            format!(
                "{} to {}; usually {}",
                model.limits.min_guidance, model.limits.max_guidance, model.defaults.guidance_scale
            ),
        ),
        (
            "GPU memory",
            match model.package_url {
                Some(_) => format!("about {}", format::megabytes(model.needs.memory_bytes)),
                None => "none of yours".to_owned(),
            },
        ),
    ]
    .into_iter()
    .map(|(name, value)| {
        view! {
            <tr>
                <th scope="row">{name}</th>
                <td>{value}</td>
            </tr>
        }
    })
    .collect();
    view! {
        <Title text=model.name.clone() />
        <Meta name="description" content=model.summary.clone() />
        <main id="main" class="page prose">
            <p class="eyebrow">"Model"</p>
            <h1>{model.name}</h1>
            <p class="lead">{model.summary}</p>
            <p class="actions">
                <a class="button" href=format!("/?model={}", settings::encode(&model.id))>
                    "Try it"
                </a>
            </p>
            {(!examples.is_empty())
                .then(|| {
                    view! {
                        <h2>"Prompts to begin with"</h2>
                        <ul class="chips">{examples}</ul>
                    }
                })}
            <table class="recipe">
                <caption>"Facts"</caption>
                <tbody>
                    {rows} <tr>
                        <th scope="row">"Weights"</th>
                        <td>
                            <code>{model.weights_digest}</code>
                        </td>
                    </tr>
                </tbody>
            </table>
            {model.paper.map(|paper| view! { <PaperNote paper /> })}
        </main>
    }
}

#[component]
fn PaperNote(paper: Paper) -> impl IntoView {
    view! {
        <section class="paper">
            <p class="eyebrow">"Paper"</p>
            <h2>{paper.title}</h2>
            <p class="authors">{paper.authors.join(", ")}</p>
            <p class="abstract">{paper.abstract_text}</p>
            <p>
                <a href=format!("https://arxiv.org/abs/{}", paper.arxiv) rel="noopener">
                    {format!("arXiv:{}", paper.arxiv)}
                </a>
            </p>
        </section>
    }
}
