//! The Rust tool chain itself, which is the one thing that must be there beforehand.

use std::process::Command;

use anyhow::{Result, bail};

use super::{State, Tool};
use crate::process::{capture, find_program, run};
use crate::workspace::Workspace;

/// `rustfmt` and `clippy` beside the compiler that runs this.
pub struct Components<'a> {
    /// The check-out.
    pub workspace: &'a Workspace,
}

impl Tool for Components<'_> {
    fn name(&self) -> String {
        "rust".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "everything"
    }

    fn probe(&self) -> Result<State> {
        let root = &self.workspace.root;
        let version = capture(Command::new("rustc").arg("--version").current_dir(root))?;
        for component in ["fmt", "clippy"] {
            let mut command = Command::new("cargo");
            if capture(command.args([component, "--version"]).current_dir(root)).is_err() {
                return Ok(State::Missing(format!("`cargo {component}`")));
            }
        }
        Ok(State::Ready(version))
    }

    fn plan(&self) -> String {
        "rustup component add rustfmt clippy".to_owned()
    }

    fn seconds(&self) -> u32 {
        15
    }

    fn install(&self) -> Result<()> {
        if find_program("rustup").is_none() {
            bail!(
                "rustup is not on PATH: install the packages of rustfmt and clippy that belong to your rustc"
            );
        }
        let mut command = Command::new("rustup");
        run(command
            .args(["component", "add", "rustfmt", "clippy"])
            .current_dir(&self.workspace.root))
    }
}
