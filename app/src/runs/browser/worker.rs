//! The render worker as the page sees it.

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use js_sys::{Array, ArrayBuffer};
use leptos::prelude::document;
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, Worker};

use crate::browser::text;
use crate::browser::time::within;
use crate::worker::message::{FromWorker, ToWorker};
use protocol::Place;

/// Longest wait for the worker to be fetched, compiled and started.
const START_MS: i32 = 60_000;

/// A message, with the PNG where it carries one; or the sentence why there will be none.
pub(crate) type Incoming = Result<(FromWorker, Option<ArrayBuffer>), String>;

/// A running worker; dropping it ends the worker at once.
pub(crate) struct RenderWorker {
    worker: Worker,
    place: Place,
    incoming: UnboundedReceiver<Incoming>,
    runs: u32,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn(JsValue)>,
}

impl RenderWorker {
    /// Starts the worker of `place`, whose address the page carries, and waits until it listens.
    pub(crate) async fn start(place: Place) -> Result<Self, String> {
        let url = address(place).ok_or("the page does not name its render worker")?;
        let worker = Worker::new(&url)
            .map_err(|e| format!("the render worker could not be started: {}", text(&e)))?;
        let (sender, incoming) = unbounded();
        let on_message = listen(sender.clone(), |event: MessageEvent| read(&event.data()));
        let on_error = listen(sender, |event: JsValue| Err(crash(&event)));
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onmessageerror(Some(on_error.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let mut this = Self {
            worker,
            place,
            incoming,
            runs: 0,
            _on_message: on_message,
            _on_error: on_error,
        };
        match within(START_MS, this.incoming.next()).await {
            Some(Some(Ok((FromWorker::Ready, _)))) => Ok(this),
            Some(Some(Ok((other, _)))) => Err(format!("the render worker began with {other:?}")),
            Some(Some(Err(detail))) => Err(detail),
            Some(None) | None => Err(format!(
                "the render worker did not start within {} s",
                START_MS / 1000
            )),
        }
    }

    /// What it runs models on.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// A number for the next run.
    pub(super) fn next_run(&mut self) -> u32 {
        self.runs += 1;
        self.runs
    }

    /// Sends a message.
    pub(crate) fn post(&self, message: &ToWorker) -> Result<(), String> {
        let json = serde_json::to_string(message).map_err(|e| e.to_string())?;
        self.worker
            .post_message(&JsValue::from_str(&json))
            .map_err(|e| format!("the render worker takes no messages: {}", text(&e)))
    }

    /// The next message, if one comes within `ms`.
    pub(super) async fn poll(&mut self, ms: i32) -> Option<Incoming> {
        let next = within(ms, self.incoming.next()).await?;
        Some(next.unwrap_or_else(|| Err("the render worker is gone".into())))
    }

    /// The next message; an error when none comes within `ms`.
    pub(crate) async fn next(&mut self, ms: i32) -> Incoming {
        let silent = || Err(format!("the render worker was silent for {} s", ms / 1000));
        self.poll(ms).await.unwrap_or_else(silent)
    }
}

impl Drop for RenderWorker {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.set_onmessage(None);
        worker.set_onmessageerror(None);
        worker.set_onerror(None);
        worker.terminate();
    }
}

fn listen<E: wasm_bindgen::convert::FromWasmAbi + 'static>(
    sender: UnboundedSender<Incoming>,
    read: impl Fn(E) -> Incoming + 'static,
) -> Closure<dyn Fn(E)> {
    Closure::new(move |event: E| {
        // The receiver lives as long as the closure is registered.
        let _ = sender.unbounded_send(read(event));
    })
}

fn read(data: &JsValue) -> Incoming {
    let (json, png) = match data.dyn_ref::<Array>() {
        Some(pair) => (pair.get(0), pair.get(1).dyn_into().ok()),
        None => (data.clone(), None),
    };
    let json = json.as_string().unwrap_or_default();
    match serde_json::from_str(&json) {
        Ok(FromWorker::Crashed { detail }) => Err(format!("the render worker crashed: {detail}")),
        Ok(message) => Ok((message, png)),
        Err(error) => Err(format!(
            "the render worker sent something unreadable: {error}"
        )),
    }
}

fn crash(event: &JsValue) -> String {
    let detail = event
        .dyn_ref::<ErrorEvent>()
        .map(ErrorEvent::message)
        .filter(|m| !m.is_empty())
        .unwrap_or_else(|| "its script could not be loaded".into());
    format!("the render worker stopped: {detail}")
}

/// Where the page says that the worker of `place` lies; the address changes with the worker.
pub(crate) fn address(place: Place) -> Option<String> {
    let tag = match place {
        Place::BrowserCpu => "meta[name=hub-cpu-worker]",
        Place::BrowserGpu | Place::Server => "meta[name=hub-worker]",
    };
    document()
        .query_selector(tag)
        .ok()??
        .get_attribute("content")
        .filter(|url| !url.is_empty())
}
