//! S3 as others implement it: moto's server, and botocore to check signatures.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Tool};
use crate::process::run;
use crate::stamp::hex_sha256;
use crate::workspace::Workspace;

/// `<cache>/s3` with the packages of `server/tests/s3/requirements.txt`; the server's tests look for it there.
pub struct OtherS3<'a> {
    /// The check-out.
    pub workspace: &'a Workspace,
}

impl OtherS3<'_> {
    fn environment(&self) -> PathBuf {
        self.workspace.cache.join("s3")
    }

    fn note(&self) -> PathBuf {
        self.environment().join("installed-from")
    }

    fn requirements(&self) -> PathBuf {
        self.workspace.root.join("server/tests/s3/requirements.txt")
    }

    fn wanted(&self) -> Result<String> {
        let path = self.requirements();
        let pins = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(hex_sha256(&pins))
    }
}

impl Tool for OtherS3<'_> {
    fn name(&self) -> String {
        "moto".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "server"
    }

    fn probe(&self) -> Result<State> {
        match fs::read_to_string(self.note()) {
            Ok(found) if found == self.wanted()? => {
                Ok(State::Ready(self.environment().display().to_string()))
            }
            Ok(_) => Ok(State::Missing("its pins have changed".to_owned())),
            Err(_) => Ok(State::Missing("not installed".to_owned())),
        }
    }

    fn plan(&self) -> String {
        format!(
            "python3 -m venv {} and pip install (moto, botocore: 140 MB)",
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
        run(Command::new(self.environment().join("bin/python"))
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-deps", "-r"])
            .arg(self.requirements()))?;
        fs::write(self.note(), self.wanted()?).context("noting the installation")
    }
}
