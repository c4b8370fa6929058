//! `/i/{id}`: one picture for good, with everything needed to make it again.

use leptos::prelude::*;
use leptos_meta::{Link, Meta, Title};
use leptos_router::hooks::use_params_map;
use protocol::{ImageRecord, ProblemCode};

use super::NotFound;
use super::parts::{ProblemNote, set_status};
use crate::{data, format, settings};

/// The permalink page.
#[component]
pub(crate) fn ImagePage() -> impl IntoView {
    let params = use_params_map();
    let record = Resource::new(
        move || params.read().get("id").unwrap_or_default(),
        data::image,
    );
    view! {
        <Suspense fallback=|| {
            view! {
                <main id="main" class="page">
                    <p class="waiting">"Loading the picture…"</p>
                </main>
            }
        }>
            {move || Suspend::new(async move {
                match record.await {
                    Ok(record) => view! { <Picture record /> }.into_any(),
                    Err(problem) if problem.code == ProblemCode::NotFound => view! { <NotFound /> }.into_any(),
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
            })}
        </Suspense>
    }
}

#[component]
fn Picture(record: ImageRecord) -> impl IntoView {
    let origin = data::origin();
    let recipe = record.recipe;
    let request = recipe.request;
    let again = settings::link(&request);
    let alt = format!("Generated picture of: {}", request.prompt);
    let place = match recipe.place.as_str() {
        "browser" => "in a visitor's browser",
        _ => "on the server",
    };
    let summary = format!("Made with {} {place}.", request.model);
    let rows: Vec<_> = [
        ("Negative prompt", request.negative_prompt.clone()),
        ("Seed", option(request.seed)),
        ("Steps", option(request.num_inference_steps)),
        ("Guidance", option(request.guidance_scale)),
        ("Scheduler", recipe.scheduler),
        ("Made", place.to_owned()),
        ("Engine", recipe.backend),
        ("Device", recipe.adapter),
        ("Time", format::duration(recipe.duration_ms as f64)),
        (
            "Size",
            format!(
                "{} × {} pixels, {}",
                record.width,
                record.height,
                format::size(record.bytes)
            ),
        ),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| {
        view! {
            <tr>
                <th scope="row">{name}</th>
                <td>{value}</td>
            </tr>
        }
    })
    .collect();
    let file = format!(
        "{}-{}.png",
        format::slug(&request.prompt),
        option(request.seed)
    );
    view! {
        <Title text=request.prompt.clone() />
        <Meta name="description" content=summary.clone() />
        <Meta property="og:type" content="website" />
        <Meta property="og:site_name" content="Demo Hub" />
        <Meta property="og:title" content=request.prompt.clone() />
        <Meta property="og:description" content=summary />
        <Meta property="og:url" content=format!("{origin}{}", record.permalink) />
        <Meta property="og:image" content=absolute(&origin, &record.url) />
        <Meta property="og:image:type" content=protocol::PNG_MIME />
        <Meta property="og:image:width" content=record.width.to_string() />
        <Meta property="og:image:height" content=record.height.to_string() />
        <Meta property="og:image:alt" content=alt.clone() />
        <Meta name="twitter:card" content="summary" />
        <Link rel="canonical" href=format!("{origin}{}", record.permalink) />
        <main id="main" class="page picture-page">
            <figure class="stage">
                <img
                    class="pixels"
                    data-testid="picture"
                    src=record.url.clone()
                    alt=alt
                    width=record.width
                    height=record.height
                />
            </figure>
            <article>
                <h1 class="prompt-title">{request.prompt.clone()}</h1>
                <p class="lead">
                    <a href=format!("/models/{}", request.model)>{request.model.clone()}</a>
                    " · "
                    <time datetime=format::date_time_attr(
                        record.created_at,
                    )>{format::date_time(record.created_at)}</time>
                </p>
                <p class="actions">
                    <a class="button" href=again>
                        "Use these settings"
                    </a>
                    <a class="button quiet" href=record.url download=file>
                        "Download PNG"
                    </a>
                </p>
                <table class="recipe">
                    <caption>"Recipe"</caption>
                    <tbody>
                        {rows} <tr>
                            <th scope="row">"Weights"</th>
                            <td>
                                <code>{recipe.weights_digest}</code>
                            </td>
                        </tr> <tr>
                            <th scope="row">"SHA-256"</th>
                            <td>
                                <code>{record.sha256}</code>
                            </td>
                        </tr>
                    </tbody>
                </table>
            </article>
        </main>
    }
}

fn option(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

fn absolute(origin: &str, url: &str) -> String {
    if url.starts_with('/') {
        format!("{origin}{url}")
    } else {
        url.to_owned()
    }
}
