//! The keys of a folder in S3's order, a page at a time.
//!
//! `s3s-fs` 0.14 walks the whole bucket for every page. Here only folders are read that can hold keys of the page,
//! and large ones are read once: afterwards each change is told.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;

/// Folders with more entries than this are kept in memory.
const KEPT_FROM: usize = 256;

/// Keys under a folder. All changes must be told, and made while no list runs.
#[derive(Debug)]
pub struct OrderedKeys {
    root: PathBuf,
    /// Entries of large folders; those of folders end with `/`. The folders' names are empty or end with `/`.
    kept: HashMap<String, BTreeSet<String>>,
}

/// What a list looks for.
struct Search<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    limit: usize,
    found: Vec<String>,
}

impl OrderedKeys {
    /// Keys are paths relative to `root`.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            kept: HashMap::new(),
        }
    }

    /// Keys with `prefix` behind `after`, at most `limit`, and whether more follow.
    pub fn list(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> io::Result<(Vec<String>, bool)> {
        let folder = prefix
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| {
                // The prefix comes from a request.
                let climbs = folder
                    .split('/')
                    .any(|part| matches!(part, "" | "." | ".."));
                if climbs {
                    "\0".to_owned()
                } else {
                    format!("{folder}/")
                }
            });
        let mut search = Search {
            prefix,
            after,
            limit: limit + 1,
            found: Vec::new(),
        };
        if !folder.contains('\0') {
            self.walk(&folder, &mut search)?;
        }
        let more = search.found.len() > limit;
        search.found.truncate(limit);
        Ok((search.found, more))
    }

    /// An object was written.
    pub fn added(&mut self, key: &str) {
        for (folder, entry) in parts(key) {
            if let Some(entries) = self.kept.get_mut(folder) {
                entries.insert(entry.to_owned());
            }
        }
    }

    /// An object was deleted; folders that it leaves empty go too.
    pub fn removed(&mut self, key: &str) {
        let mut parts = parts(key).into_iter().rev();
        if let Some((folder, entry)) = parts.next() {
            self.forget(folder, entry);
        }
        for (folder, entry) in parts {
            // Refused where anything is left inside.
            if std::fs::remove_dir(self.root.join(folder).join(entry)).is_err() {
                return;
            }
            self.kept.remove(&format!("{folder}{entry}"));
            self.forget(folder, entry);
        }
    }

    fn forget(&mut self, folder: &str, entry: &str) {
        if let Some(entries) = self.kept.get_mut(folder) {
            entries.remove(entry);
        }
    }

    fn walk(&mut self, folder: &str, search: &mut Search<'_>) -> io::Result<()> {
        if !self.kept.contains_key(folder) {
            let entries = read(&self.root.join(folder))?;
            if entries.len() < KEPT_FROM {
                return self.visit(folder, entries.iter().map(String::as_str), search);
            }
            self.kept.insert(folder.to_owned(), entries);
        }
        // A page's worth at a time, since walking into a folder borrows everything.
        let mut from = search
            .after
            .and_then(|after| after.strip_prefix(folder))
            .map(|rest| match rest.split_once('/') {
                Some((name, _)) => format!("{name}/"),
                None => rest.to_owned(),
            })
            .unwrap_or_default();
        loop {
            let Some(entries) = self.kept.get(folder) else {
                return Ok(());
            };
            let part: Vec<String> = entries
                .range(from.clone()..)
                .take(search.limit.max(KEPT_FROM))
                .cloned()
                .collect();
            let Some(last) = part.last() else {
                return Ok(());
            };
            from = format!("{last}\0");
            self.visit(folder, part.iter().map(String::as_str), search)?;
            if search.found.len() >= search.limit {
                return Ok(());
            }
        }
    }

    fn visit<'a>(
        &mut self,
        folder: &str,
        entries: impl Iterator<Item = &'a str>,
        search: &mut Search<'_>,
    ) -> io::Result<()> {
        for entry in entries {
            if search.found.len() >= search.limit {
                return Ok(());
            }
            let path = format!("{folder}{entry}");
            let inside = path.starts_with(search.prefix);
            let past = search.after.is_none_or(|after| path.as_str() > after);
            if entry.ends_with('/') {
                let holds_start = search.after.is_some_and(|after| after.starts_with(&path));
                if (inside || search.prefix.starts_with(&path)) && (past || holds_start) {
                    self.walk(&path, search)?;
                }
            } else if inside && past {
                search.found.push(path);
            }
        }
        Ok(())
    }
}

/// Every folder on the way to the key, with its entry.
fn parts(key: &str) -> Vec<(&str, &str)> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (slash, _) in key.match_indices('/') {
        parts.push((&key[..start], &key[start..=slash]));
        start = slash + 1;
    }
    parts.push((&key[..start], &key[start..]));
    parts
}

/// Entries of a folder, none where it does not exist. Names that are no text are nobody's keys.
fn read(folder: &std::path::Path) -> io::Result<BTreeSet<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(mut name) = entry.file_name().into_string() {
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Writes and tells.
    fn add(keys: &mut OrderedKeys, key: &str) {
        let path = keys.root.join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
        keys.added(key);
    }

    fn remove(keys: &mut OrderedKeys, key: &str) {
        std::fs::remove_file(keys.root.join(key)).unwrap();
        keys.removed(key);
    }

    /// All pages of `limit` keys.
    fn all(keys: &mut OrderedKeys, prefix: &str, limit: usize) -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let (page, more) = keys.list(prefix, after.as_deref(), limit).unwrap();
            assert!(page.len() == limit || !more);
            after = page.last().cloned();
            all.extend(page);
            if !more {
                return all;
            }
        }
    }

    #[test]
    fn the_order_is_that_of_the_keys_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = OrderedKeys::new(dir.path().to_owned());
        // `-`, `.` sort before `/`, `0` after it.
        let names = ["a-b", "a.b", "a/b/c", "a/b-c", "a0", "a/z", "b", "a/b/c0"];
        for name in names {
            add(&mut keys, name);
        }
        let mut sorted = names.map(str::to_owned);
        sorted.sort();
        for limit in 1..=names.len() + 1 {
            assert_eq!(all(&mut keys, "", limit), sorted, "limit {limit}");
        }
        for prefix in [
            "a", "a/", "a/b", "a/b/", "b", "c", "a/b/c", "a/b/c/d", "../", "/", "a//",
        ] {
            let expected: Vec<_> = sorted
                .iter()
                .filter(|k| k.starts_with(prefix))
                .cloned()
                .collect();
            assert_eq!(all(&mut keys, prefix, 2), expected, "{prefix:?}");
        }
    }

    #[test]
    fn large_folders_follow_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = OrderedKeys::new(dir.path().to_owned());
        let mut expected = BTreeSet::new();
        let count = KEPT_FROM * 3;
        for n in 0..count {
            // Flat, and one folder per key.
            for key in [format!("flat/{n:04}"), format!("deep/{n:04}/x")] {
                add(&mut keys, &key);
                expected.insert(key);
            }
        }
        let check = |keys: &mut OrderedKeys, expected: &BTreeSet<String>| {
            for limit in [60, 1000] {
                assert!(all(keys, "", limit).iter().eq(expected), "limit {limit}");
            }
            let flat = expected.iter().filter(|key| key.starts_with("flat/"));
            assert!(all(keys, "flat/", 100).iter().eq(flat));
        };
        check(&mut keys, &expected);
        assert!(keys.kept.contains_key("flat/") && keys.kept.contains_key("deep/"));
        for n in (0..count).step_by(3) {
            for key in [format!("flat/{n:04}"), format!("deep/{n:04}/x")] {
                remove(&mut keys, &key);
                expected.remove(&key);
            }
        }
        for key in ["flat/0001a", "deep/0001a/y", "deep/0000/z"] {
            add(&mut keys, key);
            expected.insert(key.to_owned());
        }
        check(&mut keys, &expected);
        assert!(!dir.path().join("deep/0003").exists(), "empty folders go");
        let mut fresh = OrderedKeys::new(dir.path().to_owned());
        check(&mut fresh, &expected);
    }
}
