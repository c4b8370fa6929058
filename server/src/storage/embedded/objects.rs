//! Objects under keys: what the S3 operations are made of.

use std::collections::HashSet;
use std::io::SeekFrom;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::Stream;
use s3s::dto::Checksum;

use super::disk::{Disk, OldFile};
use super::entry::{Entry, FORMAT, Headers, millis};
use super::error::Failure;
use super::files::{Files, Placed};
use super::incoming::{self, Announced, blocking};
use super::index::{self, Found, Index};
use super::list::{Listing, Query};
use super::room::{Room, Use};
use super::writer::{Change, Conditions, Writer};

/// Bytes of a file that are read at a time.
const READ_BYTES: usize = 128 << 10;

/// A store over a folder.
#[derive(Clone, Debug)]
pub struct Objects {
    pub(super) index: Arc<Index>,
    pub(super) files: Arc<Files>,
    writer: Writer,
    room: Room,
}

/// Bytes of an object.
pub enum Content {
    Small(Vec<u8>),
    File(Box<dyn OldFile>),
}

impl Objects {
    /// Opens the store in `root`, or creates it, and removes what a crash left.
    pub fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, Failure> {
        disk.create_dirs(root)?;
        let path = root.join(index::FILE);
        let is_new = !disk.exists(&path)?;
        let files = Arc::new(Files::open(Arc::clone(&disk), root)?);
        if is_new && !files.is_empty()? {
            return Err(Failure::Broken(format!(
                "{} is missing, but the files of its objects are there: restore it from the same backup as them, or \
                 move them away",
                path.display()
            )));
        }
        if is_new {
            Index::create(&disk, &path, files.temporary(index::FILE))?;
        }
        let index = Arc::new(Index::open(Arc::clone(&disk), path)?);
        tidy(&index, &files)?;
        let room = Room::new(disk, root.to_owned());
        let writer = Writer::start(Arc::clone(&index), Arc::clone(&files), room.clone())?;
        Ok(Self {
            index,
            files,
            writer,
            room,
        })
    }

    /// How full the disk is.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Takes in an object that outlasts a power cut once this returns; gives its entry.
    pub async fn put<B: AsRef<[u8]>, E>(
        &self,
        key: String,
        headers: Headers,
        announced: Announced,
        conditions: Conditions,
        body: impl Stream<Item = Result<B, E>>,
        trailing: impl FnOnce() -> Checksum,
    ) -> Result<Entry, Failure> {
        let purpose = if conditions.if_match.is_some() || announced.bytes == Some(0) {
            Use::Upkeep
        } else {
            Use::New
        };
        self.room.for_bytes(announced.bytes.unwrap_or(0), purpose)?;
        let arrived = incoming::receive(Arc::clone(&self.files), announced, body, trailing).await?;
        // Checked again when it counts; here it saves the disk's work.
        if conditions.if_match.is_some() || conditions.if_none_match.is_some() {
            let present = self.find_sound(key.clone()).await?;
            conditions.check(present.as_ref().map(|entry| entry.md5.as_str()))?;
        }
        let body = arrived.body;
        let body = blocking(move || body.place()).await?;
        let entry = Entry {
            format: FORMAT,
            bytes: arrived.bytes,
            md5: arrived.md5,
            modified_at: millis(SystemTime::now()),
            file: body.file().map(Placed::name).map(str::to_owned),
            sha256: arrived.sha256,
            headers,
        };
        let change = Change::Put(Box::new(entry.clone()), body);
        self.writer.change(key, change, conditions).await?;
        Ok(entry)
    }

    /// Removes an object; one that is not there is no error, unless the conditions say so.
    pub async fn delete(&self, key: String, conditions: Conditions) -> Result<(), Failure> {
        self.writer.change(key, Change::Delete, conditions).await
    }

    /// An object whose bytes are there.
    pub async fn find_sound(&self, key: String) -> Result<Option<Entry>, Failure> {
        Ok(self.find(key, false).await?.map(|(entry, _)| entry))
    }

    /// An object with its bytes.
    pub async fn read(&self, key: String) -> Result<Option<(Entry, Content)>, Failure> {
        let found = self.find(key, true).await?;
        Ok(found.and_then(|(entry, content)| Some((entry, content?))))
    }

    async fn find(
        &self,
        key: String,
        content: bool,
    ) -> Result<Option<(Entry, Option<Content>)>, Failure> {
        let (index, files) = (Arc::clone(&self.index), Arc::clone(&self.files));
        blocking(move || {
            let mut lost = None;
            loop {
                let Some(Found { entry, body }) = index.find(&key, content)? else {
                    return Ok(None);
                };
                let Some(name) = entry.file.clone() else {
                    return Ok(Some((entry, body.map(Content::Small))));
                };
                match files.read(&name) {
                    Ok(file) => {
                        let content = content.then_some(Content::File(file));
                        return Ok(Some((entry, content)));
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
                // It may have been replaced between the two looks.
                if lost.as_ref() == Some(&name) {
                    tracing::error!(key, name, "the file of an object is missing");
                    return Ok(None);
                }
                lost = Some(name);
            }
        })
        .await
    }

    /// A page of keys.
    pub async fn list(&self, query: Query) -> Result<Listing, Failure> {
        let index = Arc::clone(&self.index);
        blocking(move || index.list(&query)).await
    }
}

impl Content {
    /// Part of the bytes, a piece at a time.
    pub fn part(
        self,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
        futures::stream::try_unfold((self, range), |(content, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            match content {
                Self::Small(bytes) => {
                    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
                    let (start, end) = (start.unwrap_or(0), end.unwrap_or(0));
                    let part = bytes
                        .get(start..end)
                        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
                    let part = Bytes::copy_from_slice(part);
                    Ok(Some((part, (Self::Small(bytes), range.end..range.end))))
                }
                Self::File(file) => {
                    let (start, end) = (range.start, range.end);
                    let read = tokio::task::spawn_blocking(move || piece(file, start..end));
                    let (part, file) = read.await.map_err(std::io::Error::other)??;
                    let next = start + part.len() as u64;
                    Ok(Some((part, (Self::File(file), next..end))))
                }
            }
        })
    }
}

fn piece(
    mut file: Box<dyn OldFile>,
    range: Range<u64>,
) -> std::io::Result<(Bytes, Box<dyn OldFile>)> {
    let length = usize::try_from(range.end - range.start).unwrap_or(READ_BYTES);
    let mut piece = vec![0; length.min(READ_BYTES)];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut piece)?;
    Ok((piece.into(), file))
}

fn tidy(index: &Index, files: &Files) -> Result<(), Failure> {
    let mut known = HashSet::new();
    index.each(|_, entry| known.extend(entry.file))?;
    let tidied = files.tidy(known)?;
    if tidied.removed > 0 {
        tracing::info!(removed = tidied.removed, "files of unfinished uploads");
    }
    if tidied.kept > 0 {
        tracing::warn!(
            files = tidied.kept,
            "the index of the picture store does not know these files, and they are too many for a crash: they are \
             kept; is the index from an older backup than the files?"
        );
    }
    if tidied.missing > 0 {
        tracing::error!(
            objects = tidied.missing,
            "the files of these objects of the picture store are missing: restore them from a backup"
        );
    }
    Ok(())
}
