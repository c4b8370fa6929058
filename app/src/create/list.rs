//! The batches of a visit: what was made, what is being made, and what waits behind it.

use leptos::prelude::*;
#[cfg(browser)]
use protocol::ResolvedRequest;

#[cfg(browser)]
use super::batch::Asked;
use super::batch::{Batch, Shot};

/// Pictures that are kept for the visit beyond the batch that is shown.
#[cfg(browser)]
const KEPT: usize = 64;

/// Handle on them; lives as long as the application.
#[derive(Clone, Copy)]
pub(super) struct Batches {
    /// In the order in which they are, or were, made.
    all: RwSignal<Vec<Batch>>,
    /// The one that was begun last.
    begun: RwSignal<Option<u32>>,
    /// The one, and which of its pictures, that the visitor looks at; else what is being made, or was made last.
    picked: RwSignal<Option<(u32, usize)>>,
    #[cfg(browser)]
    next_id: StoredValue<u32>,
}

impl Batches {
    pub(super) fn new() -> Self {
        Self {
            all: RwSignal::default(),
            begun: RwSignal::new(None),
            picked: RwSignal::new(None),
            #[cfg(browser)]
            next_id: StoredValue::new(0),
        }
    }

    /// Puts a batch behind all others.
    #[cfg(browser)]
    pub(super) fn add(self, asked: Asked, requests: Vec<ResolvedRequest>) -> Batch {
        let id = self.next_id.get_value();
        self.next_id.set_value(id + 1);
        let batch = Batch::new(id, asked, requests);
        self.forget_oldest();
        let first = !untrack(|| self.is_working());
        self.all.update(|all| all.push(batch.clone()));
        if first {
            self.picked.set(None);
            self.begun.set(Some(id));
        }
        batch
    }

    /// Lets the oldest finished batches go where there are many pictures.
    #[cfg(browser)]
    fn forget_oldest(self) {
        untrack(|| {
            self.all.update(|all| {
                while all.iter().map(|batch| batch.shots.len()).sum::<usize>() > KEPT {
                    let Some(oldest) = all.iter().position(Batch::is_over) else {
                        return;
                    };
                    all.remove(oldest);
                }
            });
        });
    }

    /// The next picture to be made, and its batch.
    #[cfg(browser)]
    pub(super) fn next(self) -> Option<(Batch, Shot)> {
        untrack(|| {
            self.all.with(|all| {
                let shots = all
                    .iter()
                    .flat_map(|batch| batch.shots.iter().map(move |shot| (batch, *shot)));
                let mut waiting = shots.filter(|(_, shot)| shot.is_waiting());
                waiting.next().map(|(batch, shot)| (batch.clone(), shot))
            })
        })
    }

    /// The batch is being made now.
    #[cfg(browser)]
    pub(super) fn begin(self, batch: &Batch) {
        if self.begun.get_untracked() != Some(batch.id) {
            self.begun.set(Some(batch.id));
        }
    }

    /// Whether a picture is being made or waits.
    pub(super) fn is_working(self) -> bool {
        self.all
            .with(|all| all.iter().any(|batch| !batch.is_over()))
    }

    /// Those of which nothing was begun, but for the one that is next.
    pub(super) fn waiting(self) -> Vec<Batch> {
        let begun = self.begun.get();
        self.all.with(|all| {
            let waiting = all.iter().filter(|batch| batch.is_waiting());
            waiting
                .filter(|batch| Some(batch.id) != begun)
                .cloned()
                .collect()
        })
    }

    /// Those that are over or under way, the newest first.
    pub(super) fn visited(self) -> Vec<Batch> {
        self.all.with(|all| {
            let visited = all.iter().rev().filter(|batch| !batch.is_waiting());
            visited.cloned().collect()
        })
    }

    /// The batch that is shown.
    pub(super) fn shown(self) -> Option<Batch> {
        let id = self.picked.get().map(|(id, _)| id);
        let id = id.or_else(|| self.begun.get());
        self.all
            .with(|all| all.iter().find(|batch| Some(batch.id) == id).cloned())
    }

    /// The picture that is shown.
    pub(super) fn shown_shot(self) -> Option<Shot> {
        let batch = self.shown()?;
        match self.picked.get() {
            Some((_, index)) => batch.shots.get(index).copied(),
            None => batch.foremost(),
        }
    }

    /// Shows a picture of a batch.
    pub(super) fn pick(self, id: u32, index: usize) {
        self.picked.set(Some((id, index)));
    }

    /// Shows the picture that is `by` further on in the batch that is shown, if there is one.
    #[cfg(browser)]
    pub(super) fn step(self, by: isize) {
        let next = untrack(|| {
            let batch = self.shown()?;
            let shown = self.shown_shot()?;
            let at = batch.shots.iter().position(|shot| *shot == shown)?;
            let next = at.checked_add_signed(by)?;
            (next < batch.shots.len()).then_some((batch.id, next))
        });
        if let Some((id, index)) = next {
            self.pick(id, index);
        }
    }

    /// Shows none of them until the next is asked for.
    #[cfg(browser)]
    pub(super) fn put_away(self) {
        self.picked.set(None);
        self.begun.set(None);
    }

    /// Stops the batch that is being made.
    pub(super) fn cancel(self) {
        let batch = untrack(|| {
            self.all.with(|all| {
                let active = |batch: &&Batch| batch.shots.iter().any(|shot| shot.is_active());
                let to_come = |batch: &&Batch| !batch.is_over();
                let found = all.iter().find(active).or_else(|| all.iter().find(to_come));
                found.cloned()
            })
        });
        if let Some(batch) = batch {
            batch.cancel();
        }
    }

    /// Leaves out a batch that waits.
    pub(super) fn drop_waiting(self, id: u32) {
        untrack(|| {
            self.all
                .update(|all| all.retain(|batch| batch.id != id || !batch.is_waiting()));
        });
    }

    /// Has a batch that waits made before the one ahead of it.
    pub(super) fn move_up(self, id: u32) {
        untrack(|| {
            let waiting = self.waiting();
            let at = waiting.iter().position(|batch| batch.id == id);
            let ahead = at.and_then(|at| waiting.get(at.checked_sub(1)?));
            let Some(ahead) = ahead.map(|batch| batch.id) else {
                return;
            };
            self.all.update(|all| {
                let index = |id: u32| all.iter().position(|batch| batch.id == id);
                if let (Some(a), Some(b)) = (index(ahead), index(id)) {
                    all.swap(a, b);
                }
            });
        });
    }
}
