//! One's own pictures, all of them: one in memory at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::Stream;
use protocol::{GalleryQuery, ImageRecord, Problem, ProblemCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Images, MAX_PAGE, OwnerId};

/// A picture to be exported.
pub struct Entry {
    /// Its record.
    pub record: ImageRecord,
    /// Its PNG.
    pub png: Vec<u8>,
    /// Room in memory for it, until dropped.
    pub room: OwnedSemaphorePermit,
}

/// Memory that pictures on their way may take, shared by all exports. They are waited for where it is full.
#[derive(Clone, Debug)]
pub struct Room {
    kibibytes: Arc<Semaphore>,
    most: u32,
}

impl Room {
    /// Room for so many KiB.
    pub fn of_kibibytes(most: u32) -> Self {
        Self {
            kibibytes: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// Room for a picture and its copies: as the store sends it, in one piece, and in the archive.
    ///
    /// # Errors
    /// Never, as long as nobody closes it.
    pub async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let wanted = kibibytes.saturating_mul(COPIES).clamp(1, self.most);
        let room = Arc::clone(&self.kibibytes).acquire_many_owned(wanted);
        room.await.map_err(super::internal)
    }
}

/// Copies of a picture in memory while it is exported.
const COPIES: u32 = 3;

/// How far an export has come.
struct Export {
    images: Images,
    owner: OwnerId,
    query: GalleryQuery,
    page: VecDeque<ImageRecord>,
    last_page: bool,
    room: Room,
}

impl Images {
    /// All pictures of `owner`, newest first. One that vanishes meanwhile is left out.
    pub fn export(
        &self,
        owner: OwnerId,
        room: Room,
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
            room,
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
                let room = self.room.take(record.bytes).await?;
                match self.images.png(&record.sha256).await {
                    Ok(png) => return Ok(Some(Entry { record, png, room })),
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
