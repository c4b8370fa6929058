//! The additions, followed while the page is open.

use leptos::prelude::*;
use protocol::{Addition, AdditionRequest, AdditionStage, AdditionStatus, Fetched, WeightsKind};

use super::choices::called;
use crate::format;

#[component]
pub(super) fn Additions(additions: Vec<Addition>) -> impl IntoView {
    let known = RwSignal::new(additions);
    Effect::new(move |_| follow(known));
    let ids = Memo::new(move |_| {
        let all = known.read();
        all.iter()
            .map(|addition| addition.id.clone())
            .collect::<Vec<_>>()
    });
    view! {
        <section aria-labelledby="additions-title" class="additions" data-testid="additions">
            <h2 id="additions-title">"Being added"</h2>
            <Show when=move || ids.read().is_empty()>
                <div class="empty">
                    <p>"Nothing is being added. What is goes on when this page is closed, and when the hub is started anew."</p>
                </div>
            </Show>
            <ul class="stored">
                <For each=move || ids.get() key=|id| id.clone() let:id>
                    <Row known id />
                </For>
            </ul>
        </section>
    }
    .into_any()
}

#[component]
fn Row(known: RwSignal<Vec<Addition>>, id: String) -> impl IntoView {
    let own = id.clone();
    let addition = Memo::new(move |_| {
        let all = known.read();
        all.iter().find(|addition| addition.id == own).cloned()
    });
    let status = Memo::new(move |_| {
        let addition = addition.read();
        addition.as_ref().map(|addition| addition.status)
    });
    let said = Memo::new(move |_| addition.read().as_ref().map(said).unwrap_or_default());
    let request = addition.get_untracked().map(|addition| addition.request);
    let request = request.unwrap_or_default();
    let model = request.id.clone();
    let name = {
        let model = model.clone();
        move || match status.get() {
            Some(AdditionStatus::Done) => {
                view! { <a href=format!("/models/{model}") rel="external">{model.clone()}</a> }
                    .into_any()
            }
            _ => model.clone().into_any(),
        }
    };
    let running = move || status.get() == Some(AdditionStatus::Running);
    let fetched = move || {
        let addition = addition.get()?;
        let is_now = addition.stage == Some(AdditionStage::Downloading);
        addition.fetched.filter(|_| is_now)
    };
    let label = format!("Progress of {model}");
    view! {
        <li class="stored-model addition" data-testid="addition" data-status=move || status.get().map(word)>
            <div class="addition-text">
                <p class="stored-name">{name}</p>
                <p class="note">{how(&request)}</p>
                <p role="status" data-testid="addition-status">
                    {move || said.get()}
                </p>
                <Show when=running>
                    <progress
                        class="bar"
                        aria-label=label.clone()
                        max=move || fetched().map(|fetched| fetched.total_bytes.max(1).to_string())
                        value=move || fetched().map(|fetched| fetched.bytes.to_string())
                    ></progress>
                    <p class="note" data-testid="fetched">
                        {move || fetched().map(|fetched| bytes(&fetched))}
                    </p>
                </Show>
                {move || {
                    let reason = addition.get()?.reason?;
                    Some(view! { <p class="refused">{reason}</p> })
                }}
            </div>
            <div class="actions">{move || status.get().map(|status| buttons(status, &id, &model))}</div>
        </li>
    }
    .into_any()
}

fn buttons(status: AdditionStatus, id: &str, model: &str) -> AnyView {
    let button = |act: &str, text: &'static str| {
        let action = format!("/operator/additions/{id}/{act}");
        let label = format!("{text}: {model}");
        view! {
            <form method="post" action=action>
                <button class="button quiet" type="submit" aria-label=label>
                    {text}
                </button>
            </form>
        }
        .into_any()
    };
    match status {
        AdditionStatus::Waiting | AdditionStatus::Running => button("cancel", "Cancel"),
        AdditionStatus::Cancelling => ().into_any(),
        AdditionStatus::Done => button("cancel", "Take off the list"),
        AdditionStatus::Failed | AdditionStatus::Cancelled => view! {
            {button("again", "Try again")}
            {button("cancel", "Take off the list")}
        }
        .into_any(),
    }
}

/// The status as the style sheet and tests name it.
fn word(status: AdditionStatus) -> &'static str {
    match status {
        AdditionStatus::Waiting => "waiting",
        AdditionStatus::Running => "running",
        AdditionStatus::Cancelling => "cancelling",
        AdditionStatus::Done => "done",
        AdditionStatus::Failed => "failed",
        AdditionStatus::Cancelled => "cancelled",
    }
}

/// What it is doing, or what has become of it.
fn said(addition: &Addition) -> String {
    match (addition.status, addition.stage) {
        (AdditionStatus::Waiting, _) => "Waits for its turn",
        (AdditionStatus::Running, None) => "Starts",
        (AdditionStatus::Running, Some(stage)) => match stage {
            AdditionStage::Looking => "Looking at its files",
            AdditionStage::Downloading => "Downloading",
            AdditionStage::Building => "Building its graphs",
            AdditionStage::Writing => "Writing the package",
            AdditionStage::Shrinking => "Making its weights smaller",
            AdditionStage::Trying => "Making a trial picture",
            AdditionStage::Other => "At work",
        },
        (AdditionStatus::Cancelling, _) => "Is being cancelled",
        (AdditionStatus::Done, _) => "Is here. Visitors see it within seconds.",
        (AdditionStatus::Failed, _) => "Was not added. What was downloaded stays for the next try.",
        (AdditionStatus::Cancelled, _) => {
            "Was cancelled. What was downloaded stays for the next try."
        }
    }
    .to_owned()
}

fn bytes(fetched: &Fetched) -> String {
    let here = format!(
        "{} of {}",
        format::amount(fetched.bytes),
        format::amount(fetched.total_bytes)
    );
    match (fetched.bytes_per_second, fetched.seconds_left) {
        (Some(speed), Some(left)) => format!(
            "{here}, {}/s, about {} left",
            format::amount(speed),
            format::duration(left as f64 * 1e3)
        ),
        _ => here,
    }
}

/// Which revision, and how its weights are kept.
fn how(request: &AdditionRequest) -> String {
    let mut parts = Vec::new();
    if let Some(revision) = &request.revision {
        let short: String = revision.chars().take(10).collect();
        parts.push(format!("at {short}"));
    }
    if request.weights != WeightsKind::Kept {
        parts.push(format!("weights of {}", called(request.weights)));
    }
    for own in &request.component_weights {
        let kind = match own.kind {
            WeightsKind::Kept => "as it is",
            kind => called(kind),
        };
        parts.push(format!("{} {kind}", own.component));
    }
    if !request.components.is_empty() {
        parts.push(format!("only {}", request.components.join(", ")));
    }
    parts.join(" · ")
}

/// Follows the list for as long as the page is open.
#[cfg(browser)]
fn follow(known: RwSignal<Vec<Addition>>) {
    use futures::StreamExt;
    use gloo_net::eventsource::futures::EventSource;

    let events = async move {
        let Ok(mut source) = EventSource::new("/api/v1/operator/additions/events") else {
            return;
        };
        let Ok(mut lists) = source.subscribe("additions") else {
            return;
        };
        // The browser connects again by itself.
        while let Some(list) = lists.next().await {
            let text = list.ok().and_then(|(_, event)| event.data().as_string());
            let list = text.and_then(|text| serde_json::from_str(&text).ok());
            if let Some(list) = list {
                known.try_set(list);
            }
        }
    };
    let (events, handle) = futures::future::abortable(events);
    on_cleanup(move || handle.abort());
    leptos::task::spawn_local(async move {
        // Aborted where the page was left.
        let _left = events.await;
    });
}

#[cfg(not(browser))]
fn follow(_: RwSignal<Vec<Addition>>) {}

#[cfg(test)]
mod tests {
    use protocol::ComponentWeights;

    use super::*;

    #[test]
    fn progress_is_said_in_bytes_speed_and_time() {
        let fetched = Fetched {
            bytes: 486_000_000,
            total_bytes: 1_200_000_000,
            bytes_per_second: Some(31_000_000),
            seconds_left: Some(23),
        };
        assert_eq!(
            bytes(&fetched),
            "486 MB of 1.2 GB, 31.0 MB/s, about 23 s left"
        );
        let stalled = Fetched {
            bytes_per_second: None,
            ..fetched
        };
        assert_eq!(bytes(&stalled), "486 MB of 1.2 GB");
    }

    #[test]
    fn what_was_chosen_is_said() {
        let request = AdditionRequest {
            id: "a/b".to_owned(),
            revision: Some("451f4fe16113bff5".to_owned()),
            weights: WeightsKind::Int8,
            component_weights: vec![ComponentWeights {
                component: "vae".to_owned(),
                kind: WeightsKind::Kept,
            }],
            components: vec!["unet".to_owned(), "vae".to_owned()],
            license: None,
        };
        assert_eq!(
            how(&request),
            "at 451f4fe161 · weights of 8 bits · vae as it is · only unet, vae"
        );
        assert_eq!(how(&AdditionRequest::default()), "");
    }
}
