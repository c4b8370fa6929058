//! The filters: a form that works without scripts, since its fields are the address's parameters.

use leptos::prelude::*;
use protocol::ModelQuery;

use crate::data::catalog::{PERMITS, RUNS, SIZES};

#[component]
pub(super) fn Filters(filters: ModelQuery) -> impl IntoView {
    let runs = RUNS.map(|(value, name, text)| (name.to_owned(), text, filters.runs == Some(value)));
    let permits =
        PERMITS.map(|(value, name, text)| (name.to_owned(), text, filters.permits == Some(value)));
    let sizes =
        SIZES.map(|(bytes, text)| (bytes.to_string(), text, filters.max_bytes == Some(bytes)));
    view! {
        <form class="filters" action="/models" role="search" aria-label="Filter the models">
            <div class="field wide">
                <label for="q">"Search"</label>
                <input
                    id="q"
                    name="q"
                    type="search"
                    maxlength="100"
                    data-testid="search"
                    placeholder="Name or creator"
                    value=filters.q.unwrap_or_default()
                />
            </div>
            {choice("runs", "Runs", "Anywhere", runs.into())}
            {choice("permits", "Licence permits", "Any licence", permits.into())}
            {choice("max_bytes", "Size", "Any size", sizes.into())}
            <button class="button" type="submit" data-testid="apply">
                "Show"
            </button>
        </form>
    }
    .into_any()
}

/// A field whose empty value narrows nothing.
fn choice(
    name: &'static str,
    label: &'static str,
    open: &'static str,
    options: Vec<(String, &'static str, bool)>,
) -> AnyView {
    let options = options
        .into_iter()
        .map(|(value, text, selected)| {
            view! {
                <option value=value selected=selected>
                    {text}
                </option>
            }
        })
        .collect_view();
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <select id=name name=name data-testid=name>
                <option value="">{open}</option>
                {options}
            </select>
        </div>
    }
    .into_any()
}
