//! Listing, newest first: each page is one list request from a start key, and one GET per record.

use futures::{StreamExt, TryStreamExt};
use protocol::{GalleryPage, GalleryQuery, Problem, ProblemCode};

use super::records::{State, Stored};
use super::{ImageId, Images, OwnerId, keys};

/// Pictures on a page unless the client says otherwise.
pub const DEFAULT_PAGE: usize = 24;
/// Most pictures on one page.
pub const MAX_PAGE: usize = 60;
/// Records fetched at the same time.
const PARALLEL: usize = 12;
/// Keys in one list request where keys are filtered.
const SCAN: usize = 1000;
/// List requests for one page where keys are filtered.
const MAX_SCANS: usize = 10;

/// Ids of a page and where the next one begins.
struct Ids {
    ids: Vec<ImageId>,
    next: Option<String>,
}

impl Images {
    /// One page of what `query` names, as `asking` sees it.
    ///
    /// # Errors
    /// [`ProblemCode::MalformedRequest`] for a cursor that no page gave, [`ProblemCode::OutOfRange`],
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn gallery(
        &self,
        query: &GalleryQuery,
        asking: Option<&OwnerId>,
    ) -> Result<GalleryPage, Problem> {
        let limit = query.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Problem::new(
                ProblemCode::OutOfRange,
                format!("limit is {limit}; 1 to {MAX_PAGE} are accepted"),
            ));
        }
        let cursor = query.cursor.as_deref().map(str::parse).transpose();
        let cursor: Option<ImageId> = cursor.map_err(|_| {
            Problem::new(ProblemCode::MalformedRequest, "this cursor is not known")
                .with_hint("Start at the first page of the gallery.")
        })?;
        let creator = query.creator.as_deref();
        let found = match (query.mine, &query.model) {
            (true, _) => match asking {
                Some(owner) => self.own_ids(owner, query, cursor, limit).await?,
                None => return Ok(GalleryPage::default()),
            },
            (false, Some(model)) => {
                if creator.is_some_and(|creator| creator != keys::creator(model)) {
                    return Ok(GalleryPage::default());
                }
                self.ids_under(&keys::of_model(model), cursor, limit)
                    .await?
            }
            (false, None) => match creator {
                Some(creator) => {
                    self.ids_under(&keys::of_creator(creator), cursor, limit)
                        .await?
                }
                None => self.listed_ids(cursor, limit).await?,
            },
        };
        let records: Vec<Option<Stored>> = futures::stream::iter(found.ids)
            .map(async |id| {
                match self.find(&id).await {
                    // One damaged record must not hide all others; it was logged.
                    Err(problem) if problem.code == ProblemCode::Internal => Ok(None),
                    other => other,
                }
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        Ok(GalleryPage {
            items: records
                .into_iter()
                .flatten()
                .filter(|stored| belongs(stored, query, asking))
                .map(|stored| stored.seen_by(asking))
                .collect(),
            next_cursor: found.next,
        })
    }

    /// Ids of the gallery, of records of the first format too.
    async fn listed_ids(&self, cursor: Option<ImageId>, limit: usize) -> Result<Ids, Problem> {
        let after = cursor.as_ref().map(keys::listed);
        let after_old = cursor.as_ref().map(keys::old_listed);
        let (new, old) = futures::future::try_join(
            self.store.list(keys::LISTED, after, limit),
            self.store.list(keys::OLD_LISTED, after_old, limit),
        )
        .await?;
        let mut more = new.1 || old.1;
        let mut all = ids(&new.0, false).ids;
        all.extend(ids(&old.0, false).ids);
        all.sort_unstable();
        all.dedup();
        more |= all.len() > limit;
        all.truncate(limit);
        let next = all.last().filter(|_| more).map(ToString::to_string);
        Ok(Ids { ids: all, next })
    }

    /// Ids from the markers under `prefix`.
    async fn ids_under(
        &self,
        prefix: &str,
        cursor: Option<ImageId>,
        limit: usize,
    ) -> Result<Ids, Problem> {
        let after = cursor.map(|id| format!("{prefix}{id}"));
        let (found, more) = self.store.list(prefix, after, limit).await?;
        Ok(ids(&found, more))
    }

    /// Ids of an owner's pictures; a filter looks at the keys alone, many at a time.
    async fn own_ids(
        &self,
        owner: &OwnerId,
        query: &GalleryQuery,
        cursor: Option<ImageId>,
        limit: usize,
    ) -> Result<Ids, Problem> {
        let prefix = keys::of_owner(owner);
        // `~` sorts behind the `!` that follows the id in these keys.
        let mut after = cursor.map(|id| format!("{prefix}{id}~"));
        let wanted = |key: &str| {
            let slug = key.split_once('!').map_or("", |(_, slug)| slug);
            let of_model = |model: &String| slug == keys::slug(model);
            let of_creator =
                |creator: &String| slug.split_once('!').is_some_and(|(c, _)| c == creator);
            query.model.as_ref().is_none_or(of_model)
                && query.creator.as_ref().is_none_or(of_creator)
        };
        let filtered = query.model.is_some() || query.creator.is_some();
        let size = if filtered { SCAN } else { limit };
        let mut found: Vec<String> = Vec::new();
        for _ in 0..MAX_SCANS {
            let (page, more) = self.store.list(&prefix, after, size).await?;
            after = page.last().cloned();
            found.extend(page.into_iter().filter(|key| wanted(key)));
            if found.len() > limit || (found.len() == limit && more) {
                found.truncate(limit);
                return Ok(ids(&found, true));
            }
            if !more || after.is_none() {
                return Ok(ids(&found, false));
            }
        }
        // The page is short, the list goes on behind it.
        let next = after.as_deref().and_then(keys::id_in);
        Ok(Ids {
            next: next.map(|id| id.to_string()),
            ..ids(&found, false)
        })
    }
}

/// Whether the record itself is one of those that `query` names: a marker may be older than the record's last change.
fn belongs(stored: &Stored, query: &GalleryQuery, asking: Option<&OwnerId>) -> bool {
    let shown = if query.mine {
        stored.is_of(asking) && stored.is_shown_to(asking)
    } else {
        stored.state == State::Listed
    };
    let of_model = |model: &String| stored.model() == model;
    let of_creator = |creator: &String| keys::creator(stored.model()) == creator;
    shown
        && query.model.as_ref().is_none_or(of_model)
        && query.creator.as_ref().is_none_or(of_creator)
}

fn ids(found: &[String], more: bool) -> Ids {
    let ids: Vec<ImageId> = found
        .iter()
        .filter_map(|key| {
            let id = keys::id_in(key);
            if id.is_none() {
                tracing::error!(key, "foreign object among the records");
            }
            id
        })
        .collect();
    let next = ids.last().filter(|_| more).map(ToString::to_string);
    Ids { ids, next }
}
