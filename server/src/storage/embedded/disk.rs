//! What the store needs of a file system, narrow enough for tests to take its place.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Builder, Database, DatabaseError};

/// How long a store that is open elsewhere is waited for: what is stopping lets go of it a moment later.
const HANDED_OVER: Duration = Duration::from_secs(5);

/// A file that is being written.
pub trait NewFile: Write + Send {
    /// Returns when the bytes outlast a power cut; the file's name may not, see [`Disk::sync_dir`].
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is being read.
pub trait OldFile: Read + Seek + Send + Sync {}

impl<T: Read + Seek + Send + Sync> OldFile for T {}

/// A file system.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Creates a file that was not there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// Opens a file for reading; it stays readable when it is removed meanwhile.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OldFile>>;
    /// Whether there is a file.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Gives a file another name on the same file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is not there is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder and those above it, unless they are there, and makes their names outlast a power cut.
    fn create_dirs(&self, path: &Path) -> io::Result<()>;
    /// Returns when names that were given and taken in the folder outlast a power cut.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder that are text.
    fn names(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens or creates a database.
    fn database(&self, options: &mut Builder, path: &Path) -> Result<Database, DatabaseError>;
    /// Bytes that can still be written, and the size of the whole.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// How full a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The operating system's.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

impl NewFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OldFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn create_dirs(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        if let Some(parent) = parent {
            self.create_dirs(parent)?;
        }
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Elsewhere folders cannot be opened, and names are kept by the file system's journal.
        #[cfg(unix)]
        File::open(path)?.sync_all()?;
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn database(&self, options: &mut Builder, path: &Path) -> Result<Database, DatabaseError> {
        let deadline = Instant::now() + HANDED_OVER;
        let database = loop {
            match options.create(path) {
                Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                opened => break opened?,
            }
        };
        if let Some(folder) = path.parent() {
            self.sync_dir(folder)?;
        }
        Ok(database)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        Ok(Space {
            free: fs4::available_space(path)?,
            total: fs4::total_space(path)?,
        })
    }
}
