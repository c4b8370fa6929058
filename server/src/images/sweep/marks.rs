//! What nothing explains goes in two steps: one sweep marks it, a later one looks again and removes it.
//!
//! A list of many keys takes many requests, and much changes meanwhile. So what one list shows is only a suspicion;
//! what is removed is asked about once more, by itself.

use std::collections::HashMap;

use protocol::Problem;

use super::inventory::Unexplained;
use super::pages::Pages;
use super::{Swept, Times};
use crate::images::records::Loaded;
use crate::images::references::now;
use crate::images::{Images, keys};

impl Images {
    /// Removes what was marked before and is still needed by nothing, and marks what is found now.
    pub(super) async fn act_on_marks(
        &self,
        found: Unexplained,
        times: &Times,
        swept: &mut Swept,
    ) -> Result<(), Problem> {
        let mut unexplained = found.keys;
        let mut marks: HashMap<String, String> = HashMap::new();
        let mut pages = Pages::new(self, keys::MARKED);
        while let Some(objects) = pages.next().await? {
            for mark in objects.into_iter().map(|object| object.key) {
                let Some(key) = keys::marked_key(&mark).map(str::to_owned) else {
                    continue;
                };
                // The oldest mark of a key comes first.
                if !unexplained.contains(&key) || marks.contains_key(&key) {
                    self.store.delete(&mark).await?;
                } else {
                    marks.insert(key, mark);
                }
            }
        }
        for (key, mark) in marks {
            unexplained.remove(&key);
            if keys::time_in(&mark).is_none_or(|at| at > times.mark_acted_on(&key)) {
                continue;
            }
            self.remove_marked(&key, swept).await?;
            self.store.delete(&mark).await?;
        }
        for key in unexplained {
            self.store.put_marker(&keys::marked(now(), &key)).await?;
            swept.marked += 1;
        }
        Ok(())
    }

    /// Looks once more, and removes the object unless it is needed.
    async fn remove_marked(&self, key: &str, swept: &mut Swept) -> Result<(), Problem> {
        let (id, digest) = (keys::id_in(key), keys::digest_in(key));
        if is_old(key) {
            if let Some(id) = id
                && self
                    .load(&id)
                    .await?
                    .as_ref()
                    .is_some_and(Loaded::is_taken_over)
            {
                self.store.delete(key).await?;
                swept.leftovers += 1;
            }
            return Ok(());
        }
        let Some(sha256) = digest else {
            return Ok(());
        };
        if key.starts_with(keys::REFERENCES) {
            let Some(id) = id else {
                return Ok(());
            };
            // In this order: a commit writes its record before it forgets its announcement.
            if self.pending(&id).await?.is_some() || self.load(&id).await?.is_some() {
                return Ok(());
            }
            self.store.delete(key).await?;
            swept.leftovers += 1;
            self.remove_if_unreferenced(sha256).await?;
            return Ok(());
        }
        swept.pictures += usize::from(self.remove_if_unreferenced(sha256).await?);
        Ok(())
    }
}

impl Times {
    /// Marks of `key` from before are acted on. A replica of before may still need a key of the first format.
    fn mark_acted_on(&self, key: &str) -> u64 {
        if is_old(key) {
            self.expired
        } else {
            self.marked
        }
    }
}

/// Whether a record of the first format lies there.
fn is_old(key: &str) -> bool {
    key.starts_with(keys::OLD_LISTED) || key.starts_with(keys::OLD_UNLISTED)
}
