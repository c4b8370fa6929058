//! A run as a page holds it.

use leptos::prelude::*;

use super::run::{Finished, Run};
use crate::worker::message::RoomChoice;

#[cfg(browser)]
use super::browser::{Wish, Wishes};
#[cfg(browser)]
use super::run::Phase;

/// What a run shows, and how it is steered.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct RunHandle {
    /// What it shows.
    pub(crate) state: RwSignal<Run>,
    /// The way to the run under way.
    #[cfg(browser)]
    wishes: StoredValue<Option<Wishes>>,
}

impl RunHandle {
    pub(crate) fn new() -> Self {
        Self {
            state: RwSignal::default(),
            #[cfg(browser)]
            wishes: StoredValue::new(None),
        }
    }

    /// The picture, once there is one.
    pub(crate) fn finished(self) -> Option<Finished> {
        self.state.with(|run| run.finished().cloned())
    }

    /// Stops it, if it is under way.
    pub(crate) fn cancel(self) {
        in_browser!(self => self.ask_to_cancel());
    }

    /// Stops the download of the run, or goes on with it.
    pub(crate) fn pause(self, paused: bool) {
        in_browser!(self, paused => self.wish(Wish::Pause(paused)));
    }

    /// Answers the question of a run that needs room.
    pub(crate) fn choose_room(self, choice: RoomChoice) {
        in_browser!(self, choice => self.wish(Wish::Room(choice)));
    }

    /// Sends it to the server.
    pub(crate) fn send_to_server(self) {
        in_browser!(self => self.wish(Wish::ToServer));
    }
}

// The page of a run may have been left, and the handle's signals with it: then nobody looks any more.
#[cfg(browser)]
impl RunHandle {
    /// Begins to show a run that hears of wishes by `wishes`.
    pub(super) fn begin(self, wishes: Wishes) {
        self.wishes.try_set_value(Some(wishes));
        self.state.try_set(Run::begin());
    }

    /// Changes what is shown, unless the run is being cancelled: then only its end may change it.
    pub(super) fn update(self, change: impl FnOnce(&mut Run)) {
        self.state.try_update(|run| {
            if run.phase != Phase::Cancelling {
                change(run);
            }
        });
    }

    /// Shows the end of the run.
    pub(super) fn end(self, phase: Phase) {
        self.wishes.try_set_value(None);
        self.state.try_update(|run| {
            run.preview = None;
            run.phase = phase;
        });
    }

    fn ask_to_cancel(self) {
        let cancellable = |run: &Run| run.is_active() && run.phase != Phase::Cancelling;
        if self.state.try_with_untracked(cancellable) == Some(true) {
            self.state.update(|run| run.phase = Phase::Cancelling);
            self.wish(Wish::Cancel);
        }
    }

    fn wish(self, wish: Wish) {
        self.wishes.try_with_value(|wishes| {
            if let Some(wishes) = wishes {
                wishes.send(wish);
            }
        });
    }
}
