//! The verdict on a model for this visitor.

use leptos::prelude::*;
use protocol::{ModelSummary, Verdict, VerdictKind, verdict};

use crate::capability::{Answer, Capability};
use crate::format;
use crate::studio::Studio;

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
    let before = if model.package_url.is_some() {
        "In a browser whose GPU carries it, else on the server."
    } else {
        "It has no package for browsers."
    };
    let failed = move || {
        use_context::<Capability>().and_then(|c| match c.answer.get() {
            Answer::Failed(detail) => Some(format!(
                "This browser could not be asked what it can do: {detail}."
            )),
            _ => None,
        })
    };
    let kind = move || judged.with(|v| v.as_ref().map_or("open", |v| v.kind.name()));
    let label = move || {
        judged.with(|v| {
            v.as_ref()
                .map_or("Here or on the server", |v| v.kind.label())
        })
    };
    let time = move || {
        judged
            .with(|v| v.as_ref().and_then(|v| v.seconds))
            .map(|s| format!("about {} a picture", format::duration(s * 1e3)))
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
            <p class="verdict-reason">{reason}</p>
        </div>
    }
    .into_any()
}

/// The verdict on a model, once the browser was asked, which this does.
pub(crate) fn use_verdict(model: ModelSummary) -> Memo<Option<Verdict>> {
    let capability = expect_context::<Capability>();
    let settings = expect_context::<Studio>().settings;
    Effect::new(move |_| capability.ask());
    Memo::new(move |_| match capability.answer.get() {
        Answer::Known(report) => Some(verdict(
            &model,
            &report,
            settings.with(|s| s.accept_software),
        )),
        _ => None,
    })
}

/// The verdict on a model that the hub cannot run; the same for every visitor.
#[component]
pub(crate) fn NotRunnable(
    /// `owner/name`.
    id: String,
) -> impl IntoView {
    let Verdict { kind, reason, .. } = protocol::not_available(&id);
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
