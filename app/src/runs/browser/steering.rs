//! The visitor's hand on a run.

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

use crate::worker::message::RoomChoice;

/// What a visitor may want of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wish {
    /// To stop it.
    Cancel,
    /// To have the server make the rest.
    ToServer,
    /// To stop its download for now, or to go on with it.
    Pause(bool),
    /// The answer to its question for room.
    Room(RoomChoice),
}

/// The end that wishes are sent from.
#[derive(Clone)]
pub(crate) struct Wishes(UnboundedSender<Wish>);

impl Wishes {
    pub(crate) fn send(&self, wish: Wish) {
        // A run that ended in this very moment no longer listens, and needs no steering.
        let _ = self.0.unbounded_send(wish);
    }
}

/// The end that a run hears them at.
pub(crate) struct Steering(UnboundedReceiver<Wish>);

/// A way for wishes.
pub(super) fn steering() -> (Wishes, Steering) {
    let (sender, receiver) = unbounded();
    (Wishes(sender), Steering(receiver))
}

impl Steering {
    /// For work that nobody steers.
    pub(crate) fn nobody() -> Self {
        steering().1
    }

    /// The next wish; waits for ever where none can come any more.
    pub(super) async fn next(&mut self) -> Wish {
        match self.0.next().await {
            Some(wish) => wish,
            None => futures::future::pending().await,
        }
    }

    /// Waits until the visitor wants to stop; nothing else can be wished meanwhile.
    pub(super) async fn cancelled(&mut self) {
        while self.next().await != Wish::Cancel {}
    }
}
