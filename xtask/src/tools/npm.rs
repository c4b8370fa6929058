//! Pinned npm packages (wasm-opt, Playwright) and the browser they drive.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Tool, apt};
use crate::process::{capture, find_program, run};
use crate::stamp::hex_sha256;
use crate::workspace::Workspace;

/// The `node_modules` of a folder, as its `package-lock.json` says.
pub struct Packages {
    folder: PathBuf,
    name: &'static str,
    purpose: &'static str,
    contents: &'static str,
    /// A program among them whose version is shown.
    program: Option<PathBuf>,
}

impl Packages {
    /// Those of `end2end`.
    pub fn tests(workspace: &Workspace) -> Self {
        Packages {
            folder: workspace.end2end(),
            name: "npm packages",
            purpose: "client, e2e",
            contents: "binaryen, Playwright",
            program: Some(program(workspace, "wasm-opt")),
        }
    }

    /// Those of `bench/web`.
    pub fn bench(workspace: &Workspace) -> Self {
        Packages {
            folder: workspace.root.join("bench/web"),
            name: "npm packages of the bench",
            purpose: "bench",
            contents: "ONNX Runtime Web, Playwright",
            program: None,
        }
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join("node_modules/.installed-from")
    }

    fn wanted(&self) -> Result<String> {
        let lock = self.folder.join("package-lock.json");
        Ok(hex_sha256(
            &fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?,
        ))
    }
}

impl Tool for Packages {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn purpose(&self) -> &'static str {
        self.purpose
    }

    fn probe(&self) -> Result<State> {
        match fs::read_to_string(self.stamp()) {
            Ok(found) if found == self.wanted()? => {
                let Some(program) = &self.program else {
                    return Ok(State::Ready(self.contents.to_owned()));
                };
                let version = capture(Command::new(program).arg("--version"));
                Ok(version.map_or_else(|error| State::Missing(format!("{error:#}")), State::Ready))
            }
            Ok(_) => Ok(State::Missing(
                "package-lock.json has changed since their installation".to_owned(),
            )),
            Err(_) => Ok(State::Missing(
                "not installed, or not to the end".to_owned(),
            )),
        }
    }

    fn plan(&self) -> String {
        format!("npm ci in {} ({})", self.folder.display(), self.contents)
    }

    fn seconds(&self) -> u32 {
        15
    }

    fn install(&self) -> Result<()> {
        run(Command::new("npm").arg("ci").current_dir(&self.folder))?;
        fs::write(self.stamp(), self.wanted()?).context("noting the installation")
    }
}

/// A Chromium: the one named by `PLAYWRIGHT_CHROMIUM`, the system's, or else Playwright's own.
pub struct Browser<'a> {
    /// The check-out.
    pub workspace: &'a Workspace,
}

impl Tool for Browser<'_> {
    fn name(&self) -> String {
        "chromium".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "e2e"
    }

    fn probe(&self) -> Result<State> {
        let Some(path) = chromium(self.workspace) else {
            return Ok(State::Missing(
                "neither on PATH nor named by PLAYWRIGHT_CHROMIUM".to_owned(),
            ));
        };
        Ok(match capture(Command::new(&path).arg("--version")) {
            Ok(version) => {
                State::Ready(version.lines().last().unwrap_or_default().trim().to_owned())
            }
            Err(error) => State::Missing(format!("{error:#}")),
        })
    }

    fn plan(&self) -> String {
        match find_program("apt-get") {
            Some(_) => apt::plan(&["chromium"]),
            None => "npx playwright install chromium".to_owned(),
        }
    }

    fn seconds(&self) -> u32 {
        60
    }

    fn install(&self) -> Result<()> {
        if find_program("apt-get").is_some() && apt::install(&["chromium"]).is_ok() {
            return Ok(());
        }
        let mut command = Command::new(program(self.workspace, "playwright"));
        run(command
            .args(["install", "chromium"])
            .current_dir(self.workspace.end2end()))
    }
}

/// The Chromium that the tests start.
pub fn chromium(workspace: &Workspace) -> Option<PathBuf> {
    if let Some(path) = env::var_os("PLAYWRIGHT_CHROMIUM").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(find_program)
        .or_else(|| {
            let script = "console.log(require('@playwright/test').chromium.executablePath())";
            let mut node = Command::new("node");
            let path = capture(node.args(["-e", script]).current_dir(workspace.end2end())).ok()?;
            Some(PathBuf::from(path)).filter(|path| path.is_file())
        })
}

/// A program of the installed packages.
pub fn program(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.end2end().join("node_modules/.bin").join(name)
}
