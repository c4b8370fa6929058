//! Additions in files: one for each, and a mark beside it where somebody wants it cancelled.
//!
//! Whoever holds the worker's lock alone changes what there is; others make new ones, set marks and remove what has ended.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use protocol::{Addition, AdditionRequest, AdditionStatus};
use serde::{Deserialize, Serialize};

use crate::models::add::DOWNLOADS;

/// Folder of the additions among the downloads.
const FOLDER: &str = "additions";
/// Held while the list is changed.
const LIST_LOCK: &str = "list.lock";
/// Held by the one who works.
const WORK_LOCK: &str = "work.lock";
/// Format of the files.
const FORMAT: u32 = 1;
/// Digits of the time in an id, in milliseconds.
const TIME_DIGITS: usize = 13;
/// Digits behind it.
const RANDOM_DIGITS: usize = 8;
/// Additions that have ended and are kept.
const MOST_ENDED: usize = 40;

pub type Changed<T> = anyhow::Result<T>;

/// Name of an addition: when it was asked for, and what tells it from others of that moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdditionId(String);

impl FromStr for AdditionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (time, random) = text.split_once('-').ok_or(())?;
        let digits = |text: &str, count: usize| {
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            text.len() == count && text.bytes().all(hex)
        };
        let is_time = time.bytes().all(|b| b.is_ascii_digit());
        if is_time && digits(time, TIME_DIGITS) && digits(random, RANDOM_DIGITS) {
            Ok(Self(text.to_owned()))
        } else {
            Err(())
        }
    }
}

/// An addition as it is stored; what a newer version added is passed over.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    #[serde(flatten)]
    addition: Addition,
}

/// Holds a lock until it is dropped, or its process ends.
pub struct Lock {
    _locked: File,
}

/// The additions of a models folder.
pub struct Files {
    folder: PathBuf,
    /// What could not be written, as on a full disk: this process knows better than its files.
    unwritten: Mutex<BTreeMap<String, Addition>>,
}

impl Files {
    pub fn new(models_dir: &Path) -> Self {
        Self {
            folder: models_dir.join(DOWNLOADS).join(FOLDER),
            unwritten: Mutex::default(),
        }
    }

    /// Whether there are any.
    pub fn are_there(&self) -> bool {
        self.folder.is_dir()
    }

    /// All of them, the newest first.
    pub fn list(&self) -> Changed<Vec<Addition>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| self.folder.display().to_string()),
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some(id) = id.and_then(|id| id.parse().ok())
                && let Some(addition) = self.get(&id)?
            {
                all.push(addition);
            }
        }
        all.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(all)
    }

    /// One of them.
    pub fn get(&self, id: &AdditionId) -> Changed<Option<Addition>> {
        let unwritten = self.unwritten.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(addition) = unwritten.get(&id.0) {
            return Ok(Some(addition.clone()));
        }
        drop(unwritten);
        let path = self.path(id, "json");
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let mut addition = match serde_json::from_slice::<Stored>(&json) {
            Ok(stored) => stored.addition,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "an addition cannot be read");
                return Ok(None);
            }
        };
        // The file is called what it is called, whatever stands in it.
        addition.id.clone_from(&id.0);
        if !addition.status.is_final() && self.is_to_be_cancelled(id) {
            addition.status = AdditionStatus::Cancelling;
        }
        Ok(Some(addition))
    }

    /// Writes one, whole or not at all.
    pub fn write(&self, addition: &Addition) -> Changed<()> {
        let id: AdditionId = addition
            .id
            .parse()
            .map_err(|()| anyhow::anyhow!("{:?} is no id", addition.id))?;
        let stored = Stored {
            format: FORMAT,
            addition: addition.clone(),
        };
        let written = || -> anyhow::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let file = tempfile::NamedTempFile::new_in(&self.folder)?;
            serde_json::to_writer(&file, &stored)?;
            file.as_file().sync_all()?;
            file.persist(self.path(&id, "json"))?;
            Ok(())
        };
        let done = written().with_context(|| format!("writing to {}", self.folder.display()));
        let mut unwritten = self.unwritten.lock().unwrap_or_else(|e| e.into_inner());
        match &done {
            Ok(()) => unwritten.remove(&id.0),
            Err(_) => unwritten.insert(id.0, addition.clone()),
        };
        done
    }

    /// Tries again to write what could not be written.
    pub fn write_again(&self) -> Changed<()> {
        let known = self.unwritten.lock().unwrap_or_else(|e| e.into_inner());
        let unwritten: Vec<Addition> = known.values().cloned().collect();
        drop(known);
        unwritten
            .iter()
            .try_for_each(|addition| self.write(addition))
    }

    /// Forgets one.
    pub fn forget(&self, id: &AdditionId) -> Changed<()> {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(|e| e.into_inner());
        unwritten.remove(&id.0);
        drop(unwritten);
        for path in [self.path(id, "json"), self.path(id, "cancel")] {
            remove(&path)?;
        }
        Ok(())
    }

    /// Marks one as to be cancelled.
    pub fn ask_to_cancel(&self, id: &AdditionId) -> Changed<()> {
        let path = self.path(id, "cancel");
        File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        Ok(())
    }

    pub fn is_to_be_cancelled(&self, id: &AdditionId) -> bool {
        self.path(id, "cancel").exists()
    }

    /// Takes the mark away.
    pub fn unmark(&self, id: &AdditionId) -> Changed<()> {
        remove(&self.path(id, "cancel"))
    }

    /// Changes the list, while nobody else does; only so many that have ended are kept.
    pub fn change<T>(&self, act: impl FnOnce(&[Addition]) -> Changed<T>) -> Changed<T> {
        fs::create_dir_all(&self.folder)?;
        let lock = self.lock_file(LIST_LOCK)?;
        lock.lock()?;
        let all = self.list()?;
        for old in all
            .iter()
            .filter(|old| old.status.is_final())
            .skip(MOST_ENDED)
        {
            if let Ok(id) = old.id.parse() {
                self.forget(&id)?;
            }
        }
        act(&all)
    }

    /// The right to work on them, if no other process has it.
    pub fn work(&self) -> Changed<Option<Lock>> {
        let file = self.lock_file(WORK_LOCK)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _locked: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("locking the list of additions"),
        }
    }

    fn lock_file(&self, name: &str) -> Changed<File> {
        let path = self.folder.join(name);
        File::create(&path).with_context(|| format!("opening {}", path.display()))
    }

    fn path(&self, id: &AdditionId, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", id.0))
    }
}

/// A new addition, which is not stored yet.
pub fn new(request: AdditionRequest) -> Changed<Addition> {
    let created_at = now_ms();
    let random = hex::encode(crate::random::bytes::<{ RANDOM_DIGITS / 2 }>()?);
    Ok(Addition {
        id: format!("{created_at:0TIME_DIGITS$}-{random}"),
        request,
        status: AdditionStatus::Waiting,
        stage: None,
        fetched: None,
        note: None,
        reason: None,
        created_at,
        ended_at: None,
    })
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn remove(path: &Path) -> Changed<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(id: &str) -> AdditionRequest {
        AdditionRequest {
            id: id.to_owned(),
            ..AdditionRequest::default()
        }
    }

    fn id(addition: &Addition) -> AdditionId {
        addition.id.parse().unwrap()
    }

    #[test]
    fn names_lead_nowhere_else() {
        assert!(
            new(request("a/b"))
                .unwrap()
                .id
                .parse::<AdditionId>()
                .is_ok()
        );
        for other in [
            "",
            "x",
            "../../etc/passwd",
            "1767225600000-",
            "1767225600000-ABCDEF01",
            "176722560000a-abcdef01",
            "1767225600000-abcdef0/",
        ] {
            assert!(other.parse::<AdditionId>().is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_written_is_there_for_others_and_marks_count() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Files::new(dir.path()), Files::new(dir.path()));
        assert!(!one.are_there() && one.list().unwrap().is_empty());
        let addition = new(request("a/b")).unwrap();
        one.write(&addition).unwrap();
        assert_eq!(other.list().unwrap(), std::slice::from_ref(&addition));
        other.ask_to_cancel(&id(&addition)).unwrap();
        let marked = one.get(&id(&addition)).unwrap().unwrap();
        assert_eq!(marked.status, AdditionStatus::Cancelling);
        one.forget(&id(&addition)).unwrap();
        assert!(other.get(&id(&addition)).unwrap().is_none());
        assert!(!other.is_to_be_cancelled(&id(&addition)));
    }

    #[test]
    fn one_works_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Files::new(dir.path()), Files::new(dir.path()));
        one.write(&new(request("a/b")).unwrap()).unwrap();
        let lock = one.work().unwrap();
        assert!(lock.is_some() && other.work().unwrap().is_none());
        drop(lock);
        assert!(other.work().unwrap().is_some());
    }

    #[test]
    fn what_a_newer_version_wrote_is_read_and_what_is_damaged_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let addition = new(request("a/b")).unwrap();
        files.write(&addition).unwrap();
        let path = files.path(&id(&addition), "json");
        let mut json: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        json["format"] = 2.into();
        json["colour"] = "blue".into();
        fs::write(&path, json.to_string()).unwrap();
        assert_eq!(files.list().unwrap(), [addition]);
        fs::write(&path, "{\"format\":").unwrap();
        assert!(files.list().unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_written_is_known_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let mut addition = new(request("a/b")).unwrap();
        files.write(&addition).unwrap();
        let folder = files.folder.clone();
        let away = dir.path().join("away");
        fs::rename(&folder, &away).unwrap();
        fs::write(&folder, "no folder").unwrap();
        addition.status = AdditionStatus::Failed;
        assert!(files.write(&addition).is_err());
        fs::remove_file(&folder).unwrap();
        fs::rename(&away, &folder).unwrap();
        let known = files.get(&id(&addition)).unwrap().unwrap();
        assert_eq!(known.status, AdditionStatus::Failed);
        files.write_again().unwrap();
        let written = Files::new(dir.path()).list().unwrap();
        assert_eq!(written, [addition]);
    }
}
