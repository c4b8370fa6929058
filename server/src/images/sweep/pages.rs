//! All objects under a prefix, a list request at a time.

use protocol::Problem;

use crate::images::Images;
use crate::storage::Listed;

/// Keys in one list request.
const PAGE: usize = 1000;

pub struct Pages<'a> {
    images: &'a Images,
    prefix: &'a str,
    after: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    pub fn new(images: &'a Images, prefix: &'a str) -> Self {
        Self {
            images,
            prefix,
            after: None,
            ended: false,
        }
    }

    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>, Problem> {
        if self.ended {
            return Ok(None);
        }
        let store = self.images.store();
        let (objects, more) = store
            .list_objects(self.prefix, self.after.take(), PAGE)
            .await?;
        self.after = objects.last().map(|object| object.key.clone());
        self.ended = !more || self.after.is_none();
        Ok(Some(objects))
    }
}
