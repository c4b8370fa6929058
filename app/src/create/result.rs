//! The result: progress, picture, where it ran and why, saving.

use leptos::prelude::*;
use protocol::Policy;

use super::Studio;
use super::batch::Shot;
use super::film::Film;
use super::grid::Grid;
use super::queue::Queue;
use super::start_fields::UseAsStart;
use super::studio::Models;
use super::times::Times;
use crate::format;
use crate::parts::ProblemNote;
use crate::runs::TransferControls;
use crate::runs::run::Finished;
use crate::saving::Saving;

#[component]
pub(super) fn ResultPane(models: Models) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let done = Memo::new(move |_| {
        let shot = studio.shown.get()?;
        let done = shot.run.state.with(|run| run.finished().cloned())?;
        Some((shot, done))
    });
    let state = Memo::new(move |_| studio.read(|r| r.state_name()));
    let preview = Memo::new(move |_| studio.read(|r| r.preview.clone()));
    let settings = studio.settings;
    // The picture that the form asks for.
    let wanted = Memo::new(move |_| {
        let model = studio.model(models)?;
        Some(settings.with(|s| s.size(&model)))
    });
    // The picture that is looked at: the form may be about the next one by now.
    let size = Memo::new(move |_| {
        let size = |shot: Shot| shot.request.with_value(|q| (q.width, q.height));
        studio.shown.get().map(size)
    });
    let transfer = move || {
        let shot = studio.shown.get()?;
        let batch = studio.batches.shown()?;
        let stays = batch.asked.policy == Policy::BrowserOnly;
        Some(view! { <TransferControls run=shot.run stays=stays /> })
    };
    view! {
        <section id="result" class="result" aria-label="Result" data-state=move || state.get()>
            <Grid />
            <div class="stage">
                {move || match (done.get(), preview.get()) {
                    (Some((shot, done)), _) => view! { <Shown shot done /> }.into_any(),
                    (None, Some(image)) => {
                        view! {
                            <img
                                class="pixels preview"
                                data-testid="preview"
                                src=image
                                alt="The picture so far"
                                width=move || size.get().map(|size| size.0)
                                height=move || size.get().map(|size| size.1)
                            />
                        }
                            .into_any()
                    }
                    (None, None) => {
                        view! {
                            <p class="placeholder" aria-hidden="true">
                                <span class="grain"></span>
                                <span class="placeholder-text">
                                    {move || {
                                        let (width, height) = wanted.get().filter(|_| studio.shown.get().is_none())?;
                                        Some(format!("Your {width} × {height} picture appears here"))
                                    }}
                                </span>
                            </p>
                        }
                            .into_any()
                    }
                }}
            </div>
            <progress
                class="bar"
                data-testid="progress"
                aria-label="Progress"
                max=move || studio.read(|r| r.progress().1.to_string())
                value=move || studio.read(|r| r.progress().0.map(|v| v.to_string()))
            ></progress>
            <p class="status" data-testid="status" role="status" aria-live="polite">
                {move || studio.read(|r| r.status())}
            </p>
            <p class="where" data-testid="where">
                {move || studio.read(|r| r.where_and_why())}
            </p>
            {transfer}
            <div class="alert" role="alert">
                {move || studio.read(|r| r.failure().cloned())
                    .map(|problem| view! { <ProblemNote problem name="error" /> })}
            </div>
            {move || done.get().map(|(shot, done)| view! { <Actions models shot done /> })}
            <Queue />
            <Film />
        </section>
    }
    .into_any()
}

#[component]
fn Shown(shot: Shot, done: Finished) -> impl IntoView {
    let prompt = shot.request.with_value(|q| q.prompt.clone());
    view! {
        <img
            class="pixels"
            data-testid="picture"
            src=done.picture.url().to_owned()
            alt=format!("Generated picture of: {prompt}")
            width=done.width
            height=done.height
        />
    }
    .into_any()
}

#[component]
fn Actions(models: Models, shot: Shot, done: Finished) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let saving = shot.saving;
    let q = shot.request.get_value();
    let facts = {
        view! {
            <dl class="facts">
                <div>
                    <dt>"Seed"</dt>
                    <dd>{q.seed}</dd>
                </div>
                <div>
                    <dt>"Steps"</dt>
                    <dd>{q.num_inference_steps}</dd>
                </div>
                <div>
                    <dt>"Guidance"</dt>
                    <dd>{q.guidance_scale}</dd>
                </div>
            </dl>
        }
    };
    let file = format!("{}-{}.png", format::slug(&q.prompt), q.seed);
    let permalink = move || {
        saving.with(|s| match s {
            Saving::Saved(link) => Some(link.clone()),
            _ => None,
        })
    };
    let can_save = done.made_here.is_some() || done.kept.is_some();
    let until = done.kept.as_ref().map(|kept| {
        let until = kept.expires_at.map_or_else(String::new, |time| {
            format!(
                " The server deletes it after {} unless you save it.",
                format::date_time(time)
            )
        });
        let said = move || {
            saving
                .with(|s| !matches!(s, Saving::Saved(_)))
                .then(|| format!("Only you see this picture.{until}"))
        };
        view! {
            <p class="note" data-testid="private-note">
                {said}
            </p>
        }
    });
    let choice = can_save.then(|| {
        let settled = move || saving.with(|s| !matches!(s, Saving::Unsaved | Saving::Failed(_)));
        view! {
            <label class="check">
                <input
                    type="checkbox"
                    data-testid="unlisted"
                    disabled=settled
                    prop:checked=move || studio.unlisted.get()
                    on:change:target=move |e| studio.unlisted.set(e.target().checked())
                />
                "Save it unlisted: not in the gallery, for those with its link"
            </label>
        }
    });
    let times = done
        .made_here
        .as_ref()
        .map(|made| view! { <Times timings=made.timings /> });
    let save = can_save.then(|| {
        let busy = move || {
            saving.with(|s| {
                matches!(
                    s,
                    Saving::Uploading { .. }
                        | Saving::Committing
                        | Saving::Waiting
                        | Saving::Saved(_)
                )
            })
        };
        let label = move || {
            saving.with(|s| match s {
                Saving::Unsaved => "Save with a permanent link".to_owned(),
                Saving::Uploading { sent, total } => {
                    format!(
                        "Uploading {} of {}",
                        format::size(*sent),
                        format::size(*total)
                    )
                }
                Saving::Committing => "Saving…".to_owned(),
                Saving::Waiting => "Will be saved when you are online again".to_owned(),
                Saving::Saved(_) => "Saved".to_owned(),
                Saving::Failed(_) => "Try to save again".to_owned(),
            })
        };
        view! {
            <button
                class="button"
                type="button"
                data-testid="save"
                disabled=busy
                on:click=move |_| studio.save(shot)
            >
                {label}
            </button>
        }
    });
    view! {
        <div class="after">
            {facts} {until} {choice} <div class="actions">
                {save} {move || {
                    permalink()
                        .map(|href| {
                            view! {
                                <a class="button" data-testid="permalink" href=href>
                                    "Permanent link"
                                </a>
                            }
                        })
                }}
                <a class="button quiet" href=done.picture.url().to_owned() download=file>
                    "Download PNG"
                </a>
                <UseAsStart models url=done.picture.url().to_owned() />
            </div>
            <div class="alert" role="alert">
                {move || saving.with(|s| match s {
                    Saving::Failed(problem) => Some(problem.clone()),
                    _ => None,
                })
                    .map(|problem| view! { <ProblemNote problem name="save-error" /> })}
            </div>
            {times}
        </div>
    }
    .into_any()
}
