//! The form: every field of a request, and where to run it.

use leptos::prelude::*;
use protocol::{MAX_SEED, Policy};

use super::Studio;
use super::expanded::Expanded;
use super::from_picture::FromPicture;
use super::keys::Keys;
use super::link::{MAX_PICTURES, Settings, parse_policy, policy_value};
use super::loras::Loras;
use super::options::ModelOptions;
use super::start_fields::StartFromPicture;
use super::studio::Models;
use super::verdict_line::VerdictLine;
use crate::format::{self, escape};
use crate::parts::ProblemNote;

/// One field of [`Settings`] as a signal and its setter.
macro_rules! field {
    ($settings:expr, $field:ident) => {
        (
            move || $settings.with(|s| s.$field.clone()),
            move |value| $settings.update(|s| s.$field = value),
        )
    };
}

pub(super) use field;

#[component]
pub(super) fn Form(models: Models) -> impl IntoView {
    let studio = expect_context::<Studio>();
    let settings = studio.settings;
    let first = settings.get_untracked();
    let (prompt, set_prompt) = field!(settings, prompt);
    let (pictures, set_pictures) = field!(settings, pictures);
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        studio.generate(models);
    };
    let working = studio.working;
    view! {
        <form class="controls" action="/" novalidate=true on:submit=submit aria-label="Picture settings">
            <div class="field">
                <label for="prompt">"Prompt"</label>
                <textarea
                    id="prompt"
                    name="prompt"
                    data-testid="prompt"
                    rows="3"
                    placeholder="What should the picture show?"
                    aria-describedby="form-problem"
                    inner_html=escape(&first.prompt)
                    prop:value=prompt
                    on:input:target=move |e| set_prompt(e.target().value())
                ></textarea>
            </div>
            <Expanded />
            <Examples models settings />
            <Loras models settings />
            <FormProblem />
            <div class="submit">
                <div class="field pictures">
                    <label for="pictures">"Pictures"</label>
                    <input
                        id="pictures"
                        name="pictures"
                        type="number"
                        inputmode="numeric"
                        min="1"
                        max=MAX_PICTURES
                        step="1"
                        data-testid="pictures"
                        value=first.pictures.clone()
                        prop:value=pictures
                        on:input:target=move |e| set_pictures(e.target().value())
                    />
                </div>
                <button class="button primary" type="submit" data-testid="generate">
                    {move || if working.get() { "Add to queue" } else { "Generate" }}
                </button>
                <button
                    class="button quiet"
                    type="button"
                    data-testid="cancel"
                    disabled=move || !working.get()
                    on:click=move |_| studio.batches.cancel()
                >
                    "Cancel"
                </button>
                <span class="shortcut" aria-hidden="true">
                    <kbd>"Ctrl"</kbd>
                    " + "
                    <kbd>"Enter"</kbd>
                </span>
            </div>
            <ModelField models settings />
            <StartFromPicture models />
            <MoreSettings models settings />
            <FromPicture models />
            <Keys models />
        </form>
    }
    .into_any()
}

#[component]
fn FormProblem() -> impl IntoView {
    let studio = expect_context::<Studio>();
    view! {
        <div id="form-problem" class="alert" role="alert">
            {move || studio.problem.get().map(|problem| view! { <ProblemNote problem name="error" /> })}
        </div>
    }
    .into_any()
}

#[component]
fn Examples(models: Models, settings: RwSignal<Settings>) -> impl IntoView {
    let model = Memo::new(move |_| settings.with(|s| s.model.clone()));
    let chips = move || {
        let prompts = models.with_value(|all| {
            all.iter()
                .find(|m| m.id == model.get())
                .map(|m| m.example_prompts.clone())
                .unwrap_or_default()
        });
        prompts
            .into_iter()
            .map(|prompt| {
                let text = prompt.clone();
                view! {
                    <li>
                        <button
                            class="chip"
                            type="button"
                            on:click=move |_| settings.update(|s| s.prompt = prompt.clone())
                        >
                            {text}
                        </button>
                    </li>
                }
            })
            .collect_view()
    };
    view! {
        <ul class="chips" aria-label="Example prompts">
            {chips}
        </ul>
    }
    .into_any()
}

#[component]
fn ModelField(models: Models, settings: RwSignal<Settings>) -> impl IntoView {
    let current = move || settings.with(|s| s.model.clone());
    let choose = move |id: String| {
        let defaults =
            models.with_value(|all| all.iter().find(|m| m.id == id).map(|m| m.defaults.clone()));
        settings.update(|s| {
            s.model = id;
            if let Some(defaults) = defaults {
                s.steps = defaults.num_inference_steps.to_string();
                s.guidance = defaults.guidance_scale.to_string();
            }
        });
    };
    let chosen = Signal::derive(move || {
        models.with_value(|all| all.iter().find(|m| m.id == current()).cloned())
    });
    let first = settings.with_untracked(|s| s.model.clone());
    let options = models.with_value(|all| {
        all.iter()
            .map(|m| {
                view! {
                    <option value=m.id.clone() selected=m.id == first>
                        {m.name.clone()}
                    </option>
                }
            })
            .collect_view()
    });
    let note = move || {
        models.with_value(|all| {
            all.iter().find(|m| m.id == current()).map(|m| {
                view! {
                    <a href=format!("/models/{}", m.id)>"About " {m.name.clone()}</a>
                    {format!(
                        " · {} × {} pixels · {}",
                        m.width,
                        m.height,
                        format::download(m),
                    )}
                }
            })
        })
    };
    view! {
        <div class="field">
            <label for="model">"Model"</label>
            <select
                id="model"
                name="model"
                data-testid="model"
                prop:value=current
                on:change:target=move |e| choose(e.target().value())
            >
                {options}
            </select>
            <p class="note">{note}</p>
            <VerdictLine model=chosen />
        </div>
    }
    .into_any()
}

#[component]
fn MoreSettings(models: Models, settings: RwSignal<Settings>) -> impl IntoView {
    let first = settings.get_untracked();
    let (negative, set_negative) = field!(settings, negative_prompt);
    let (seed, set_seed) = field!(settings, seed);
    let (random, set_random) = field!(settings, random_seed);
    let (steps, set_steps) = field!(settings, steps);
    let (guidance, set_guidance) = field!(settings, guidance);
    let (accept, set_accept) = field!(settings, accept_software);
    let policy = move || settings.with(|s| policy_value(s.policy));
    let limits = move || {
        models.with_value(|all| {
            all.iter()
                .find(|m| settings.with(|s| s.model == m.id))
                .map(|m| m.limits.clone())
        })
    };
    let no_negative = Memo::new(move |_| {
        let model = settings.with(|s| s.model.clone());
        models.with_value(|all| all.iter().any(|m| m.id == model && !m.negative_prompt))
    });
    let steps_range = move || {
        limits()
            .map(|l| (l.min_steps.to_string(), l.max_steps.to_string()))
            .unwrap_or_default()
    };
    let guidance_range = move || {
        limits()
            .map(|l| (l.min_guidance.to_string(), l.max_guidance.to_string()))
            .unwrap_or_default()
    };
    let policies = [
        (Policy::Auto, "Automatic"),
        (Policy::BrowserOnly, "Only in my browser"),
        (Policy::PreferServer, "On the server"),
    ]
    .map(|(value, text)| {
        view! {
            <option value=policy_value(value) selected=value == first.policy>
                {text}
            </option>
        }
    });
    view! {
        <div class="field">
            <label for="policy">"Where to run"</label>
            <select
                id="policy"
                name="policy"
                data-testid="policy"
                prop:value=policy
                on:change:target=move |e| {
                    let policy = parse_policy(&e.target().value());
                    settings.update(|s| s.policy = policy);
                }
            >
                {policies.into_iter().collect_view()}
            </select>
            <p class="note">
                {move || settings.with(|s| match s.policy {
                    Policy::Auto => "On your GPU if the model fits it, else on the server.",
                    Policy::BrowserOnly => "Nothing leaves this browser unless you save it.",
                    Policy::PreferServer => "The server makes the picture. Only you see it until you save it.",
                })}
            </p>
        </div>
        <div class="row">
            <div class="field seed">
                <label for="seed">"Seed"</label>
                <input
                    id="seed"
                    name="seed"
                    type="number"
                    inputmode="numeric"
                    min="0"
                    max=MAX_SEED
                    step="1"
                    placeholder="random"
                    data-testid="seed"
                    value=first.seed.clone()
                    prop:value=seed
                    on:input:target=move |e| {
                        let value = e.target().value();
                        set_random(value.is_empty());
                        set_seed(value);
                    }
                />
                <label class="check">
                    <input
                        id="random-seed"
                        type="checkbox"
                        data-testid="random-seed"
                        checked=first.random_seed
                        prop:checked=random
                        on:change:target=move |e| set_random(e.target().checked())
                    />
                    "New seed each time"
                </label>
            </div>
            <div class="field">
                <label for="steps">"Steps"</label>
                <input
                    id="steps"
                    name="steps"
                    type="number"
                    inputmode="numeric"
                    min=move || steps_range().0
                    max=move || steps_range().1
                    step="1"
                    data-testid="steps"
                    value=first.steps.clone()
                    prop:value=steps
                    on:input:target=move |e| set_steps(e.target().value())
                />
            </div>
            <div class="field">
                <label for="guidance">"Guidance"</label>
                <input
                    id="guidance"
                    name="guidance"
                    type="number"
                    inputmode="decimal"
                    min=move || guidance_range().0
                    max=move || guidance_range().1
                    step="any"
                    data-testid="guidance"
                    value=first.guidance.clone()
                    prop:value=guidance
                    on:input:target=move |e| set_guidance(e.target().value())
                />
            </div>
        </div>
        <details class="more" open=first.says_more()>
            <summary>"More settings"</summary>
            <ModelOptions models settings />
            <div class="field">
                <label for="negative-prompt">"Negative prompt"</label>
                <input
                    id="negative-prompt"
                    name="negative_prompt"
                    type="text"
                    placeholder=move || (!no_negative.get()).then_some("What should it not show?")
                    data-testid="negative-prompt"
                    aria-describedby=move || no_negative.get().then_some("negative-prompt-note")
                    disabled=move || no_negative.get()
                    value=first.negative_prompt.clone()
                    prop:value=negative
                    on:input:target=move |e| set_negative(e.target().value())
                />
                {move || {
                    no_negative
                        .get()
                        .then(|| {
                            view! {
                                <p class="note" id="negative-prompt-note">
                                    "This model takes no negative prompt."
                                </p>
                            }
                        })
                }}
            </div>
            <label class="check">
                <input
                    id="accept-software"
                    name="accept-software"
                    type="checkbox"
                    value="1"
                    data-testid="accept-software"
                    checked=first.accept_software
                    prop:checked=accept
                    on:change:target=move |e| set_accept(e.target().checked())
                />
                "Count a software WebGPU adapter as a GPU (slow)"
            </label>
        </details>
    }
    .into_any()
}
