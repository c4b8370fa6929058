//! One's own pictures, all of them: one in memory at a time.

use std::collections::VecDeque;

use futures::Stream;
use protocol::{GalleryQuery, ImageRecord, Problem, ProblemCode};

use super::{Images, MAX_PAGE, OwnerId};

/// A picture to be exported.
pub struct Entry {
    /// Its record.
    pub record: ImageRecord,
    /// Its PNG.
    pub png: Vec<u8>,
}

/// How far an export has come.
struct Export {
    images: Images,
    owner: OwnerId,
    query: GalleryQuery,
    page: VecDeque<ImageRecord>,
    last_page: bool,
}

impl Images {
    /// All pictures of `owner`, newest first. One that vanishes meanwhile is left out.
    pub fn export(
        &self,
        owner: OwnerId,
    ) -> impl Stream<Item = Result<Entry, Problem>> + Send + use<> {
        let export = Export {
            images: self.clone(),
            owner,
            query: GalleryQuery {
                mine: true,
                limit: Some(MAX_PAGE),
                ..GalleryQuery::default()
            },
            page: VecDeque::new(),
            last_page: false,
        };
        futures::stream::try_unfold(export, |mut export| async move {
            let entry = export.next().await?;
            Ok(entry.map(|entry| (entry, export)))
        })
    }
}

impl Export {
    async fn next(&mut self) -> Result<Option<Entry>, Problem> {
        loop {
            while let Some(record) = self.page.pop_front() {
                match self.images.png(&record.sha256).await {
                    Ok(png) => return Ok(Some(Entry { record, png })),
                    Err(problem) if problem.code == ProblemCode::NotFound => {}
                    Err(problem) => return Err(problem),
                }
            }
            if self.last_page {
                return Ok(None);
            }
            let page = self.images.gallery(&self.query, Some(&self.owner)).await?;
            self.last_page = page.next_cursor.is_none();
            self.query.cursor = page.next_cursor;
            self.page = page.items.into();
        }
    }
}
