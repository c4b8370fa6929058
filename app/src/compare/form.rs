//! What to compare.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use protocol::{MAX_SEED, ModelSummary, Problem, RunsOn};

use super::link::{Comparison, MAX_SIDES, MIN_SIDES, NAMES, Side, parse_place, place_label};
use super::sides::{Asked, Sides};
use crate::format::escape;
use crate::parts::{CopyButton, ProblemNote};

#[component]
pub(super) fn Form(
    models: StoredValue<Vec<ModelSummary>>,
    comparison: RwSignal<Comparison>,
    sides: Sides,
) -> impl IntoView {
    let problem = RwSignal::new(None::<Problem>);
    let navigate = use_navigate();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if sides.active.get_untracked() {
            return;
        }
        let form = comparison.get_untracked();
        match models.with_value(|all| form.requests(all)) {
            Ok(requests) => {
                problem.set(None);
                // The address is the link to share.
                let options = NavigateOptions {
                    replace: true,
                    scroll: false,
                    ..NavigateOptions::default()
                };
                navigate(&form.link(), options);
                let asked = requests
                    .into_iter()
                    .zip(&form.sides)
                    .map(|((model, request), side)| Asked {
                        model,
                        request,
                        place: side.place,
                    })
                    .collect();
                sides.start(asked, form.accept_software);
            }
            Err(wrong) => problem.set(Some(wrong)),
        }
    };
    let first = comparison.get_untracked();
    let active = sides.active;
    let count = Memo::new(move |_| comparison.with(|c| c.sides.len()));
    let full = move || count.get() >= MAX_SIDES;
    let rows = move || {
        (0..count.get())
            .map(|index| view! { <SideRow models comparison index /> })
            .collect_view()
    };
    let add = move |_: leptos::ev::MouseEvent| {
        comparison.update(|c| {
            if let Some(last) = c.sides.last().cloned() {
                c.sides.push(last);
            }
        });
    };
    view! {
        <form
            class="controls compare-form"
            action="/compare"
            novalidate=true
            on:submit=submit
            aria-label="What to compare"
        >
            <div class="field">
                <label for="prompt">"Prompt"</label>
                <textarea
                    id="prompt"
                    name="prompt"
                    data-testid="prompt"
                    rows="2"
                    placeholder="What should the pictures show?"
                    aria-describedby="form-problem"
                    inner_html=escape(&first.prompt)
                    prop:value=move || comparison.with(|c| c.prompt.clone())
                    on:input:target=move |e| {
                        let value = e.target().value();
                        comparison.update(|c| c.prompt = value);
                    }
                ></textarea>
            </div>
            <div class="row">
                <Number
                    comparison
                    name="seed"
                    label="Seed"
                    get=|c| &c.seed
                    set=|c| &mut c.seed
                    max=MAX_SEED.to_string()
                    step="1"
                />
                <Number
                    comparison
                    name="steps"
                    label="Steps"
                    get=|c| &c.steps
                    set=|c| &mut c.steps
                    step="1"
                />
                <Number
                    comparison
                    name="guidance"
                    label="Guidance"
                    get=|c| &c.guidance
                    set=|c| &mut c.guidance
                    step="any"
                />
            </div>
            <p class="note">"Steps and guidance that are left open are each model's own."</p>
            <fieldset class="side-rows">
                <legend>"Sides"</legend>
                {rows}
            </fieldset>
            <div id="form-problem" class="alert" role="alert">
                {move || problem.get().map(|problem| view! { <ProblemNote problem name="error" /> })}
            </div>
            <div class="submit">
                <button
                    class="button primary"
                    type="submit"
                    data-testid="compare"
                    disabled=move || active.get()
                >
                    {move || if active.get() { "Working…" } else { "Compare" }}
                </button>
                <button
                    class="button quiet"
                    type="button"
                    data-testid="stop"
                    disabled=move || !active.get()
                    on:click=move |_| sides.stop()
                >
                    "Stop"
                </button>
                <button
                    class="button quiet"
                    type="button"
                    data-testid="add-side"
                    disabled=full
                    on:click=add
                >
                    "Add a side"
                </button>
                <CopyButton
                    label="Copy link"
                    text=move || format!(
                        "{}{}",
                        crate::data::origin(),
                        comparison.with_untracked(Comparison::link),
                    )
                />
            </div>
        </form>
    }
    .into_any()
}

#[component]
fn Number(
    comparison: RwSignal<Comparison>,
    name: &'static str,
    label: &'static str,
    get: fn(&Comparison) -> &String,
    set: fn(&mut Comparison) -> &mut String,
    step: &'static str,
    #[prop(optional, into)] max: Option<String>,
) -> impl IntoView {
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input
                id=name
                name=name
                type="number"
                inputmode="decimal"
                min="0"
                max=max
                step=step
                data-testid=name
                placeholder="default"
                value=comparison.with_untracked(|c| get(c).clone())
                prop:value=move || comparison.with(|c| get(c).clone())
                on:input:target=move |e| {
                    let value = e.target().value();
                    comparison.update(|c| *set(c) = value);
                }
            />
        </div>
    }
    .into_any()
}

#[component]
fn SideRow(
    models: StoredValue<Vec<ModelSummary>>,
    comparison: RwSignal<Comparison>,
    index: usize,
) -> impl IntoView {
    let name = NAMES.get(index).copied().unwrap_or_default();
    let key = name.to_ascii_lowercase();
    let side = move || comparison.with(|c| c.sides.get(index).cloned().unwrap_or_default());
    let change = move |change: &dyn Fn(&mut Side)| {
        comparison.update(|c| {
            if let Some(side) = c.sides.get_mut(index) {
                change(side);
            }
        });
    };
    let first = untrack(side);
    let options = models.with_value(|all| {
        all.iter()
            .map(|m| {
                view! {
                    <option value=m.id.clone() selected=m.id == first.model>
                        {m.name.clone()}
                    </option>
                }
            })
            .collect_view()
    });
    let places = [RunsOn::Browser, RunsOn::Server].map(|place| {
        view! {
            <option value=place.name() selected=place == first.place>
                {place_label(place)}
            </option>
        }
    });
    let only_enough = move || comparison.with(|c| c.sides.len()) <= MIN_SIDES;
    view! {
        <div class="side-row">
            <span class="side-name" aria-hidden="true">
                {name}
            </span>
            <select
                aria-label=format!("Model of side {name}")
                data-testid=format!("model-{key}")
                prop:value=move || side().model
                on:change:target=move |e| {
                    let model = e.target().value();
                    change(&|side| side.model.clone_from(&model));
                }
            >
                {options}
            </select>
            <select
                aria-label=format!("Place of side {name}")
                data-testid=format!("place-{key}")
                prop:value=move || side().place.name()
                on:change:target=move |e| {
                    let place = parse_place(&e.target().value());
                    change(&|side| side.place = place);
                }
            >
                {places.into_iter().collect_view()}
            </select>
            <button
                class="button quiet"
                type="button"
                aria-label=format!("Remove side {name}")
                hidden=only_enough
                on:click=move |_| {
                    comparison
                        .update(|c| {
                            if c.sides.len() > MIN_SIDES && index < c.sides.len() {
                                c.sides.remove(index);
                            }
                        });
                }
            >
                "Remove"
            </button>
        </div>
    }
    .into_any()
}
