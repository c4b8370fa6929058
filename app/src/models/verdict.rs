//! The verdict on a model for this visitor.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use protocol::{
    CapabilityReport, KnownModel, ModelSummary, Policy, Prospect, Verdict, VerdictKind,
    may_suit_processor, verdict,
};

use crate::capability::{Answer, Capability};
use crate::create::link::policy_value;
use crate::format::encode;
use crate::{data, format};

/// Says whether a model runs here and why, once the browser was asked; before that what holds for every browser.
#[component]
pub(crate) fn VerdictNote(
    /// The model.
    model: ModelSummary,
    /// Read out by screen readers when the verdict arrives; for pages with one verdict.
    #[prop(optional)]
    announced: bool,
) -> impl IntoView {
    let judged = use_verdict(model.clone());
    let suits = announced && may_suit_processor(&model);
    let instead = format!(
        "/?model={}&policy={}",
        encode(&model.id),
        policy_value(Policy::BrowserOnly)
    );
    let (place, before) = if model.package_url.is_some() {
        (
            "Here or on the server",
            "In a browser whose GPU it fits, else on the server.",
        )
    } else {
        (
            VerdictKind::OnServer.label(),
            "It has no package for browsers: it runs on the server.",
        )
    };
    let answer = expect_context::<Capability>().answer;
    let failed = move || match answer.get() {
        Answer::Failed(detail) => Some(format!(
            "This browser could not be asked what it can do: {detail}."
        )),
        _ => None,
    };
    let kind = move || judged.with(|v| v.as_ref().map_or("open", |v| v.kind.name()));
    let label = move || judged.with(|v| v.as_ref().map_or(place, |v| v.kind.label()));
    let time = move || {
        judged
            .with(|v| v.as_ref().and_then(|v| v.seconds))
            .map(|s| format!("at least {} a picture", format::duration(s * 1e3)))
    };
    let reason = move || {
        judged
            .with(|v| v.as_ref().map(|v| v.reason.clone()))
            .or_else(failed)
            .unwrap_or_else(|| before.to_owned())
    };
    view! {
        <div
            class="verdict"
            data-testid="verdict"
            data-kind=kind
            role=announced.then_some("status")
        >
            <p class="verdict-answer">
                <span class="verdict-label">{label}</span>
                <span class="verdict-time">{time}</span>
            </p>
            <p class="verdict-reason">
                {reason} {move || (suits && kind() == VerdictKind::OnServer.name()).then(|| {
                    view! { " " <a href=instead.clone()>"Make it on your processor instead"</a> }
                })}
            </p>
        </div>
    }
    .into_any()
}

/// The verdict on a model, once the browser was asked, which this does.
pub(crate) fn use_verdict(model: ModelSummary) -> Memo<Option<Verdict>> {
    use_judged(move |report, accept_software| Some(verdict(&model, report, accept_software)))
}

/// What would become of a model that the hub could hold, once the browser was asked.
fn use_prospect(model: KnownModel) -> Memo<Option<Prospect>> {
    use_judged(move |report, accept_software| model.prospect(report, accept_software))
}

/// What `judge` makes of this browser, once it was asked, and of whether a software adapter will do.
fn use_judged<T: Clone + PartialEq + Send + Sync + 'static>(
    judge: impl Fn(&CapabilityReport, bool) -> Option<T> + Send + Sync + 'static,
) -> Memo<Option<T>> {
    let capability = expect_context::<Capability>();
    let query = use_query_map();
    let accept_software = move || {
        capability.accept_software.get()
            || query
                .read()
                .get("accept-software")
                .is_some_and(|v| v == "1" || v == "on")
    };
    Effect::new(move |_| capability.ask());
    Memo::new(move |_| match capability.answer.get() {
        Answer::Known(report) => judge(&report, accept_software()),
        _ => None,
    })
}

/// Says whether a model that the hub could hold would run here, and with which weights.
#[component]
pub(crate) fn ProspectNote(
    /// The model.
    model: KnownModel,
) -> impl IntoView {
    let counted = !model.weights.is_empty();
    let source = model.add.as_ref().unwrap_or(&model.id).clone();
    // The page reads folders; a checkpoint in one file is for the command.
    let way = match data::is_operator() && model.add.is_none() {
        true => view! {
            <a class="button quiet" href=format!("/models/add?id={}", encode(&source))>
                "Add it to this hub"
            </a>
        }
        .into_any(),
        false => view! {
            <p class="verdict-reason">
                "The operator adds it with " <code>{format!("demo-hub models add {source}")}</code>
            </p>
        }
        .into_any(),
    };
    let found = use_prospect(model);
    let kind = move || found.with(|f| f.as_ref().map_or("open", |f| f.verdict.kind.name()));
    let label = move || {
        found.with(|f| match f.as_ref().map(|f| f.verdict.kind) {
            Some(VerdictKind::RunsHere) => "Would run here",
            Some(VerdictKind::RunsHereSlowly) => "Would run here, slowly",
            Some(_) => "Would run on the server",
            None => "Not on this hub yet",
        })
    };
    let time = move || {
        found
            .with(|f| f.as_ref().and_then(|f| f.verdict.seconds))
            .map(|s| format!("at least {} a picture", format::duration(s * 1e3)))
    };
    let reason = move || {
        found.with(|f| match f {
            Some(Prospect { verdict, weights }) => format!(
                "With weights as {}, {} to download: {}",
                weights.kind,
                format::size(weights.bytes),
                lower_first(&verdict.reason)
            ),
            None if counted => "What it takes is known; this browser was not asked yet.".to_owned(),
            None => "What it takes is counted when it is added.".to_owned(),
        })
    };
    view! {
        <div class="verdict" data-testid="verdict" data-kind=kind>
            <p class="verdict-answer">
                <span class="verdict-label">{label}</span>
                <span class="verdict-time">{time}</span>
            </p>
            <p class="verdict-reason">{reason}</p>
            {way}
        </div>
    }
    .into_any()
}

/// A sentence as the rest of another one.
fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first: Option<String> = chars.next().map(|c| c.to_lowercase().collect());
    // An abbreviation keeps its letters.
    match chars.clone().next().is_some_and(char::is_uppercase) {
        true => sentence.to_owned(),
        false => first.unwrap_or_default() + chars.as_str(),
    }
}

/// The verdict on a model that the hub cannot run; the same for every visitor.
#[component]
pub(crate) fn NotRunnable(
    /// `owner/name`.
    id: String,
) -> impl IntoView {
    let Verdict { kind, reason, .. } = protocol::not_available(&id);
    // What stands between backquotes is a command.
    let reason: Vec<_> = reason
        .split('`')
        .enumerate()
        .map(|(index, part)| match index % 2 {
            0 => part.to_owned().into_any(),
            _ => view! { <code>{part.to_owned()}</code> }.into_any(),
        })
        .collect();
    view! {
        <div class="verdict" data-testid="verdict" data-kind=VerdictKind::name(kind)>
            <p class="verdict-answer">
                <span class="verdict-label">{kind.label()}</span>
            </p>
            <p class="verdict-reason">{reason}</p>
        </div>
    }
    .into_any()
}
