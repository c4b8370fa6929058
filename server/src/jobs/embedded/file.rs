//! The queue's file, a redb database.
//!
//! | table | holds |
//! |---|---|
//! | `jobs` | by job id: [`Kept`] |
//! | `durations` | by model: [`Durations`] |
//! | `dead` | by job id: when, why and what could not be read |
//! | `meta` | `format`: that of the tables |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::super::estimate::Durations;
use super::super::format::{self, FORMAT, NEWEST, Unreadable};
use super::super::queue::DeadOrder;
use super::super::record::JobRecord;
use super::super::redelivery::now_ms;
use super::journal::Disk;

const JOBS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("jobs");
const DURATIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("durations");
const DEAD: TableDefinition<'_, &str, (u64, &str, &[u8])> = TableDefinition::new("dead");
const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");

/// Memory for pages of the file, in bytes.
const CACHE_BYTES: usize = 8 << 20;

/// A job as the file holds it.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    /// Format of this entry.
    #[serde(default = "format::first")]
    pub format: u32,
    /// Its place in the line: lower ones are older.
    pub place: u64,
    /// Its state.
    pub record: JobRecord,
    /// SHA-256 of the request as it was sent, in hex.
    pub fingerprint: String,
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Where a value lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A job, by its id.
    Job(String),
    /// Durations of a model.
    Durations(String),
}

/// What a file held when it was opened.
#[derive(Default)]
pub struct Contents {
    /// Jobs, those first in line first.
    pub jobs: Vec<Kept>,
    /// Durations by model.
    pub durations: Vec<(String, Durations)>,
    /// Jobs that cannot be read and were set aside, now or before.
    pub dead: usize,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the job queue {path} is in use: another process serves from this data folder (--data)"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer version made it.
    #[error(
        "the job queue {path} was made by a newer version (format {format}; this one knows {FORMAT}). Nothing was deleted: start that version, or move the file away to begin with an empty queue"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// It is no queue, or damaged.
    #[error(
        "the job queue {path} cannot be read: {detail}. Nothing was deleted: bring the file back from a backup, or move it away to begin with an empty queue"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The system refused.
    #[error("the job queue {path} cannot be opened: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The file of a queue.
pub struct QueueFile {
    path: PathBuf,
    /// Closed after a failed write: only opening it anew makes it usable.
    database: Option<Database>,
}

impl QueueFile {
    /// Opens a file or creates it, sets aside what cannot be read and takes back what can be read again.
    ///
    /// # Errors
    /// [`OpenError`]; the file is then as it was.
    pub fn open(path: &Path) -> Result<(Self, Contents), OpenError> {
        // A damaged page can be met anywhere.
        let opened = std::panic::catch_unwind(|| open(path));
        opened.unwrap_or_else(|_| {
            Err(OpenError::Damaged {
                path: path.to_owned(),
                detail: "its pages contradict each other".to_owned(),
            })
        })
    }
}

impl Disk for QueueFile {
    fn write(&mut self, entries: &BTreeMap<Entry, Option<Vec<u8>>>) -> Result<(), redb::Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let database = match self.database.take() {
            Some(database) => database,
            None => database(&self.path)?,
        };
        let writing = database.begin_write()?;
        put(&writing, entries)?;
        writing.commit()?;
        self.database = Some(database);
        Ok(())
    }
}

/// Jobs that cannot be read and were set aside, oldest first.
///
/// # Errors
/// [`OpenError`].
pub fn dead(path: &Path) -> Result<Vec<DeadOrder>, OpenError> {
    let (file, _) = QueueFile::open(path)?;
    let listed = (|| -> Result<_, redb::Error> {
        let mut dead = Vec::new();
        if let Some(database) = &file.database {
            for entry in database.begin_read()?.open_table(DEAD)?.iter()? {
                let (id, value) = entry?;
                let (at, reason, order) = value.value();
                dead.push(DeadOrder {
                    id: id.value().to_owned(),
                    at,
                    reason: reason.to_owned(),
                    bytes: order.len(),
                });
            }
        }
        dead.sort_by_key(|order| order.at);
        Ok(dead)
    })();
    listed.map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    }
}

fn database(path: &Path) -> Result<Database, DatabaseError> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create(path)
}

fn open(path: &Path) -> Result<(QueueFile, Contents), OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let new = create(path).map_err(failed)?;
    let database = database(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse {
                path: path.to_owned(),
            }
        }
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData
                && source.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            failed(source)
        }
        error => damaged(path, &error),
    })?;
    let known = format_of(&database).map_err(|error| damaged(path, &error))?;
    if let Some(format) = known.filter(|format| *format > FORMAT) {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            format,
        });
    }
    let contents = load(&database).map_err(|error| damaged(path, &error))?;
    if new {
        sync_folder(path).map_err(failed)?;
    }
    let file = QueueFile {
        path: path.to_owned(),
        database: Some(database),
    };
    Ok((file, contents))
}

/// The format of the tables; `None` in a new file.
fn format_of(database: &Database) -> Result<Option<u32>, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get("format")?.map(|format| format.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn load(database: &Database) -> Result<Contents, redb::Error> {
    let writing = database.begin_write()?;
    let mut contents = Contents::default();
    {
        writing.open_table(META)?.insert("format", FORMAT)?;
        let mut jobs = writing.open_table(JOBS)?;
        let mut dead = writing.open_table(DEAD)?;
        let mut unread = Vec::new();
        for entry in jobs.iter()? {
            let (id, json) = entry?;
            match read(id.value(), json.value()) {
                Ok(kept) => contents.jobs.push(kept),
                Err(error) => unread.push((
                    id.value().to_owned(),
                    error.to_string(),
                    json.value().to_vec(),
                )),
            }
        }
        let mut revived = Vec::new();
        for entry in dead.iter()? {
            let (id, value) = entry?;
            let (_, _, json) = value.value();
            // Another version may have set it aside.
            if let Ok(kept) = read(id.value(), json) {
                revived.push((id.value().to_owned(), json.to_vec()));
                contents.jobs.push(kept);
            }
        }
        for (id, json) in revived {
            tracing::info!(id, "a job that was set aside can be read again");
            dead.remove(id.as_str())?;
            jobs.insert(id.as_str(), json.as_slice())?;
        }
        for (id, reason, json) in unread {
            tracing::error!(
                id,
                reason,
                "a job that cannot be read is set aside: `demo-hub jobs dead` lists it"
            );
            metrics::counter!("demo_hub_dead_orders_total", "queue" => "embedded").increment(1);
            jobs.remove(id.as_str())?;
            dead.insert(id.as_str(), (now_ms(), reason.as_str(), json.as_slice()))?;
        }
        for entry in dead.iter()? {
            entry?;
            contents.dead += 1;
        }
        for entry in writing.open_table(DURATIONS)?.iter()? {
            let (model, json) = entry?;
            match format::read(json.value()) {
                Ok(durations) => contents
                    .durations
                    .push((model.value().to_owned(), durations)),
                // A sample, which comes again.
                Err(error) => tracing::warn!(%error, model = model.value(), "durations"),
            }
        }
    }
    writing.commit()?;
    contents.jobs.sort_by_key(|kept| kept.place);
    Ok(contents)
}

fn read(id: &str, json: &[u8]) -> Result<Kept, Unreadable> {
    let kept: Kept = format::read(json)?;
    if kept.record.format > NEWEST {
        return Err(Unreadable::Newer(kept.record.format));
    }
    if kept.record.view.id != id {
        return Err(Unreadable::Damaged("it is another job's".to_owned()));
    }
    Ok(kept)
}

fn put(
    writing: &WriteTransaction,
    entries: &BTreeMap<Entry, Option<Vec<u8>>>,
) -> Result<(), redb::Error> {
    let mut jobs = writing.open_table(JOBS)?;
    let mut durations = writing.open_table(DURATIONS)?;
    for (entry, value) in entries {
        let (table, key) = match entry {
            Entry::Job(id) => (&mut jobs, id),
            Entry::Durations(model) => (&mut durations, model),
        };
        match value {
            Some(value) => table.insert(key.as_str(), value.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    Ok(())
}

/// Makes an empty file that only its owner may read, since prompts are private; `false` where there is one.
fn create(path: &Path) -> std::io::Result<bool> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// A new file's name lies in its folder, which must reach the disk too.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}
