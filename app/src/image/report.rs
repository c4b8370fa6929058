//! Telling the operator that a picture should not be here.

use leptos::prelude::*;
use protocol::{ImageRecord, MAX_REPORT_COMMENT, Problem, ReportReason};

use crate::parts::ProblemNote;

/// Reasons in the order of the list, each with its words.
const REASONS: [(ReportReason, &str, &str); 7] = [
    (ReportReason::Illegal, "illegal", "It is against the law"),
    (ReportReason::Sexual, "sexual", "It is sexual"),
    (ReportReason::Violent, "violent", "It is violent or hateful"),
    (
        ReportReason::Personal,
        "personal",
        "It shows or names a person who did not agree",
    ),
    (
        ReportReason::Copyright,
        "copyright",
        "It is somebody else's work",
    ),
    (ReportReason::Spam, "spam", "It is advertising or spam"),
    (ReportReason::Other, "other", "Something else"),
];

/// Where a report is.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    not(browser),
    expect(dead_code, reason = "reports are sent from a browser only")
)]
enum Sending {
    No,
    UnderWay,
    Sent,
    Failed(Problem),
}

#[component]
pub(super) fn Report(record: ImageRecord) -> impl IntoView {
    let report = ReportForm {
        id: StoredValue::new(record.id),
        reason: RwSignal::new(ReportReason::Other),
        comment: RwSignal::new(String::new()),
        sending: RwSignal::new(Sending::No),
    };
    let sending = report.sending;
    let busy = move || sending.with(|s| matches!(s, Sending::UnderWay | Sending::Sent));
    let options = REASONS.map(|(reason, value, words)| {
        view! {
            <option value=value selected=reason == ReportReason::Other>
                {words}
            </option>
        }
    });
    let choose = move |value: String| {
        let chosen = REASONS.iter().find(|(_, name, _)| *name == value);
        report
            .reason
            .set(chosen.map_or(ReportReason::Other, |(reason, ..)| *reason));
    };
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        report.send();
    };
    view! {
        <details class="more report" data-testid="report">
            <summary>"Report this picture"</summary>
            <form class="controls" aria-label="Report this picture" on:submit=submit>
                <div class="field">
                    <label for="report-reason">"What is wrong with it?"</label>
                    <select
                        id="report-reason"
                        data-testid="report-reason"
                        on:change:target=move |e| choose(e.target().value())
                    >
                        {options.into_iter().collect_view()}
                    </select>
                </div>
                <div class="field">
                    <label for="report-comment">"In your own words, if you like"</label>
                    <textarea
                        id="report-comment"
                        rows="3"
                        maxlength=MAX_REPORT_COMMENT
                        data-testid="report-comment"
                        on:input:target=move |e| report.comment.set(e.target().value())
                    ></textarea>
                </div>
                <p class="note">
                    "Whoever runs this hub reads it. Your name is not asked for and your address is not kept with it."
                </p>
                <button class="button quiet" type="submit" data-testid="report-send" disabled=busy>
                    {move || sending.with(|s| match s {
                        Sending::No | Sending::Failed(_) => "Send the report",
                        Sending::UnderWay => "Sending…",
                        Sending::Sent => "Sent",
                    })}
                </button>
                <p class="status" role="status" data-testid="report-status">
                    {move || {
                        (sending.get() == Sending::Sent)
                            .then_some("Thank you. The operator of this hub will look at it.")
                    }}
                </p>
                <div class="alert" role="alert">
                    {move || match sending.get() {
                        Sending::Failed(problem) => {
                            Some(view! { <ProblemNote problem name="report-error" /> })
                        }
                        _ => None,
                    }}
                </div>
            </form>
        </details>
    }
    .into_any()
}

#[derive(Clone, Copy)]
struct ReportForm {
    id: StoredValue<String>,
    reason: RwSignal<ReportReason>,
    comment: RwSignal<String>,
    sending: RwSignal<Sending>,
}

impl ReportForm {
    #[cfg(browser)]
    fn send(self) {
        self.sending.set(Sending::UnderWay);
        let url = format!(
            "/api/v1/images/{}/reports",
            crate::format::encode(&self.id.get_value())
        );
        let report = protocol::ReportRequest {
            reason: self.reason.get_untracked(),
            comment: self.comment.get_untracked(),
        };
        leptos::task::spawn_local(async move {
            let sent = crate::browser::api::post_unread(&url, &report).await;
            // The page may have been left.
            self.sending.try_set(match sent {
                Ok(()) => Sending::Sent,
                Err(problem) => Sending::Failed(problem),
            });
        });
    }

    #[cfg(not(browser))]
    fn send(self) {
        let _ = (self.id, self.reason, self.comment, self.sending);
    }
}
