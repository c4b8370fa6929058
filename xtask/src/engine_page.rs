//! `bench/browser`: the ONNX runtime as a module for a page of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run, step};
use crate::tools::wasm::{Route, TARGET};
use crate::workspace::Workspace;

/// Compiles it and generates its bindings; returns the folder with `engine_page.js`.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    let route = Route::find(workspace).context("no compiler for the client")?;
    let out = workspace.target.join("engine-page");
    step("engine page: compile", || {
        let mut cargo = Command::new("cargo");
        cargo
            .args([
                "build",
                "--package",
                "engine-page",
                "--lib",
                "--profile",
                "wasm-release",
                "--target",
                TARGET,
            ])
            .current_dir(&workspace.root);
        route.apply(&mut cargo);
        run(&mut cargo)?;
        let module = workspace
            .target
            .join(TARGET)
            .join("wasm-release/engine_page.wasm");
        let mut bindgen = Command::new(workspace.tools().join("bin/wasm-bindgen"));
        run(bindgen
            .args(["--target", "web", "--no-typescript", "--out-dir"])
            .arg(&out)
            .arg(module))
    })?;
    Ok(out)
}
