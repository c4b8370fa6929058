//! `bench/browser`: the ONNX runtime as a module for a page of its own, and that page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::client::Profile;
use crate::dist::{WASM_FEATURES, read, write_hashed};
use crate::process::{run, step};
use crate::tools::npm;
use crate::tools::wasm::{Route, TARGET};
use crate::workspace::Workspace;

const MODULE: &str = "engine_page_bg.wasm";

/// Compiles it, generates its bindings and, but for development, optimises it; returns the folder with `engine_page.js`.
pub fn build(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let route = Route::find(workspace).context("no compiler for the client")?;
    let out = workspace.target.join(match profile {
        Profile::Dev => "engine-page-dev",
        Profile::Release => "engine-page",
    });
    step("engine page: compile", || {
        let mut cargo = Command::new("cargo");
        cargo
            .args([
                "build",
                "--package",
                "engine-page",
                "--lib",
                "--profile",
                profile.cargo(),
                "--target",
                TARGET,
            ])
            .current_dir(&workspace.root);
        route.apply(&mut cargo);
        run(&mut cargo)?;
        let module = workspace
            .target
            .join(TARGET)
            .join(profile.cargo())
            .join("engine_page.wasm");
        let mut bindgen = Command::new(workspace.tools().join("bin/wasm-bindgen"));
        run(bindgen
            .args(["--target", "web", "--no-typescript", "--out-dir"])
            .arg(&out)
            .arg(module))?;
        if profile == Profile::Release {
            let plain = out.join(MODULE);
            run(Command::new(npm::program(workspace, "wasm-opt"))
                .arg("-Os")
                .args(WASM_FEATURES)
                .arg("-o")
                .arg(&plain)
                .arg(&plain))?;
        }
        Ok(())
    })?;
    Ok(out)
}

/// Puts the page into `dist`: `onnx.html`, and the rest under names that follow content. `css` is the address of the
/// hub's style sheet, `engine` the folder that [`build`] made.
pub fn place(root: &Path, engine: &Path, css: &str, dist: &Path) -> Result<()> {
    let site = root.join("bench/browser/site");
    let text = |path: PathBuf| String::from_utf8(read(&path)?).context("not UTF-8");
    let put = |name: &str, extension: &str, content: &str| {
        write_hashed(dist, name, extension, content.as_bytes())
    };
    let wasm = write_hashed(dist, "engine", "wasm", &read(&engine.join(MODULE))?)?;
    let script = text(engine.join("engine_page.js"))?;
    let script = put(
        "engine",
        "js",
        &script.replace(MODULE, wasm.trim_start_matches('/')),
    )?;
    let npy = put("npy", "js", &text(root.join("bench/web/npy.js"))?)?;
    let page = text(site.join("page.js"))?
        .replace("{engine_js}", &script)
        .replace("{engine_wasm}", &wasm)
        .replace("{npy_js}", &npy);
    let page = put("onnx", "js", &page)?;
    let page_css = put("onnx", "css", &text(site.join("page.css"))?)?;
    let html = text(site.join("index.html"))?
        .replace("{css}", css)
        .replace("{page_css}", &page_css)
        .replace("{page_js}", &page);
    fs::write(dist.join("onnx.html"), html).context("writing onnx.html")
}
