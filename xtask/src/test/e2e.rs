//! Playwright in Chromium, and Firefox.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::client::{self, Profile};
use crate::process::{run, step};
use crate::tools::{apt, npm};
use crate::workspace::Workspace;
use crate::{engine_page, fixtures, tools};

/// Drives the built client, with the built `server`, in the browser.
pub fn run_all(workspace: &Workspace, server: PathBuf, grep: Option<&str>) -> Result<()> {
    tools::ensure(&tools::for_end_to_end(workspace))?;
    let families = fixtures::families(workspace)?;
    let fixtures = fixtures::ensure(workspace)?;
    client::build(workspace, Profile::Release)?;
    let engine_page = engine_page::build(workspace, Profile::Release)?;
    let end2end = workspace.end2end();
    step("e2e: types", || {
        run(Command::new(npm::program(workspace, "tsc"))
            .arg("--noEmit")
            .current_dir(&end2end))
    })?;
    step("e2e: Playwright", || {
        let mut command = Command::new(npm::program(workspace, "playwright"));
        command
            .arg("test")
            .current_dir(&end2end)
            .env("E2E_SERVER", server)
            .env("E2E_SITE", workspace.dist())
            .env("E2E_MODELS", workspace.root.join("models"))
            .env("E2E_ENGINE_PAGE", engine_page)
            .env("E2E_FIXTURES", fixtures)
            .env("E2E_FAMILIES", families)
            .env("E2E_TOLERANCE", tolerance(workspace)?);
        if let Some(chromium) = npm::chromium(workspace) {
            command.env("PLAYWRIGHT_CHROMIUM", chromium);
        }
        if let Some(firefox) = apt::firefox_program() {
            command.env("E2E_FIREFOX", firefox);
        }
        if let Some(webkit) = apt::webkit_program() {
            command.env("E2E_WEBKIT", webkit);
        }
        if let Some(grep) = grep {
            command.args(["--grep", grep]);
        }
        run(&mut command)
    })
}

/// `diffusion::TOLERANCE`: how far channels of two pictures of one seed may differ between backends.
fn tolerance(workspace: &Workspace) -> Result<String> {
    let path = workspace.root.join("crates/diffusion/src/picture.rs");
    let source =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    source
        .lines()
        .find_map(|line| {
            line.strip_prefix("pub const TOLERANCE: u8 = ")?
                .strip_suffix(';')
        })
        .map(str::to_owned)
        .with_context(|| format!("{} has no TOLERANCE", path.display()))
}
