//! What comes to its end for a known reason.

use protocol::{Problem, ProblemCode};

use super::pages::Pages;
use super::{Swept, Times};
use crate::images::records::{Kept, Stored};
use crate::images::references::now;
use crate::images::{ImageId, Images, keys, no_such_picture};

impl Images {
    /// Gives records of the first format a key of this one. Their old keys stay until they are marked and removed, so
    /// that a replica of before that still runs finds them.
    pub(super) async fn take_over(&self, swept: &mut Swept) -> Result<(), Problem> {
        for prefix in [keys::OLD_LISTED, keys::OLD_UNLISTED] {
            let mut pages = Pages::new(self, prefix);
            while let Some(objects) = pages.next().await? {
                for id in objects.iter().filter_map(|object| keys::id_in(&object.key)) {
                    match self.take_one_over(&id).await {
                        Ok(taken) => swept.taken_over += usize::from(taken),
                        // It was logged.
                        Err(problem) if problem.code == ProblemCode::Internal => {}
                        Err(problem) => return Err(problem),
                    }
                }
            }
        }
        Ok(())
    }

    async fn take_one_over(&self, id: &ImageId) -> Result<bool, Problem> {
        match self.load(id).await? {
            Some(loaded) if !loaded.is_taken_over() => {}
            _ => return Ok(false),
        }
        let changed = self.update(id, |stored| Ok(Kept::Picture(Box::new(stored))));
        let Some(changed) = changed.await? else {
            return Ok(false);
        };
        self.settle(id, &changed.before).await?;
        Ok(true)
    }

    /// Deletes the objects written before.
    pub(super) async fn remove_older(&self, prefix: &str, before: u64) -> Result<usize, Problem> {
        let mut removed = 0;
        let mut pages = Pages::new(self, prefix);
        while let Some(objects) = pages.next().await? {
            for object in objects {
                if object.modified_at <= before {
                    self.store.delete(&object.key).await?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Ends the uploads that were announced long ago and never committed.
    pub(super) async fn end_uploads(
        &self,
        times: &Times,
        swept: &mut Swept,
    ) -> Result<(), Problem> {
        let mut pages = Pages::new(self, keys::PENDING);
        while let Some(objects) = pages.next().await? {
            for id in objects.iter().filter_map(|object| keys::id_in(&object.key)) {
                if id.created_at() > times.expired {
                    continue;
                }
                let pending = match self.pending(&id).await {
                    // It was logged; its reference is then one that nothing explains.
                    Err(problem) if problem.code == ProblemCode::Internal => None,
                    pending => pending?,
                };
                if let Some(pending) = pending {
                    let owner = pending.keeping.owner.as_ref();
                    if self.end_upload(&id, &pending.sha256, owner).await? {
                        let removed = self.remove_if_unreferenced(&pending.sha256).await?;
                        swept.pictures += usize::from(removed);
                    }
                }
                self.forget_upload(&id).await?;
                swept.uploads += 1;
            }
        }
        Ok(())
    }

    /// Removes the pictures whose time has come and that nobody saved.
    pub(super) async fn end_expired(&self, swept: &mut Swept) -> Result<(), Problem> {
        let mut pages = Pages::new(self, keys::EXPIRIES);
        while let Some(objects) = pages.next().await? {
            for key in objects.into_iter().map(|object| object.key) {
                // In the order of their times.
                if keys::time_in(&key).is_some_and(|at| at > now()) {
                    return Ok(());
                }
                let Some(id) = keys::id_in(&key) else {
                    continue;
                };
                match self.remove(&id, "expiry", has_expired).await {
                    Ok(removed) => swept.expired += usize::from(removed.is_some()),
                    // Saved after the marker was written, or damaged, which was logged.
                    Err(problem)
                        if matches!(
                            problem.code,
                            ProblemCode::NotFound | ProblemCode::Internal
                        ) => {}
                    Err(problem) => return Err(problem),
                }
                self.store.delete(&key).await?;
            }
        }
        Ok(())
    }

    /// Ends removals that broke off, and forgets old ones.
    pub(super) async fn end_removals(
        &self,
        times: &Times,
        swept: &mut Swept,
    ) -> Result<(), Problem> {
        let mut pages = Pages::new(self, keys::REMOVED);
        while let Some(objects) = pages.next().await? {
            for object in objects {
                let Some(id) = keys::id_in(&object.key) else {
                    continue;
                };
                let loaded = match self.load(&id).await {
                    Err(problem) if problem.code == ProblemCode::Internal => continue,
                    loaded => loaded?,
                };
                let gone = match loaded.map(|loaded| loaded.kept) {
                    Some(Kept::Removed(tombstone)) => {
                        let owner = tombstone.owner.as_ref();
                        self.finish_removal(&id, &tombstone.sha256, owner).await?;
                        let gone = tombstone.removed_at <= times.expired;
                        if gone {
                            self.store.delete(&keys::record(&id)).await?;
                        }
                        gone
                    }
                    // The removal did not come to the record.
                    _ => object.modified_at <= times.settled,
                };
                if gone {
                    self.store.delete(&object.key).await?;
                    swept.leftovers += 1;
                }
            }
        }
        Ok(())
    }
}

fn has_expired(stored: &Stored) -> Result<(), Problem> {
    match stored.expires_at {
        Some(at) if at <= now() => Ok(()),
        _ => Err(no_such_picture()),
    }
}
