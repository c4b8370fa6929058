//! The inside of the worker.

mod control;
mod download;
mod fetch;
mod files;
mod js;
mod render;
mod store;

// Each worker has one engine.
#[cfg(not(feature = "render-worker"))]
mod cpu;
#[cfg(feature = "render-worker")]
mod gpu;

use std::cell::RefCell;

use diffusion::ErrorKind;
use js_sys::{Array, ArrayBuffer};
use protocol::Place;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use self::control::Control;
#[cfg(not(feature = "render-worker"))]
use self::cpu as device;
#[cfg(feature = "render-worker")]
use self::gpu as device;
use self::render::{Loaded, Track};
use self::store::Store;
use self::store::shelf::ShelfError;
use super::fault::Fault;
use super::message::{FromWorker, Order, RunEvent, ToWorker};

/// Time between two signs of life, in milliseconds.
const BEAT_MS: i32 = 2_000;

/// Why a run ends early.
enum End {
    Cancelled,
    Download(String),
    Storage(String),
    Package(String),
    Engine(String),
    Diffusion(diffusion::Error),
    Fault(Fault),
}

impl From<diffusion::Error> for End {
    fn from(error: diffusion::Error) -> Self {
        if error.is_cancelled() {
            Self::Cancelled
        } else {
            Self::Diffusion(error)
        }
    }
}

impl End {
    /// An order for the other worker, or the server.
    fn misplaced(place: Place) -> Self {
        Self::Engine(format!(
            "the work of {place:?} was sent to the wrong worker"
        ))
    }

    /// Adds what was being done.
    fn at(self, track: &Track) -> Self {
        let Self::Diffusion(error) = self else {
            return self;
        };
        let text = error.to_string();
        Self::Fault(match error.kind() {
            ErrorKind::OutOfMemory => Fault::OutOfMemory(track.stage()),
            ErrorKind::DeviceLost => Fault::DeviceLost(text),
            ErrorKind::NoAdapter => Fault::NoAdapter(text),
            ErrorKind::Io => Fault::Storage(text),
            ErrorKind::InvalidPackage
            | ErrorKind::MissingFile { .. }
            | ErrorKind::TruncatedModel { .. }
            | ErrorKind::HashMismatch { .. } => Fault::Package(text),
            _ => Fault::Engine(text),
        })
    }

    fn event(self) -> RunEvent {
        let fault = match self {
            Self::Cancelled => return RunEvent::Cancelled,
            Self::Download(detail) => Fault::Download(detail),
            Self::Storage(detail) => Fault::Storage(detail),
            Self::Package(detail) => Fault::Package(detail),
            Self::Engine(detail) => Fault::Engine(detail),
            Self::Diffusion(error) => Fault::Engine(error.to_string()),
            Self::Fault(fault) => fault,
        };
        RunEvent::Failed { fault }
    }
}

#[derive(Default)]
struct State {
    /// The run at work and the visitor's hand on it.
    current: Option<(u32, Control)>,
    /// The package kept from the last run.
    loaded: Option<Loaded>,
    /// The weights, once opened.
    store: Option<Store>,
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
            let report = device::probe(measure).await;
            post(&FromWorker::Probed { report }, None);
        }),
        ToWorker::Generate { run, order } => spawn_local(generate(run, *order)),
        ToWorker::Cancel { run } => steer(run, Control::cancel),
        ToWorker::Pause { run, paused: true } => steer(run, Control::pause),
        ToWorker::Pause { run, paused: false } => steer(run, Control::proceed),
        ToWorker::Room { run, choice } => steer(run, |control| control.answer(choice)),
        ToWorker::Storage => spawn_local(async { tell_storage(Ok(())).await }),
        ToWorker::Forget { digest } => spawn_local(async move {
            let removed = store().await.remove(&digest).await;
            tell_storage(removed).await;
        }),
        ToWorker::Verify { digest } => spawn_local(verify(digest)),
    }
}

/// Acts on a run, if it is the one at work.
fn steer(run: u32, act: impl FnOnce(&Control)) {
    STATE.with_borrow(|state| match &state.current {
        Some((current, control)) if *current == run => act(control),
        _ => {}
    });
}

async fn store() -> Store {
    if let Some(store) = STATE.with_borrow(|state| state.store.clone()) {
        return store;
    }
    let store = Store::open().await;
    STATE.with_borrow_mut(|state| state.store.get_or_insert(store).clone())
}

/// Tells that this worker lives for as long as `run` is at work.
async fn beat(run: u32) {
    while STATE.with_borrow(|s| {
        s.current
            .as_ref()
            .is_some_and(|(current, _)| *current == run)
    }) {
        post(&FromWorker::Alive, None);
        js::sleep(BEAT_MS).await;
    }
}

async fn generate(run: u32, order: Order) {
    let control = Control::default();
    let kept = STATE.with_borrow_mut(|state| {
        state.current = Some((run, control.clone()));
        state.loaded.take()
    });
    spawn_local(beat(run));
    let store = store().await;
    let report = |event: RunEvent| post(&FromWorker::Run { run, event }, None);
    let (kept, end) = render::render(kept, store, &order, &control, &report).await;
    STATE.with_borrow_mut(|state| {
        state.loaded = kept;
        state.current = None;
    });
    match end {
        Ok((event, png)) => post(&FromWorker::Run { run, event }, Some(png)),
        Err(end) => report(end.event()),
    }
}

async fn tell_storage(before: Result<(), ShelfError>) {
    let storage = match before {
        Ok(()) => store().await.report().await,
        Err(error) => Err(error),
    };
    let storage = storage.map_err(|error| error.to_string());
    post(&FromWorker::Storage { storage }, None);
}

async fn verify(digest: String) {
    let mut bytes = 0;
    let mut told = 0;
    let on_bytes = |more: u64| {
        bytes += more;
        if bytes - told >= 4 << 20 {
            told = bytes;
            let digest = digest.clone();
            post(&FromWorker::Verifying { digest, bytes }, None);
        }
    };
    let damaged = store().await.verify(&digest, on_bytes).await;
    let damaged = damaged.map_err(|error| error.to_string());
    post(&FromWorker::Verified { digest, damaged }, None);
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
