//! The folder of a download, which outlives a run that was ended.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

use super::super::claim::{DOWNLOADS, slug};
use crate::catalog::hub::HubFile;
use crate::config::AddConfig;

/// File that says of which revision the files are.
const REVISION: &str = ".revision";

/// Where a model's files are fetched to.
pub(super) fn of(config: &AddConfig) -> PathBuf {
    let downloads = config.packages.models_dir.join(DOWNLOADS);
    downloads.join(slug(&config.source))
}

/// Makes the folder ready for a revision. Of another one only those files stay whose digest the hub tells: they are looked at
/// before they are used.
pub(super) fn prepare(folder: &Path, revision: &str, listed: &[HubFile]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(REVISION);
    if fs::read_to_string(&path).is_ok_and(|known| known == revision) {
        return Ok(());
    }
    for file in listed.iter().filter(|file| file.sha256.is_none()) {
        let path = folder.join(&file.path);
        for old in [part(&path), path] {
            if old.exists() {
                fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
            }
        }
    }
    fs::write(&path, revision).with_context(|| format!("writing {}", path.display()))
}

/// Where a file is while it is fetched.
pub(super) fn part(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

/// Checks length and digest, as far as the hub tells them.
pub(super) fn check(path: &Path, file: &HubFile) -> anyhow::Result<()> {
    let mut reader = fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut hasher = Sha256::new();
    let length = std::io::copy(&mut reader, &mut hasher)?;
    ensure!(
        file.bytes.is_none_or(|bytes| bytes == length),
        "{} has {length} bytes, the hub says {}",
        file.path,
        file.bytes.unwrap_or_default()
    );
    let digest = hex::encode(hasher.finalize());
    ensure!(
        file.sha256.as_ref().is_none_or(|sha256| *sha256 == digest),
        "{} is not the hub's file: its SHA-256 is {digest}",
        file.path
    );
    Ok(())
}
