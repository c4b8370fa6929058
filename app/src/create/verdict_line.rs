//! Whether the chosen model runs here, in a line.

use leptos::prelude::*;
use protocol::{
    BEARABLE_SECONDS, CapabilityReport, ModelSummary, Place, Policy, Verdict, VerdictKind, decide,
    may_suit_processor, processor_seconds, verdict,
};

use super::Studio;
use crate::capability::{Answer, Capability};
use crate::format;

/// The verdict on the chosen model in one line, where this visit knows what the browser can do. It asks nothing by itself,
/// unless the visitor wants to stay in the browser: then it tells what the processor would take where the model fits no GPU.
#[component]
pub(super) fn VerdictLine(
    /// The model.
    model: Signal<Option<ModelSummary>>,
) -> impl IntoView {
    let capability = expect_context::<Capability>();
    let settings = expect_context::<Studio>().settings;
    let policy = Memo::new(move |_| settings.with(|s| s.policy));
    let accept_software = Memo::new(move |_| settings.with(|s| s.accept_software));
    let on_processor = Memo::new(move |_| {
        let (Answer::Known(report), Some(model)) = (capability.answer.get(), model.get()) else {
            return None;
        };
        let decision = decide(
            policy.get(),
            &report,
            &model.demand(),
            accept_software.get(),
        );
        (decision.place == Place::BrowserCpu && model.package_url.is_some())
            .then_some((model, report))
    });
    Effect::new(move |_| match policy.get() {
        Policy::BrowserOnly => capability.ask(),
        Policy::Auto | Policy::PreferServer => capability.recall(),
    });
    Effect::new(move |_| {
        if let Some((_, report)) = on_processor.get() {
            capability.ask_processor(report);
        }
    });
    move || {
        if let Some((model, report)) = on_processor.get() {
            let line = processor_line(&model, &report, capability.measuring.get());
            return Some(
                view! { <p class="note" data-testid="verdict-line">{line}</p> }.into_any(),
            );
        }
        let (Answer::Known(report), Some(model)) = (capability.answer.get(), model.get()) else {
            return None;
        };
        let Verdict {
            kind,
            seconds,
            reason,
        } = verdict(&model, &report, accept_software.get());
        let time = seconds.map(|s| format!(", at least {} a picture", format::duration(s * 1e3)));
        let offered = kind == VerdictKind::OnServer
            && policy.get() == Policy::Auto
            && may_suit_processor(&model);
        let offer = offered.then(|| {
            view! {
                " · "
                <button
                    class="text-button"
                    type="button"
                    data-testid="use-processor"
                    on:click=move |_| settings.update(|s| s.policy = Policy::BrowserOnly)
                >
                    "Use my processor"
                </button>
            }
        });
        Some(
            view! {
                <p class="note" title=reason data-testid="verdict-line">
                    {kind.label()}
                    {time}
                    {offer}
                </p>
            }
            .into_any(),
        )
    }
}

/// What the processor would take for a picture.
fn processor_line(model: &ModelSummary, report: &CapabilityReport, measuring: bool) -> String {
    let steps = model.defaults.num_inference_steps;
    let Some(speed) = report.processor_flops_per_second else {
        return if measuring {
            "Measuring your processor…".to_owned()
        } else {
            "Runs here on your processor".to_owned()
        };
    };
    match processor_seconds(model, speed, steps) {
        None => "Runs here on your processor; how long a picture takes is not known".to_owned(),
        Some(s) if s > BEARABLE_SECONDS => format!(
            "Too much for your processor: at least {} a picture",
            format::duration(s * 1e3)
        ),
        Some(s) => format!(
            "Runs here on your processor, at least {} a picture",
            format::duration(s * 1e3)
        ),
    }
}
