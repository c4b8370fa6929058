//! Tools from crates, compiled into the cache.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{State, Tool};
use crate::process::{capture, run};
use crate::workspace::Workspace;

const TRUNK: &str = "0.21.14";

/// A binary crate installed with `cargo install --root <cache>/tools`.
pub struct CargoTool<'a> {
    workspace: &'a Workspace,
    package: &'static str,
    binary: &'static str,
    version: Version,
    seconds: u32,
}

enum Version {
    Pinned(&'static str),
    /// That of this package in `Cargo.lock`.
    Locked(&'static str),
}

impl<'a> CargoTool<'a> {
    /// `wasm-bindgen`, whose version must be that of the library.
    pub fn wasm_bindgen(workspace: &'a Workspace) -> Self {
        CargoTool {
            workspace,
            package: "wasm-bindgen-cli",
            binary: "wasm-bindgen",
            version: Version::Locked("wasm-bindgen"),
            seconds: 120,
        }
    }

    /// `trunk`, the bundler of the client.
    pub fn trunk(workspace: &'a Workspace) -> Self {
        CargoTool {
            workspace,
            package: "trunk",
            binary: "trunk",
            version: Version::Pinned(TRUNK),
            seconds: 300,
        }
    }

    fn wanted(&self) -> Result<String> {
        match self.version {
            Version::Pinned(version) => Ok(version.to_owned()),
            Version::Locked(package) => {
                let path = self.workspace.root.join("Cargo.lock");
                let lock = fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                locked_version(&lock, package)
            }
        }
    }

    fn command(&self, locked: bool) -> Result<Command> {
        let mut command = Command::new("cargo");
        command
            .args([
                "install",
                self.package,
                "--version",
                &self.wanted()?,
                "--force",
            ])
            .args(self.features())
            .arg("--root")
            .arg(self.workspace.tools())
            .arg("--target-dir")
            .arg(self.workspace.cache.join("build"))
            // Their run time is small against their compile time.
            .args([
                "--config",
                "profile.release.opt-level=1",
                "--config",
                "profile.release.lto=false",
            ])
            .args(["--config", "profile.release.codegen-units=16"]);
        if locked {
            command.arg("--locked");
        }
        Ok(command)
    }

    fn features(&self) -> &'static [&'static str] {
        match self.package {
            // Without the check for newer versions, which is a network access at every build.
            "trunk" => &["--no-default-features", "--features", "rustls"],
            _ => &[],
        }
    }
}

impl Tool for CargoTool<'_> {
    fn name(&self) -> String {
        self.package.to_owned()
    }

    fn purpose(&self) -> &'static str {
        "client"
    }

    fn probe(&self) -> Result<State> {
        let wanted = self.wanted()?;
        let binary = self.workspace.tools().join("bin").join(self.binary);
        match capture(Command::new(&binary).arg("--version")) {
            Ok(version) if version.split(' ').any(|word| word == wanted) => {
                Ok(State::Ready(version))
            }
            Ok(version) => Ok(State::Missing(format!("{wanted} wanted, {version} found"))),
            Err(_) => Ok(State::Missing(format!("{wanted} wanted, none found"))),
        }
    }

    fn plan(&self) -> String {
        match self.command(true) {
            Ok(_) => format!(
                "cargo install {} into {}",
                self.package,
                self.workspace.tools().display()
            ),
            Err(error) => format!("nothing: {error}"),
        }
    }

    fn seconds(&self) -> u32 {
        self.seconds
    }

    fn install(&self) -> Result<()> {
        if let Err(error) = run(&mut self.command(true)?) {
            println!("    {error:#}; trying with newer versions of its dependencies");
            run(&mut self.command(false)?)?;
        }
        let build = self.workspace.cache.join("build");
        fs::remove_dir_all(&build).with_context(|| format!("removing {}", build.display()))
    }
}

/// The version of a package in the text of a `Cargo.lock`.
fn locked_version(lock: &str, package: &str) -> Result<String> {
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    let packages = lock.get("package").and_then(|value| value.as_array());
    let Some(version) = packages
        .into_iter()
        .flatten()
        .find(|entry| entry.get("name").and_then(|name| name.as_str()) == Some(package))
        .and_then(|entry| entry.get("version")?.as_str())
    else {
        bail!("Cargo.lock has no package {package}");
    };
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn version_comes_from_the_lock_file() {
        let lock = "version = 4\n[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"1.0.0\"\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen").unwrap(), "0.2.130");
        assert!(locked_version(lock, "trunk").is_err());
        assert!(locked_version("no lock file", "trunk").is_err());
    }
}
