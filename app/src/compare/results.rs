//! The pictures side by side, and their times.

use leptos::prelude::*;

use super::link::NAMES;
use super::sides::{SideRun, Sides};
use super::slider::Slider;
use crate::format;
use crate::parts::ProblemNote;
use crate::runs::TransferControls;
use crate::runs::run::Phase;

#[component]
pub(super) fn Results(sides: Sides) -> impl IntoView {
    let any = Memo::new(move |_| sides.runs[0].asked.with(Option::is_some));
    let cards = move || {
        sides
            .runs
            .into_iter()
            .zip(NAMES)
            .filter(|(side, _)| side.asked.with(Option::is_some))
            .map(|(side, name)| view! { <Card side name /> })
            .collect_view()
    };
    view! {
        {move || {
            any.get()
                .then(|| {
                    view! {
                        <section class="sides" aria-label="Pictures">
                            {cards}
                        </section>
                        <Slider sides />
                        <Times sides />
                    }
                })
        }}
    }
    .into_any()
}

#[component]
fn Card(side: SideRun, name: &'static str) -> impl IntoView {
    let run = side.run.state;
    let asked = side.asked.get_untracked();
    let title = asked.as_ref().map(|a| a.title()).unwrap_or_default();
    let prompt = asked
        .as_ref()
        .map(|a| a.request.prompt.clone())
        .unwrap_or_default();
    let (width, height) = asked.map(|a| (a.request.width, a.request.height)).unzip();
    let picture = Memo::new(move |_| side.run.finished());
    let preview = Memo::new(move |_| run.with(|r| r.preview.clone()));
    let state = move || run.with(|r| r.state_name());
    let status = move || {
        run.with(|r| match r.phase {
            Phase::Idle => "Waiting for its turn".to_owned(),
            _ => r.status(),
        })
    };
    view! {
        <article class="side" data-testid=format!("side-{}", name.to_ascii_lowercase()) data-state=state>
            <h2 class="side-title">
                <span class="side-name">{name}</span>
                " "
                {title}
            </h2>
            <div class="stage">
                {move || match picture.get().map(|p| p.picture.url().to_owned()).or_else(|| preview.get()) {
                    Some(url) => {
                        view! {
                            <img
                                class="pixels"
                                src=url
                                alt=format!("Side {name}: {prompt}")
                                width=width
                                height=height
                            />
                        }
                            .into_any()
                    }
                    None => {
                        view! {
                            <p class="placeholder" aria-hidden="true">
                                <span class="grain"></span>
                            </p>
                        }
                            .into_any()
                    }
                }}
            </div>
            <progress
                class="bar"
                aria-label=format!("Progress of side {name}")
                max=move || run.with(|r| r.progress().1.to_string())
                value=move || run.with(|r| r.progress().0.map(|v| v.to_string()))
            ></progress>
            <p class="status" role="status">
                {status}
            </p>
            <p class="where">{move || run.with(|r| r.where_and_why())}</p>
            <TransferControls run=side.run stays=true />
            <div class="alert" role="alert">
                {move || run.with(|r| r.failure().cloned())
                    .map(|problem| view! { <ProblemNote problem name="side-error" /> })}
            </div>
        </article>
    }
    .into_any()
}

#[component]
fn Times(sides: Sides) -> impl IntoView {
    let unknown = || "not measured".to_owned();
    let rows = move || {
        sides
            .runs
            .into_iter()
            .zip(NAMES)
            .filter_map(|(side, name)| {
                let (asked, done) = (side.asked.get()?, side.run.finished()?);
                let time = done.duration_ms.map_or_else(unknown, format::duration);
                let wall = side.wall_ms.get().map_or_else(unknown, format::duration);
                let by = [done.backend, done.adapter]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join(", ");
                Some(view! {
                    <tr data-testid="times-row">
                        <th scope="row">{format!("{name}: {}", asked.title())}</th>
                        <td>{by}</td>
                        <td>{asked.request.num_inference_steps}</td>
                        <td>{time}</td>
                        <td>{wall}</td>
                    </tr>
                })
            })
            .collect_view()
    };
    let any = Memo::new(move |_| sides.runs.iter().any(|side| side.run.finished().is_some()));
    view! {
        {move || {
            any.get()
                .then(|| {
                    view! {
                        <div class="table-wrap" role="region" aria-label="Times" tabindex="0">
                            <table class="times">
                                <caption>"Times"</caption>
                                <thead>
                                    <tr>
                                        <th scope="col">"Side"</th>
                                        <th scope="col">"Made by"</th>
                                        <th scope="col">"Steps"</th>
                                        <th scope="col">"Model"</th>
                                        <th scope="col">"In all"</th>
                                    </tr>
                                </thead>
                                <tbody>{rows}</tbody>
                            </table>
                            <p class="note">
                                "“Model” is the time from the first step to the finished picture, weights already there; “in all” also counts the download, the preparation and the queue."
                            </p>
                        </div>
                    }
                })
        }}
    }
    .into_any()
}
