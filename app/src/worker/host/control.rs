//! The visitor's hand on a run: cancel, pause, and the answer to a question.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use diffusion::Cancel;
use web_sys::AbortController;

use super::End;
use super::js::sleep;
use crate::worker::message::RoomChoice;

/// Pause between two looks at whether a paused run goes on, in milliseconds.
const POLL_MS: i32 = 100;

/// Clones share the state.
#[derive(Clone, Default)]
pub(super) struct Control(Rc<Inner>);

#[derive(Default)]
struct Inner {
    cancel: Cancel,
    paused: Cell<bool>,
    transfers: RefCell<Vec<AbortController>>,
    choice: Cell<Option<RoomChoice>>,
}

impl Control {
    /// The flag that the pipeline looks at.
    pub(super) fn flag(&self) -> &Cancel {
        &self.0.cancel
    }

    /// Ends the run: transfers at once, everything else within a step.
    pub(super) fn cancel(&self) {
        self.0.cancel.cancel();
        self.abort();
    }

    /// Stops transfers until [`Self::proceed`].
    pub(super) fn pause(&self) {
        self.0.paused.set(true);
        self.abort();
    }

    /// Ends a pause.
    pub(super) fn proceed(&self) {
        self.0.paused.set(false);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.0.paused.get()
    }

    /// The visitor's answer to [`Self::room_choice`].
    pub(super) fn answer(&self, choice: RoomChoice) {
        self.0.choice.set(Some(choice));
    }

    /// Fails when the run was cancelled.
    pub(super) fn check(&self) -> Result<(), End> {
        if self.0.cancel.is_cancelled() {
            return Err(End::Cancelled);
        }
        Ok(())
    }

    /// Waits while the run is paused.
    pub(super) async fn gate(&self) -> Result<(), End> {
        loop {
            self.check()?;
            if !self.is_paused() {
                return Ok(());
            }
            sleep(POLL_MS).await;
        }
    }

    /// Waits for `ms` milliseconds, or until the run is cancelled.
    pub(super) async fn wait(&self, ms: i32) -> Result<(), End> {
        let mut left = ms;
        while left > 0 {
            self.check()?;
            sleep(left.min(POLL_MS)).await;
            left -= POLL_MS;
        }
        self.check()
    }

    /// Waits for the visitor's answer.
    pub(super) async fn room_choice(&self) -> Result<RoomChoice, End> {
        loop {
            self.check()?;
            if let Some(choice) = self.0.choice.take() {
                return Ok(choice);
            }
            sleep(POLL_MS).await;
        }
    }

    /// A transfer that cancel and pause stop.
    pub(super) fn transfer(&self, controller: AbortController) {
        self.0.transfers.borrow_mut().push(controller);
    }

    /// A transfer has ended.
    pub(super) fn finished(&self, controller: &AbortController) {
        self.0.transfers.borrow_mut().retain(|c| c != controller);
    }

    fn abort(&self) {
        for controller in self.0.transfers.take() {
            controller.abort();
        }
    }
}
