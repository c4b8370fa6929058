//! Whether the markers say what the records say.

use futures::{StreamExt, TryStreamExt};
use protocol::{Problem, ProblemCode};

use super::inventory::{Inventory, OWNED, PUBLIC};
use super::pages::Pages;
use super::{Swept, Times};
use crate::images::records::{Kept, State, Stored};
use crate::images::{ImageId, Images, keys};

/// Records read at the same time.
const PARALLEL: usize = 8;

impl Images {
    /// Reads the records that changed since `since`, all of them without a time, and puts their markers right; deletes
    /// markers of records that are not there.
    pub(super) async fn audit(
        &self,
        inventory: &Inventory,
        since: Option<u64>,
        times: &Times,
        swept: &mut Swept,
    ) -> Result<(), Problem> {
        let changed = |modified_at: u64| since.is_none_or(|since| modified_at >= since);
        let ids: Vec<u128> = inventory
            .records
            .iter()
            .filter(|(_, modified_at)| changed(**modified_at))
            .map(|(id, _)| *id)
            .collect();
        let repaired: Vec<bool> = futures::stream::iter(ids)
            .map(|bits| async move {
                let markers = inventory.markers.get(&bits).copied().unwrap_or_default();
                self.audit_one(&ImageId::from_bits(bits), markers).await
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        swept.repaired += repaired.into_iter().filter(|repaired| *repaired).count();
        for prefix in [keys::LISTED, keys::MODELS, keys::CREATORS, keys::OWNED] {
            let mut pages = Pages::new(self, prefix);
            while let Some(objects) = pages.next().await? {
                for key in objects.into_iter().map(|object| object.key) {
                    let Some(id) = keys::id_in(&key) else {
                        continue;
                    };
                    let orphaned = !inventory.records.contains_key(&id.to_bits())
                        && id.created_at() <= times.settled;
                    if orphaned && self.load(&id).await?.is_none() {
                        self.store.delete(&key).await?;
                        swept.leftovers += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the markers had to be put right.
    async fn audit_one(&self, id: &ImageId, markers: u8) -> Result<bool, Problem> {
        let loaded = match self.load(id).await {
            // It was logged.
            Err(problem) if problem.code == ProblemCode::Internal => return Ok(false),
            loaded => loaded?,
        };
        // The markers of a tombstone lead to nothing, and go after it.
        let Some(Kept::Picture(stored)) = loaded.map(|loaded| loaded.kept) else {
            return Ok(false);
        };
        if let Some(at) = stored.expires_at {
            self.store.put_marker(&keys::expiry(at, id)).await?;
        }
        let right = markers == expected(&stored);
        if !right {
            self.settle(id, &stored).await?;
        }
        Ok(!right)
    }
}

fn expected(stored: &Stored) -> u8 {
    let owned = if stored.owner.is_some() { OWNED } else { 0 };
    let public = match stored.state {
        State::Listed => PUBLIC,
        _ => 0,
    };
    owned | public
}
