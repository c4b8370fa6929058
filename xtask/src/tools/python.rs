//! The Python environment that exports the test graphs and tests the training code.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Tool};
use crate::process::run;
use crate::stamp::hex_sha256;
use crate::workspace::Workspace;

/// `<cache>/venv` with the packages of `bench/fixtures/requirements.txt`.
pub struct Environment<'a> {
    /// The check-out.
    pub workspace: &'a Workspace,
}

impl Environment<'_> {
    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.folder().join("bin/python")
    }

    fn folder(&self) -> PathBuf {
        self.workspace.cache.join("venv")
    }

    fn requirements(&self) -> PathBuf {
        self.workspace.root.join("bench/fixtures/requirements.txt")
    }

    fn wanted(&self) -> Result<String> {
        let path = self.requirements();
        Ok(hex_sha256(
            &fs::read(&path).with_context(|| format!("reading {}", path.display()))?,
        ))
    }
}

impl Tool for Environment<'_> {
    fn name(&self) -> String {
        "PyTorch".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "fixtures"
    }

    fn probe(&self) -> Result<State> {
        match fs::read_to_string(self.folder().join("installed-from")) {
            Ok(found) if found == self.wanted()? => {
                Ok(State::Ready(self.folder().display().to_string()))
            }
            Ok(_) => Ok(State::Missing(
                "requirements.txt has changed since its installation".to_owned(),
            )),
            Err(_) => Ok(State::Missing(
                "not installed, or not to the end".to_owned(),
            )),
        }
    }

    fn plan(&self) -> String {
        format!(
            "python3 -m venv {} and pip install (torch: some GB)",
            self.folder().display()
        )
    }

    fn seconds(&self) -> u32 {
        240
    }

    fn install(&self) -> Result<()> {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(self.folder()))?;
        run(Command::new(self.python())
            .args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-compile",
                "-r",
            ])
            .arg(self.requirements()))?;
        fs::write(self.folder().join("installed-from"), self.wanted()?)
            .context("noting the installation")
    }
}

/// In [`Environment`], which comes first: the packages of `models/glyph/training/requirements-test.txt`.
pub struct TrainingTests<'a> {
    /// The check-out.
    pub workspace: &'a Workspace,
}

impl TrainingTests<'_> {
    fn requirements(&self) -> PathBuf {
        self.workspace
            .root
            .join("models/glyph/training/requirements-test.txt")
    }

    /// Of both lists: a new environment has lost these packages too.
    fn wanted(&self) -> Result<String> {
        let path = self.requirements();
        let own = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let below = self.environment().wanted()?;
        Ok(hex_sha256(&[own.as_slice(), below.as_bytes()].concat()))
    }

    fn note(&self) -> PathBuf {
        self.environment().folder().join("training-tests-from")
    }

    fn environment(&self) -> Environment<'_> {
        Environment {
            workspace: self.workspace,
        }
    }
}

impl Tool for TrainingTests<'_> {
    fn name(&self) -> String {
        "pytest".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "training"
    }

    fn probe(&self) -> Result<State> {
        match fs::read_to_string(self.note()) {
            Ok(found) if found == self.wanted()? => Ok(State::Ready(
                self.environment().folder().display().to_string(),
            )),
            Ok(_) => Ok(State::Missing(
                "requirements-test.txt has changed since its installation".to_owned(),
            )),
            Err(_) => Ok(State::Missing("not installed".to_owned())),
        }
    }

    fn plan(&self) -> String {
        format!(
            "pip install into {} (text encoder: 80 MB)",
            self.environment().folder().display()
        )
    }

    fn seconds(&self) -> u32 {
        30
    }

    fn install(&self) -> Result<()> {
        run(Command::new(self.environment().python())
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-compile", "--no-deps", "-r"])
            .arg(self.requirements()))?;
        fs::write(self.note(), self.wanted()?).context("noting the installation")
    }
}
