//! The one worker of this tab while no run has it, with the package that it loaded.

use std::cell::{Cell, RefCell};

use protocol::Place;

use super::worker::RenderWorker;
use crate::browser::{has_webgpu, time};

/// Pause before looking again whether the worker has answered somebody else.
const ASKING_MS: i32 = 50;

thread_local! {
    static IDLE: RefCell<Option<RenderWorker>> = const { RefCell::new(None) };
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// The idle worker of `place`; one of the other place is ended, which frees its memory.
pub(super) async fn take(place: Place) -> Result<RenderWorker, String> {
    match IDLE.take().filter(|worker| worker.place() == place) {
        Some(worker) => Ok(worker),
        None => RenderWorker::start(place).await,
    }
}

/// Gives it back.
pub(super) fn put_back(worker: RenderWorker) {
    IDLE.set(Some(worker));
}

/// Any idle worker, else a new one: all see the same store.
pub(crate) async fn take_any() -> Result<RenderWorker, String> {
    match IDLE.take() {
        Some(worker) => Ok(worker),
        None => {
            RenderWorker::start(if has_webgpu() {
                Place::BrowserGpu
            } else {
                Place::BrowserCpu
            })
            .await
        }
    }
}

/// Gives back what [`take_any`] gave; a worker that a run has put there meanwhile stays, with its package.
pub(crate) fn put_back_unless_replaced(worker: RenderWorker) {
    IDLE.with_borrow_mut(|idle| {
        idle.get_or_insert(worker);
    });
}

/// Says for as long as it lives that the worker is being asked what this browser can do.
pub(super) struct Asking(());

impl Asking {
    pub(super) fn begin() -> Self {
        ASKED.set(true);
        Self(())
    }

    /// Waits for the worker that is being asked, instead of starting another one.
    pub(super) async fn ended() {
        while ASKED.get() {
            time::sleep(ASKING_MS).await;
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKED.set(false);
    }
}
