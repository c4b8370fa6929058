//! Listing, newest first.

use futures::{StreamExt, TryStreamExt};
use protocol::{GalleryPage, ImageRecord, Problem, ProblemCode};

use super::{GALLERY, ImageId, Images, record_key};

/// Pictures on a page unless the client says otherwise.
pub const DEFAULT_PAGE: usize = 24;
/// Most pictures on one page.
pub const MAX_PAGE: usize = 60;
/// Records fetched at the same time.
const PARALLEL: usize = 12;

impl Images {
    /// One page after `cursor`, at most `limit` (1 to [`MAX_PAGE`]) pictures.
    ///
    /// # Errors
    /// [`ProblemCode::MalformedRequest`] for a cursor that no page gave, [`ProblemCode::OutOfRange`],
    /// [`ProblemCode::StorageUnavailable`].
    pub async fn gallery(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<GalleryPage, Problem> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Problem::new(
                ProblemCode::OutOfRange,
                format!("limit is {limit}; 1 to {MAX_PAGE} are accepted"),
            ));
        }
        let start_after = cursor
            .map(|c| c.parse::<ImageId>().map(|id| record_key(&id)))
            .transpose()
            .map_err(|_| {
                Problem::new(ProblemCode::MalformedRequest, "this cursor is not known")
                    .with_hint("Start at the first page of the gallery.")
            })?;
        let (keys, more) = self.store.list(GALLERY, start_after, limit).await?;
        let ids: Vec<ImageId> = keys.iter().filter_map(|key| id_of(key)).collect();
        let next_cursor = ids.last().filter(|_| more).map(ToString::to_string);
        let records: Vec<Option<ImageRecord>> = futures::stream::iter(ids)
            .map(async |id| match self.find_record(&id).await {
                // One damaged record must not hide all others; `find_record` has logged it.
                Err(problem) if problem.code == ProblemCode::Internal => Ok(None),
                other => other,
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        Ok(GalleryPage {
            items: records.into_iter().flatten().collect(),
            next_cursor,
        })
    }
}

fn id_of(key: &str) -> Option<ImageId> {
    let name = key.strip_prefix(GALLERY)?.strip_suffix(".json")?;
    let id = name.split_once('-')?.1.parse().ok();
    if id.is_none() {
        tracing::error!(key, "foreign object among the records");
    }
    id
}
