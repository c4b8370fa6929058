//! The engines that are compared: how each is built and started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::model::Model;
use super::size::{Sizes, brotli_bytes};
use crate::client::Profile;
use crate::engine_page;
use crate::process::{run, step};
use crate::tools::npm;
use crate::tools::python::Environment;
use crate::workspace::Workspace;

/// An engine in the place where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// This project's runtime in Chromium.
    Web,
    /// ONNX Runtime Web's WebGPU provider in Chromium.
    OrtWeb,
    /// This project's runtime on this machine's GPU.
    Native,
    /// wonnx on this machine's GPU.
    Wonnx,
    /// rten on the CPU.
    Rten,
    /// ONNX Runtime's CPU provider.
    OrtCpu,
}

impl Engine {
    /// In the order of the table; ours first in each place, because the others are compared with it.
    pub const ALL: [Engine; 6] = [
        Engine::Web,
        Engine::OrtWeb,
        Engine::Native,
        Engine::Wonnx,
        Engine::Rten,
        Engine::OrtCpu,
    ];

    /// Name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Web => "onnx-gpu web",
            Engine::OrtWeb => "ort-web webgpu",
            Engine::Native => "onnx-gpu native",
            Engine::Wonnx => "wonnx native",
            Engine::Rten => "rten cpu",
            Engine::OrtCpu => "ort cpu",
        }
    }

    /// Whether it runs in Chromium.
    pub fn in_browser(self) -> bool {
        matches!(self, Engine::Web | Engine::OrtWeb)
    }

    /// The one of this project that runs in the same place.
    pub fn ours(self) -> Engine {
        if self.in_browser() {
            Engine::Web
        } else {
            Engine::Native
        }
    }

    /// The command that speaks the benchmark's line protocol. `adapter` is what the native runtime called its adapter.
    pub fn command(
        self,
        workspace: &Workspace,
        builds: &Builds,
        model: &Model,
        save: &Path,
        choice: &str,
        adapter: Option<&str>,
    ) -> Result<Command> {
        if save.exists() {
            fs::remove_dir_all(save).with_context(|| format!("removing {}", save.display()))?;
        }
        let mut command = match self {
            Engine::Web | Engine::OrtWeb => {
                let mut command = Command::new("node");
                command
                    .arg(workspace.root.join("bench/web/driver.mjs"))
                    .arg(if self == Engine::Web {
                        "onnx-gpu"
                    } else {
                        "ort-web"
                    })
                    .arg("--engine-page")
                    .arg(&builds.engine_page);
                if let Some(chromium) = npm::chromium(workspace) {
                    command.arg("--chromium").arg(chromium);
                }
                command
            }
            Engine::Native => {
                let mut command = Command::new(workspace.built("release", "onnx-gpu"));
                command.args(["lines", "--adapter", choice]);
                command
            }
            Engine::Wonnx => {
                let mut command = Command::new(builds.wonnx.join("release/bench-wonnx"));
                if let Some(adapter) = adapter {
                    command.env("WGPU_ADAPTER_NAME", adapter.to_lowercase());
                }
                command
            }
            Engine::Rten => Command::new(builds.peers.join("release/bench-rten")),
            Engine::OrtCpu => {
                let mut command = Command::new(Environment { workspace }.python());
                command.arg(workspace.root.join("bench/peers/ort.py"));
                command
            }
        };
        command.arg(&model.file).arg("--save").arg(save);
        for (name, file) in model.inputs()? {
            command
                .arg("--input")
                .arg(format!("{name}={}", file.display()));
        }
        Ok(command)
    }
}

/// What was built, and why what was not could not be.
pub struct Builds {
    engine_page: PathBuf,
    peers: PathBuf,
    wonnx: PathBuf,
    problems: BTreeMap<Engine, String>,
}

impl Builds {
    /// Builds what the engines need. Only a peer may fail: the table then says why.
    pub fn make(workspace: &Workspace, engines: &[Engine]) -> Result<Builds> {
        let mut builds = Builds {
            engine_page: workspace.target.join("engine-page"),
            peers: workspace.target.join("bench/peers"),
            wonnx: workspace.target.join("bench/wonnx"),
            problems: BTreeMap::new(),
        };
        let cargo = |folder: &Path, package: &str, target: &Path| {
            step(&format!("bench: compile {package}"), || {
                run(Command::new("cargo")
                    .args(["build", "--release", "--package", package, "--bin", package])
                    .env("CARGO_TARGET_DIR", target)
                    .current_dir(folder))
            })
        };
        let peers = workspace.root.join("bench/peers");
        for &engine in engines {
            match engine {
                Engine::Web => {
                    engine_page::build(workspace, Profile::Release)?;
                }
                Engine::Native => cargo(&workspace.root, "onnx-gpu", &workspace.target)?,
                Engine::Rten => cargo(&peers, "bench-rten", &builds.peers)?,
                Engine::Wonnx => {
                    if let Err(error) = cargo(&peers.join("wonnx"), "bench-wonnx", &builds.wonnx) {
                        builds
                            .problems
                            .insert(engine, format!("does not build: {error:#}"));
                    }
                }
                Engine::OrtWeb | Engine::OrtCpu => {}
            }
        }
        Ok(builds)
    }

    /// Why an engine cannot be started at all.
    pub fn problem(&self, engine: Engine) -> Option<&str> {
        self.problems.get(&engine).map(String::as_str)
    }

    /// What a browser downloads for each engine.
    pub fn sizes(&self, workspace: &Workspace) -> Result<Vec<Sizes>> {
        let ort = workspace
            .root
            .join("bench/web/node_modules/onnxruntime-web/dist");
        let cache = workspace.cache.join("bench/brotli");
        let mut sizes = Vec::new();
        for (name, folder, files) in [
            (
                "onnx-gpu",
                &self.engine_page,
                ["engine_page_bg.wasm", "engine_page.js"],
            ),
            (
                "onnxruntime-web",
                &ort,
                ["ort-wasm-simd-threaded.asyncify.wasm", "ort.webgpu.min.mjs"],
            ),
        ] {
            let [wasm, script] = files.map(|file| folder.join(file));
            if !wasm.is_file() {
                continue;
            }
            if !script.is_file() {
                bail!("{} is missing", script.display());
            }
            sizes.push(Sizes {
                engine: name,
                wasm_bytes: fs::metadata(&wasm)?.len(),
                wasm_brotli_bytes: brotli_bytes(&wasm, &cache)?,
                script_brotli_bytes: brotli_bytes(&script, &cache)?,
            });
        }
        Ok(sizes)
    }
}
