//! `cargo xtask test`: what CI runs.

mod clients;
mod e2e;
mod native;

use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use crate::beside::Beside;
use crate::client::Profile;
use crate::process::{run, step};
use crate::tools::wasm::{Route, TARGET};
use crate::workspace::Workspace;
use crate::{client, fixtures, serve, tools};

use std::path::Path;
use std::process::Command;

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Formatting, lints, and the tests that need neither GPU nor server.
    Unit,
    /// The runtime's operators, and exported graphs against PyTorch's numbers.
    Gpu,
    /// The server's tests, official OpenAI clients against it, and linters of the deployment files.
    Server,
    /// The built-in model's data, training and export.
    Training,
    /// Playwright in Chromium, against the built server.
    E2e,
}

/// Runs a part, or all of them from the quickest to the slowest.
pub fn test(workspace: &Workspace, part: Option<Part>, grep: Option<&str>) -> Result<()> {
    let start = Instant::now();
    let wanted = |candidate: Part| part.is_none_or(|part| part == candidate);
    if part != Some(Part::Training) {
        tools::ensure(&tools::for_server(workspace))?;
    }
    if wanted(Part::Unit) {
        lint(workspace)?;
    }
    if wanted(Part::Server) {
        tools::ensure(&tools::for_server_tests(workspace))?;
    }
    if wanted(Part::Gpu) {
        tools::ensure(&tools::for_gpu(workspace))?;
    }
    // The client takes minutes of one core, and most tests of the server wait: they share the time. Nothing is installed
    // meanwhile, and both have folders of their own below target/.
    let together = part.is_none();
    if together {
        tools::ensure(&tools::for_end_to_end(workspace))?;
        tools::ensure(&tools::for_training(workspace))?;
    }
    let (mut server, mut built, mut trained) = (None, None, None);
    if !matches!(part, Some(Part::E2e | Part::Training)) {
        let compiled = native::compile(workspace)?;
        for candidate in [Part::Unit, Part::Server, Part::Gpu] {
            if candidate != Part::Unit && together && built.is_none() {
                built = Some(Beside::start(workspace, &["client"])?);
            }
            // It computes on one core, and what comes from here on waits for other programs much of the time.
            if candidate == Part::Gpu && together {
                trained = Some(Beside::start(workspace, &["test", "training"])?);
            }
            if wanted(candidate) {
                native::run_part(workspace, candidate, &compiled.suites)?;
            }
        }
        let program = compiled.program("demo-hub")?;
        if wanted(Part::Server) {
            clients::run_all(workspace, program)?;
        }
        if wanted(Part::Gpu) {
            compare(workspace, compiled.program("onnx-gpu")?)?;
            packages(workspace, program)?;
        }
        server = Some(program.to_path_buf());
    }
    if wanted(Part::Training) {
        match trained.take() {
            Some(trained) => trained.finish()?,
            None => {
                tools::ensure(&tools::for_training(workspace))?;
                training(workspace)?;
            }
        }
    }
    if wanted(Part::E2e) {
        match built.take() {
            Some(built) => built.finish()?,
            None => client(workspace)?,
        }
        let server = server.map_or_else(|| serve::server(workspace, false), Ok)?;
        e2e::run_all(workspace, server, grep)?;
    }
    let parts = part.map_or("all parts".to_owned(), |part| {
        format!("part {part:?}").to_lowercase()
    });
    println!(
        "\ntest: {parts} passed in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn lint(workspace: &Workspace) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&workspace.root);
        command
    };
    step("formatting", || {
        run(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    step("lints, native", || {
        run(&mut cargo(&[
            "clippy",
            "--workspace",
            "--exclude",
            "engine-page",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })
}

/// Lints what is compiled for the browser, and builds it as it is shipped.
pub fn client(workspace: &Workspace) -> Result<()> {
    tools::ensure(&tools::for_end_to_end(workspace))?;
    lint_wasm(workspace)?;
    client::build(workspace, Profile::Release)
}

/// Lints of what is compiled for the browser.
fn lint_wasm(workspace: &Workspace) -> Result<()> {
    step("lints, wasm", || {
        // Debian's tool chain has no clippy: there the compiler's own warnings must do.
        let (verb, last): (&str, &[&str]) = match Route::find(workspace) {
            Some(Route::Debian) => ("check", &[]),
            _ => ("clippy", &["--", "-D", "warnings"]),
        };
        for packages in [
            &[
                "-p",
                "app",
                "--features",
                "hydrate",
                "--lib",
                "--bin",
                "client",
            ][..],
            &[
                "-p",
                "app",
                "--features",
                "render-worker",
                "--lib",
                "--bin",
                "render-worker",
            ],
            &[
                "-p",
                "app",
                "--features",
                "cpu-worker",
                "--lib",
                "--bin",
                "cpu-worker",
            ],
            &["-p", "engine-page"],
        ] {
            let mut command = Command::new("cargo");
            command
                .arg(verb)
                .args(["--target", TARGET])
                .args(packages)
                .args(last)
                .current_dir(&workspace.root);
            if let Some(route) = Route::find(workspace) {
                route.apply(&mut command);
            }
            run(&mut command)?;
        }
        Ok(())
    })
}

/// Trains and exports on sixteen drawn shapes, one thread a process.
fn training(workspace: &Workspace) -> Result<()> {
    step("training: tests", || {
        run(
            Command::new(tools::python::Environment { workspace }.python())
                .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
                .env("OMP_NUM_THREADS", "1")
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .current_dir(workspace.root.join("models/glyph/training")),
        )
    })
}

/// Packages that `demo-hub models add` makes of an export, and their pictures against diffusers'.
fn packages(workspace: &Workspace, program: &Path) -> Result<()> {
    let folder = fixtures::ensure(workspace)?;
    let (set, _) = fixtures::SETS[1];
    step("packages against diffusers", || {
        run(
            Command::new(tools::python::Environment { workspace }.python())
                .arg(
                    workspace
                        .root
                        .join("server/tests/models/stable_diffusion.py"),
                )
                .arg("check")
                .arg(program)
                .arg(folder.join(set))
                .arg(workspace.target.join("packages"))
                .env("HF_HUB_OFFLINE", "1")
                .env("PYTHONDONTWRITEBYTECODE", "1"),
        )
    })
}

/// The exported graphs on the software adapter, each within 2e-3 of its output's range.
fn compare(workspace: &Workspace, program: &Path) -> Result<()> {
    let folder = fixtures::ensure(workspace)?;
    // Elsewhere than on Linux there is no lavapipe; the default adapter must do.
    let adapter = if cfg!(target_os = "linux") {
        "software"
    } else {
        "default"
    };
    step("graphs against PyTorch", || {
        for (set, _) in fixtures::SETS {
            let folder = folder.join(set);
            for graph in fixtures::GRAPHS {
                let mut command = Command::new(program);
                command
                    .arg("compare")
                    .arg(folder.join(format!("{}.onnx", graph.name)))
                    .args(["--adapter", adapter]);
                for input in graph.input_arguments(&folder) {
                    command.args(["--input", &input]);
                }
                run(command.arg("--expect").arg(graph.output_argument(&folder)))?;
            }
        }
        let folder = folder.join(fixtures::ARCHITECTURES);
        for case in fixtures::Case::read(&folder)? {
            run(Command::new(program)
                .arg("compare")
                .args(case.arguments(&folder))
                .args(["--adapter", adapter]))?;
        }
        Ok(())
    })
}
