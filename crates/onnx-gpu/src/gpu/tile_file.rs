//! Measured tables of tiles in a file.

use std::fs;
use std::path::{Path, PathBuf};

use super::TileStore;
use crate::error::{Error, ErrorKind, Result};

/// A [`TileStore`] in a text file: a line per adapter, its key and its table with a tab between them.
#[derive(Clone, Debug)]
pub struct TileFile(PathBuf);

impl TileFile {
    /// In a file of this name, which is made with its folder when something is stored.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// In `onnx-gpu/tiles.tsv` of the user's folder for caches.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the environment names no such folder.
    pub fn in_cache() -> Result<Self> {
        let folder = |name: &str, below: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
            Some(Path::new(&value).join(below))
        };
        let cache = if cfg!(windows) {
            folder("LOCALAPPDATA", "")
        } else if cfg!(target_os = "macos") {
            folder("HOME", "Library/Caches")
        } else {
            folder("XDG_CACHE_HOME", "").or_else(|| folder("HOME", ".cache"))
        };
        let cache = cache.ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                "the environment names no folder for caches: set HOME",
            )
        })?;
        Ok(Self(cache.join("onnx-gpu/tiles.tsv")))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn lines(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(key, tiles)| (key.to_owned(), tiles.to_owned()))
            .collect()
    }
}

/// A key without what separates lines and columns.
fn one_line(key: &str) -> String {
    key.replace(['\t', '\n', '\r'], " ")
}

impl TileStore for TileFile {
    fn load(&self, key: &str) -> Option<String> {
        let key = one_line(key);
        let mut lines = self.lines();
        let at = lines.iter().position(|(known, _)| *known == key)?;
        Some(lines.swap_remove(at).1)
    }

    fn save(&self, key: &str, tiles: &str) -> Result<()> {
        let key = one_line(key);
        let mut lines = self.lines();
        lines.retain(|(known, _)| *known != key);
        lines.push((key, one_line(tiles)));
        let text: String = lines
            .iter()
            .map(|(key, tiles)| format!("{key}\t{tiles}\n"))
            .collect();
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        // Complete or not at all: another process may read it.
        let new = self.0.with_extension(format!("{}.new", std::process::id()));
        fs::write(&new, text)?;
        Ok(fs::rename(&new, &self.0)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tables_are_kept_per_key() {
        let folder = std::env::temp_dir().join(format!("onnx-gpu-tiles-{}", std::process::id()));
        let file = TileFile::new(folder.join("below/tiles.tsv"));
        assert_eq!(file.load("a"), None);
        file.save("a", "1").unwrap();
        file.save("b\tc\nd", "2").unwrap();
        file.save("a", "3").unwrap();
        assert_eq!(file.load("a").unwrap(), "3");
        assert_eq!(file.load("b\tc\nd").unwrap(), "2");
        assert_eq!(fs::read_dir(folder.join("below")).unwrap().count(), 1);
        fs::write(file.path(), b"\xff\xfe nonsense").unwrap();
        assert_eq!(file.load("a"), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
