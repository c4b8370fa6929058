//! Keys, what is known of their objects, and the bytes of small ones, in one database.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::disk::Disk;
use super::entry::Entry;
use super::error::Failure;
use super::list::{Listing, Query};

/// Name of the database in the store's folder.
pub const FILE: &str = "index.redb";

/// Key → [`Entry`] as JSON.
const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// Key → bytes of a small object.
const BODIES: TableDefinition<&str, &[u8]> = TableDefinition::new("bodies");

/// Memory for pages of the database.
const CACHE_BYTES: usize = 64 << 20;

/// The database. It is opened again after a failure, which `redb` does not recover from by itself.
#[derive(Debug)]
pub struct Index {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    open: RwLock<Option<Database>>,
}

/// What the index knows of an object.
#[derive(Debug)]
pub struct Found {
    pub entry: Entry,
    /// The bytes, of a small object.
    pub body: Option<Vec<u8>>,
}

impl Index {
    /// Creates an empty database that has its name only once it is whole. `temporary` is on the same file system.
    pub fn create(disk: &Arc<dyn Disk>, path: &Path, temporary: PathBuf) -> Result<(), Failure> {
        drop(Self::open(Arc::clone(disk), temporary.clone())?);
        disk.rename(&temporary, path)?;
        if let Some(folder) = path.parent() {
            disk.sync_dir(folder)?;
        }
        Ok(())
    }

    /// Opens the database.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Self, Failure> {
        let index = Self {
            disk,
            path,
            open: RwLock::new(None),
        };
        index.reopen()?;
        Ok(index)
    }

    /// Closes and opens the database. The last commit that succeeded is there afterwards.
    pub fn reopen(&self) -> Result<(), Failure> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked as long as it is open.
        *open = None;
        let mut options = Builder::new();
        options.set_cache_size(CACHE_BYTES);
        let database = self.disk.database(&mut options, &self.path)?;
        let write = database.begin_write()?;
        write.open_table(ENTRIES)?;
        write.open_table(BODIES)?;
        write.commit()?;
        *open = Some(database);
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || Failure::Broken("the index could not be opened again".to_owned());
        work(open.as_ref().ok_or_else(closed)?)
    }

    /// What is known of an object, and with `body` the bytes of a small one.
    pub fn find(&self, key: &str, body: bool) -> Result<Option<Found>, Failure> {
        self.with(|database| {
            let read = database.begin_read()?;
            let Some(entry) = read.open_table(ENTRIES)?.get(key)? else {
                return Ok(None);
            };
            let entry = parse(key, entry.value())?;
            let body = if body && entry.file.is_none() {
                let body = read.open_table(BODIES)?.get(key)?;
                let lost = || Failure::Broken(format!("the bytes of {key} are not in the index"));
                Some(body.ok_or_else(lost)?.value().to_vec())
            } else {
                None
            };
            Ok(Some(Found { entry, body }))
        })
    }

    /// A page of keys.
    pub fn list(&self, query: &Query) -> Result<Listing, Failure> {
        self.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            query.run(|from| {
                let range = entries.range::<&str>(from..)?;
                Ok(range.map(|item| {
                    let (key, entry) = item?;
                    Ok((key.value().to_owned(), parse(key.value(), entry.value())?))
                }))
            })
        })
    }

    /// Calls `visit` with every object.
    pub fn each(&self, mut visit: impl FnMut(&str, Entry)) -> Result<(), Failure> {
        self.with(|database| {
            for item in database.begin_read()?.open_table(ENTRIES)?.iter()? {
                let (key, entry) = item?;
                visit(key.value(), parse(key.value(), entry.value())?);
            }
            Ok(())
        })
    }

    /// Makes changes that outlast a power cut once this returns, all or none of them. With an error it is
    /// unknown which of the two.
    pub fn change<T>(
        &self,
        work: impl FnOnce(&mut Changes<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.with(|database| {
            let mut write = database.begin_write()?;
            // Opening after `kill -9` would otherwise read everything.
            write.set_quick_repair(true);
            let done = Changes::of(&write).and_then(|mut changes| work(&mut changes))?;
            write.commit()?;
            Ok(done)
        })
    }
}

/// Changes of one transaction.
pub struct Changes<'a> {
    entries: redb::Table<'a, &'static str, &'static [u8]>,
    bodies: redb::Table<'a, &'static str, &'static [u8]>,
}

impl<'a> Changes<'a> {
    fn of(write: &'a WriteTransaction) -> Result<Self, Failure> {
        Ok(Self {
            entries: write.open_table(ENTRIES)?,
            bodies: write.open_table(BODIES)?,
        })
    }

    /// What is known of an object, with the changes so far.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, Failure> {
        let entry = self.entries.get(key)?;
        entry.map(|entry| parse(key, entry.value())).transpose()
    }

    /// Writes an object; `body` are its bytes, unless they are in a file.
    pub fn put(&mut self, key: &str, entry: &Entry, body: Option<&[u8]>) -> Result<(), Failure> {
        let json = serde_json::to_vec(entry).map_err(|e| Failure::Broken(e.to_string()))?;
        self.entries.insert(key, json.as_slice())?;
        match body {
            Some(body) => self.bodies.insert(key, body)?,
            None => self.bodies.remove(key)?,
        };
        Ok(())
    }

    /// Removes an object.
    pub fn remove(&mut self, key: &str) -> Result<(), Failure> {
        self.entries.remove(key)?;
        self.bodies.remove(key)?;
        Ok(())
    }
}

fn parse(key: &str, json: &[u8]) -> Result<Entry, Failure> {
    serde_json::from_slice(json)
        .map_err(|e| Failure::Broken(format!("the index entry of {key} cannot be read: {e}")))
}
