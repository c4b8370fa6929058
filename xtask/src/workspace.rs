//! Where things lie: the check-out, the build folder, the cache.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders that the tasks work with.
pub struct Workspace {
    /// Root of the check-out.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// `$XDG_CACHE_HOME/demo-hub`, by default `~/.cache/demo-hub`: installed tools and made fixtures.
    pub cache: PathBuf,
}

impl Workspace {
    /// Finds the folders from this crate's manifest and the environment.
    pub fn locate() -> Result<Workspace> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in the workspace root")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => env::current_dir()?.join(dir),
            None => root.join("target"),
        };
        Ok(Workspace {
            target,
            cache: cache_home()?.join("demo-hub"),
            root,
        })
    }

    /// Root that `cargo install` puts tools under.
    pub fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    /// Folder of the Playwright tests and of the npm packages.
    pub fn end2end(&self) -> PathBuf {
        self.root.join("end2end")
    }

    /// Folder that the server serves static files from.
    pub fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// An executable that cargo built with a profile folder such as `debug`.
    pub fn built(&self, profile: &str, name: &str) -> PathBuf {
        self.target
            .join(profile)
            .join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }
}

fn cache_home() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(env::current_dir()?.join(dir));
    }
    let home = env::var_os("HOME")
        .or_else(|| env::var_os("USERPROFILE"))
        .context("neither XDG_CACHE_HOME nor HOME is set: there is no place for the tool cache")?;
    Ok(Path::new(&home).join(".cache"))
}
