//! That one run at a time adds a package, and what an earlier one left behind.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// Folder of unfinished downloads in the models folder.
pub(crate) const DOWNLOADS: &str = ".downloads";
/// What the names of unfinished packages begin with.
const ADDING: &str = ".adding-";

/// Holds other runs off for as long as it lives. The system lets go of it when the process ends, however it does.
#[derive(Debug)]
pub(in crate::models) struct Claim {
    _locked: File,
}

impl Claim {
    /// Claims a package or a model, `owner/name`.
    ///
    /// # Errors
    /// When another run is at it.
    pub fn take(models_dir: &Path, id: &str) -> anyhow::Result<Self> {
        match Self::free(models_dir, id)? {
            Some(claim) => Ok(claim),
            None => bail!("another run is adding {id} to this folder"),
        }
    }

    /// The same where no other run is at it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn free(models_dir: &Path, id: &str) -> anyhow::Result<Option<Self>> {
        let folder = models_dir.join(DOWNLOADS);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join(format!("{}.lock", slug(id)));
        let failed = || format!("opening {}", path.display());
        let locked = File::create(&path).with_context(failed)?;
        match locked.try_lock() {
            Ok(()) => Ok(Some(Self { _locked: locked })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking {}", path.display()))
            }
        }
    }
}

/// Name of a package's folder, and of what is made for one.
pub(in crate::models) fn slug(id: &str) -> String {
    id.replace(['/', ':'], "--")
}

/// A package being written: it takes its name in the models folder when it is finished, and goes if it is not.
pub(in crate::models) struct Unnamed {
    dir: tempfile::TempDir,
    target: PathBuf,
}

impl Unnamed {
    /// An empty folder for the package of that id.
    ///
    /// # Errors
    /// When there is one, or the models folder cannot be written.
    pub fn new(models_dir: &Path, id: &str) -> anyhow::Result<Self> {
        let target = models_dir.join(slug(id));
        ensure!(!target.exists(), "{} is there already", target.display());
        let dir = tempfile::Builder::new()
            .prefix(&unfinished(id))
            .tempdir_in(models_dir)
            .with_context(|| format!("writing to {}", models_dir.display()))?;
        Ok(Self { dir, target })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives it its name; gives the folder.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn finish(self) -> anyhow::Result<PathBuf> {
        let Self { dir, target } = self;
        // Temporary folders are their owner's alone; a server may be another user.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        }
        let written = dir.keep();
        fs::rename(&written, &target)
            .with_context(|| format!("renaming {} to {}", written.display(), target.display()))?;
        Ok(target)
    }
}

/// What the name of a package begins with while it is written.
pub(super) fn unfinished(id: &str) -> String {
    format!("{ADDING}{}-", slug(id))
}

/// Removes what runs that were killed left of a package; to be called by who has claimed it.
pub(in crate::models) fn sweep(models_dir: &Path, id: &str) -> anyhow::Result<()> {
    let begins = unfinished(id);
    let entries =
        fs::read_dir(models_dir).with_context(|| format!("reading {}", models_dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let ours = entry.file_name();
        // Names end in what makes them unique, which has no dash: a package whose name goes on with one is another one.
        let ours = ours.to_str().and_then(|name| name.strip_prefix(&begins));
        if ours.is_some_and(|rest| !rest.contains('-')) {
            let path = entry.path();
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_run_at_a_time_adds_a_package() {
        let dir = tempfile::tempdir().unwrap();
        let first = Claim::take(dir.path(), "a/b").unwrap();
        let error = Claim::take(dir.path(), "a/b").unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
        Claim::take(dir.path(), "a/c").unwrap();
        drop(first);
        Claim::take(dir.path(), "a/b").unwrap();
    }

    #[test]
    fn what_was_left_behind_goes() {
        let dir = tempfile::tempdir().unwrap();
        let made = |id: &str| {
            let builder = &mut tempfile::Builder::new();
            let dir = builder.prefix(&unfinished(id)).tempdir_in(dir.path());
            dir.unwrap().keep()
        };
        let (left, other, longer) = (made("a/b"), made("a/c"), made("a/b-d"));
        fs::create_dir(dir.path().join("a--b")).unwrap();
        sweep(dir.path(), "a/b").unwrap();
        assert!(!left.exists());
        assert!(other.exists() && longer.exists() && dir.path().join("a--b").exists());
    }
}
