//! The client: compiled and bundled by Trunk, finished by [`crate::dist`].

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run, step};
use crate::tools::wasm::Route;
use crate::tools::{self, npm};
use crate::workspace::Workspace;
use crate::{dist, engine_page, stamp};

/// How much is done to make the client small and fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quick to compile.
    Dev,
    /// Optimised and compressed.
    Release,
}

impl Profile {
    /// The profile of cargo.
    pub fn cargo(self) -> &'static str {
        match self {
            Profile::Dev => "wasm-dev",
            Profile::Release => "wasm-release",
        }
    }

    /// Name for messages and folders.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Dev => "dev",
            Profile::Release => "release",
        }
    }
}

/// Brings `dist/` up to date; does nothing if no source has changed.
pub fn build(workspace: &Workspace, profile: Profile) -> Result<()> {
    tools::ensure(&tools::for_client(workspace))?;
    let route = Route::find(workspace).context("no compiler for the client")?;
    let sources = sources(workspace)?;
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let wanted = stamp::hash_tree(
        &workspace.root,
        &sources,
        &[
            profile.name(),
            &format!("{route:?}"),
            &route.version(workspace)?,
        ],
    )?;
    let note = workspace.target.join("client/stamp");
    let dist = workspace.dist();
    let found = fs::read_to_string(&note).unwrap_or_default();
    if found == format!("{wanted}\n{}", dist::fingerprint(&dist)?) {
        println!("client: up to date in {}", dist.display());
        return dist::print_sizes(&dist);
    }
    let staging = workspace.target.join("client/staging");
    step(
        &format!("client ({}): compile and bundle", profile.name()),
        || {
            // Trunk is kept off the network, for its own downloads, and cargo with it.
            run(Command::new("cargo")
                .arg("fetch")
                .current_dir(&workspace.root))?;
            run(&mut trunk(workspace, profile, route, &staging)?)
        },
    )?;
    let engine = engine_page::build(workspace, profile)?;
    step("client: finish dist", || {
        let optimise = (profile == Profile::Release).then(|| npm::program(workspace, "wasm-opt"));
        dist::assemble(&staging, &dist, optimise.as_deref(), |new, css| {
            engine_page::place(&workspace.root, &engine, css, new)
        })
    })?;
    fs::write(&note, format!("{wanted}\n{}", dist::fingerprint(&dist)?))
        .context("noting the build")?;
    dist::print_sizes(&dist)
}

fn trunk(workspace: &Workspace, profile: Profile, route: Route, staging: &Path) -> Result<Command> {
    let mut command = Command::new(workspace.tools().join("bin/trunk"));
    command
        .args(["build", "--offline", "--dist"])
        .arg(staging)
        .current_dir(&workspace.root)
        .env("PATH", path_with_tools(workspace)?)
        .env("CARGO_TARGET_DIR", &workspace.target)
        // Trunk wants a value here that is true or false.
        .env_remove("NO_COLOR");
    if profile == Profile::Release {
        command.arg("--release");
    }
    route.apply(&mut command);
    Ok(command)
}

/// `PATH` with the cached tools first.
pub fn path_with_tools(workspace: &Workspace) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [workspace.tools().join("bin")]
        .into_iter()
        .chain(env::split_paths(&path));
    env::join_paths(folders).context("PATH")
}

/// Everything that the client is made from.
fn sources(workspace: &Workspace) -> Result<Vec<String>> {
    let fixed = [
        "Cargo.toml",
        "Cargo.lock",
        "Trunk.toml",
        ".cargo/config.toml",
        "end2end/package-lock.json",
        "public",
        "app/Cargo.toml",
        "app/build.rs",
        "app/index.html",
        "app/src",
        "app/style",
        "bench/browser",
        "bench/web/npy.js",
        "xtask/src/engine_page.rs",
        "xtask/src/client.rs",
        "xtask/src/dist.rs",
        "xtask/src/compress.rs",
    ];
    let mut sources: Vec<String> = fixed.map(str::to_owned).into();
    for entry in fs::read_dir(workspace.root.join("crates"))? {
        let name: PathBuf = entry?.file_name().into();
        for part in ["Cargo.toml", "src"] {
            sources.push(format!("crates/{}/{part}", name.display()));
        }
    }
    Ok(sources)
}
