//! A disk whose power can be cut: what was not synced by then is lost, or arrives in part and out of order.

#![allow(clippy::unwrap_used)]

mod cut;
mod full;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::disk::{Disk, NewFile, OldFile, Space};

const PAGE: u64 = 4096;
/// What a disk writes at once.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct File {
    data: Vec<u8>,
    /// What a power cut leaves for certain.
    synced: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
    pages: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    /// Names that a power cut leaves for certain.
    synced: BTreeMap<PathBuf, usize>,
    /// Operations until the power goes.
    left: Option<u64>,
    off: bool,
    done: u64,
    /// Returns from a sync without having done it.
    lies: bool,
    capacity: Option<u64>,
    /// Claims to have room whatever is there, as when others fill the disk meanwhile.
    claims_room: bool,
}

/// The disk, in memory.
#[derive(Clone, Debug, Default)]
pub struct PowerDisk(Arc<Mutex<State>>);

/// A generator of pseudorandom bits: SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn bit(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) & 1 == 1
    }
}

impl File {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        place(&mut self.data, offset, bytes);
        self.pending.push((offset, bytes.to_vec()));
    }

    /// What is there after a power cut; without `random`, what was synced alone.
    fn after_cut(&self, random: Option<&mut Random>) -> Self {
        let mut data = self.synced.clone();
        if let Some(random) = random {
            for (offset, bytes) in &self.pending {
                for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                    if random.bit() {
                        place(&mut data, offset + (n * SECTOR) as u64, sector);
                    }
                }
            }
        }
        Self {
            pages: (0..(data.len() as u64).div_ceil(PAGE)).collect(),
            synced: data.clone(),
            data,
            pending: Vec::new(),
        }
    }
}

fn place(data: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if data.len() < end {
        data.resize(end, 0);
    }
    data[start..end].copy_from_slice(bytes);
}

impl State {
    /// Counts an operation, and fails it where the power is gone.
    fn step(&mut self) -> io::Result<()> {
        self.done += 1;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            self.off |= *left == 0;
        }
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        let pages: usize = self
            .names
            .values()
            .map(|n| self.files[*n].pages.len())
            .sum();
        pages as u64 * PAGE
    }

    fn free(&self) -> u64 {
        let left = |all: u64| all.saturating_sub(self.used());
        self.capacity.map_or(u64::MAX / 4, left)
    }

    fn write(&mut self, file: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let pages = offset / PAGE..(offset + bytes.len() as u64).div_ceil(PAGE);
        let new = pages
            .clone()
            .filter(|p| !self.files[file].pages.contains(p));
        if new.count() as u64 * PAGE > self.free() {
            return Err(ErrorKind::StorageFull.into());
        }
        self.files[file].pages.extend(pages);
        self.files[file].write(offset, bytes);
        Ok(())
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        self.step()?;
        if !self.lies {
            let file = &mut self.files[file];
            file.synced = file.data.clone();
            file.pending.clear();
        }
        Ok(())
    }
}

impl PowerDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Cuts the power when that many more operations were begun.
    pub fn cut_after(&self, operations: u64) {
        self.state().left = Some(operations);
    }

    pub fn done(&self) -> u64 {
        self.state().done
    }

    pub fn lie(&self) {
        self.state().lies = true;
    }

    pub fn limit(&self, capacity: Option<u64>, claims_room: bool) {
        let mut state = self.state();
        (state.capacity, state.claims_room) = (capacity, claims_room);
    }

    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// The names of all files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The disk when the power is back. With a seed, some of what was not synced arrived.
    pub fn after_cut(&self, seed: Option<u64>) -> Self {
        let state = self.state();
        let mut random = seed.map(Random);
        let files = state
            .files
            .iter()
            .map(|file| file.after_cut(random.as_mut()));
        let files: Vec<File> = files.collect();
        let mut names = state.synced.clone();
        if let Some(random) = &mut random {
            for path in state.names.keys().chain(state.synced.keys()) {
                if state.names.get(path) != state.synced.get(path) && random.bit() {
                    match state.names.get(path) {
                        Some(file) => names.insert(path.clone(), *file),
                        None => names.remove(path),
                    };
                }
            }
        }
        Self(Arc::new(Mutex::new(State {
            files,
            synced: names.clone(),
            names,
            ..State::default()
        })))
    }
}

#[derive(Debug)]
struct Opened {
    disk: PowerDisk,
    file: usize,
    at: u64,
}

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.state().write(self.file, self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for Opened {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].data.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let (start, end) = (offset as usize, offset as usize + out.len());
        let part = state.files[self.file].data.get(start..end);
        out.copy_from_slice(part.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let file = &mut state.files[self.file];
        file.data.resize(len as usize, 0);
        // Of a power cut in between, the shorter length is the worse one.
        file.synced.truncate(len as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.state().write(self.file, offset, data)
    }
}

impl Disk for PowerDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(self.open_or_create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OldFile>> {
        let state = self.state();
        let file = state.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(state.files[*file].data.clone())))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state().names.contains_key(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let file = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.names.remove(path);
        Ok(())
    }

    fn create_dirs(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if state.lies {
            return Ok(());
        }
        let inside = |name: &PathBuf| name.parent() == Some(path);
        state.synced.retain(|name, _| !inside(name));
        let now: Vec<_> = state
            .names
            .iter()
            .filter(|(name, _)| inside(name))
            .collect();
        let now: Vec<_> = now.into_iter().map(|(n, f)| (n.clone(), *f)).collect();
        state.synced.extend(now);
        Ok(())
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state
            .names
            .keys()
            .filter(|name| name.parent() == Some(path));
        let names = inside.filter_map(|name| name.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn database(&self, options: &mut Builder, path: &Path) -> Result<Database, DatabaseError> {
        let known = self.state().names.get(path).copied();
        let backend = match known {
            Some(file) => Opened {
                disk: self.clone(),
                file,
                at: 0,
            },
            None => self.open_or_create(path)?,
        };
        let database = options.create_with_backend(backend)?;
        if let Some(folder) = path.parent() {
            self.sync_dir(folder)?;
        }
        Ok(database)
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let state = self.state();
        Ok(Space {
            free: if state.claims_room {
                u64::MAX / 4
            } else {
                state.free()
            },
            total: state.capacity.unwrap_or(u64::MAX / 4),
        })
    }
}

impl PowerDisk {
    fn open_or_create(&self, path: &Path) -> io::Result<Opened> {
        let mut state = self.state();
        state.step()?;
        let file = state.files.len();
        if state.names.insert(path.to_owned(), file).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.files.push(File::default());
        drop(state);
        Ok(Opened {
            disk: self.clone(),
            file,
            at: 0,
        })
    }
}
