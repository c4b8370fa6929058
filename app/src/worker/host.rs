//! The inside of the worker.

mod download;
mod probe;
mod render;
mod timing;

use std::cell::RefCell;

use diffusion::Cancel;
use js_sys::{Array, ArrayBuffer};
use protocol::{GenerationRequest, ModelSummary, Place};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use self::render::Loaded;
use super::message::{FromWorker, RunEvent, ToWorker};

/// Why a run ends early.
enum End {
    Cancelled,
    Failed(String),
}

impl From<diffusion::Error> for End {
    fn from(error: diffusion::Error) -> Self {
        if error.is_cancelled() {
            Self::Cancelled
        } else {
            Self::Failed(error.to_string())
        }
    }
}

#[derive(Default)]
struct State {
    /// The run at work and its flag.
    current: Option<(u32, Cancel)>,
    /// The package kept from the last run.
    loaded: Option<Loaded>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Listens for [`ToWorker`] messages and says [`FromWorker::Ready`].
pub fn start() {
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        crashed(panic.to_string());
    }));
    let Some(scope) = scope() else {
        return;
    };
    // A trap, such as memory that cannot grow, passes the panic hook by and ends in a rejected promise.
    let on_rejection = Closure::<dyn Fn(JsValue)>::new(|event: JsValue| {
        crashed(get(&event, "reason").map_or_else(String::new, |reason| text(&reason)));
    });
    let listening = scope.add_event_listener_with_callback(
        "unhandledrejection",
        on_rejection.as_ref().unchecked_ref(),
    );
    if let Err(error) = listening {
        crashed(text(&error));
    }
    on_rejection.forget();
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(|event: MessageEvent| {
        let json = event.data().as_string().unwrap_or_default();
        match serde_json::from_str(&json) {
            Ok(message) => handle(message),
            Err(error) => web_sys::console::error_1(&JsValue::from_str(&format!(
                "unreadable message to the render worker: {error}"
            ))),
        }
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // Listens for as long as the worker lives.
    on_message.forget();
    post(&FromWorker::Ready, None);
}

fn crashed(detail: String) {
    post(&FromWorker::Crashed { detail }, None);
}

fn handle(message: ToWorker) {
    match message {
        ToWorker::Probe { measure } => spawn_local(async move {
            let report = probe::probe(measure).await;
            post(&FromWorker::Probed { report }, None);
        }),
        ToWorker::Generate {
            run,
            model,
            request,
            place,
        } => spawn_local(generate(run, *model, request, place)),
        ToWorker::Cancel { run } => STATE.with_borrow(|state| match &state.current {
            Some((current, cancel)) if *current == run => cancel.cancel(),
            _ => {}
        }),
    }
}

async fn generate(run: u32, model: ModelSummary, request: GenerationRequest, place: Place) {
    let cancel = Cancel::default();
    let kept = STATE.with_borrow_mut(|state| {
        state.current = Some((run, cancel.clone()));
        state.loaded.take()
    });
    let report = |event: RunEvent| post(&FromWorker::Run { run, event }, None);
    let (kept, end) = render::render(kept, &model, &request, place, &cancel, &report).await;
    STATE.with_borrow_mut(|state| {
        state.loaded = kept;
        state.current = None;
    });
    match end {
        Ok((event, png)) => post(&FromWorker::Run { run, event }, Some(png)),
        Err(End::Cancelled) => report(RunEvent::Cancelled),
        Err(End::Failed(detail)) => report(RunEvent::Failed { detail }),
    }
}

fn scope() -> Option<DedicatedWorkerGlobalScope> {
    js_sys::global().dyn_into().ok()
}

/// Posts a message; `png` is transferred with it.
fn post(message: &FromWorker, png: Option<ArrayBuffer>) {
    let sent = serde_json::to_string(message)
        .map_err(|e| JsValue::from_str(&e.to_string()))
        .and_then(|json| {
            let scope = scope().ok_or(JsValue::NULL)?;
            let json = JsValue::from_str(&json);
            match png {
                None => scope.post_message(&json),
                Some(png) => {
                    scope.post_message_with_transfer(&Array::of2(&json, &png), &Array::of1(&png))
                }
            }
        });
    if let Err(error) = sent {
        web_sys::console::error_2(
            &JsValue::from_str("the render worker cannot answer:"),
            &error,
        );
    }
}

/// Milliseconds on a clock that never goes back.
fn now_ms() -> f64 {
    scope()
        .and_then(|scope| scope.performance())
        .map_or_else(js_sys::Date::now, |clock| clock.now())
}

/// The message of a JavaScript error.
fn text(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map(|e| String::from(e.message()))
        .or_else(|| error.as_string())
        .unwrap_or_else(|| format!("{error:?}"))
}

/// A property of a JavaScript object; absent where reading it throws.
fn get(object: &JsValue, name: &str) -> Option<JsValue> {
    js_sys::Reflect::get(object, &JsValue::from_str(name))
        .ok()
        .filter(|value| !value.is_undefined() && !value.is_null())
}
