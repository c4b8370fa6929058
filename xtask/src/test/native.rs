//! Tests compiled for this machine.
//!
//! All are compiled in one go, so that every dependency is compiled once with one set of features, and
//! then started part by part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Part;
use crate::fixtures;
use crate::process::{run, shell_line, step};
use crate::serve::NOT_SERVER;
use crate::workspace::Workspace;

/// A compiled test program.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    package: String,
    /// Name of the library, executable or test file.
    target: String,
    /// Whether it is a file of `tests/`.
    integration: bool,
    program: PathBuf,
    /// Folder of the package, where its tests expect to run.
    folder: PathBuf,
}

impl Suite {
    fn part(&self) -> Part {
        match (self.package.as_str(), self.integration) {
            ("server", _) => Part::Server,
            ("onnx-gpu", true) => Part::Gpu,
            (_, true) if self.target.starts_with("gpu") || self.needs_families() => Part::Gpu,
            _ => Part::Unit,
        }
    }

    /// Whether its tests are held against the pipelines of [`fixtures::families`]; without them they are ignored.
    fn needs_families(&self) -> bool {
        self.integration && self.target == "families"
    }
}

/// What one compilation made.
pub struct Compiled {
    /// The test programs.
    pub suites: Vec<Suite>,
    programs: BTreeMap<String, PathBuf>,
}

impl Compiled {
    /// An executable of the workspace by its name. Integration tests have those of their package compiled.
    pub fn program(&self, name: &str) -> Result<&Path> {
        self.programs
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("the tests were compiled without `{name}`"))
    }
}

/// Compiles every test program and the executables that they start.
pub fn compile(workspace: &Workspace) -> Result<Compiled> {
    step("tests: compile", || {
        let mut command = Command::new("cargo");
        command
            .args(["test", "--workspace"])
            .args(NOT_SERVER)
            .args([
                "--lib",
                "--bins",
                "--tests",
                "--no-run",
                "--message-format=json-render-diagnostics",
            ])
            .current_dir(&workspace.root)
            .stderr(Stdio::inherit());
        let line = shell_line(&command);
        println!("  $ {line}");
        let output = command
            .output()
            .with_context(|| format!("could not start `{line}`"))?;
        if !output.status.success() {
            bail!("`{line}` failed: {}", output.status);
        }
        let compiled = compiled(&String::from_utf8_lossy(&output.stdout))?;
        if compiled.suites.is_empty() {
            bail!("`{line}` made no test programs");
        }
        Ok(compiled)
    })
}

/// Runs the test programs of a part; all of them, even if one fails.
pub fn run_part(workspace: &Workspace, part: Part, suites: &[Suite]) -> Result<()> {
    step(&format!("tests: {part:?}").to_lowercase(), || {
        let mut failed = Vec::new();
        for suite in suites.iter().filter(|suite| suite.part() == part) {
            println!("\n{} {}", suite.package, suite.target);
            let mut command = Command::new(&suite.program);
            command.current_dir(&suite.folder);
            if suite.needs_families() {
                let families = fixtures::families(workspace)?;
                command.arg("--include-ignored").env("FAMILIES", families);
            }
            if let Err(error) = run(&mut command) {
                failed.push(format!("{} {}: {error:#}", suite.package, suite.target));
            }
        }
        if part == Part::Unit {
            for arguments in [
                &[
                    "--workspace",
                    "--exclude",
                    "xtask",
                    "--exclude",
                    "engine-page",
                    "--doc",
                ][..],
                &["-p", "xtask"],
            ] {
                if let Err(error) = run(Command::new("cargo")
                    .arg("test")
                    .args(arguments)
                    .current_dir(&workspace.root))
                {
                    failed.push(format!("{error:#}"));
                }
            }
        }
        if !failed.is_empty() {
            bail!("failed:\n  {}", failed.join("\n  "));
        }
        Ok(())
    })
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The programs named in cargo's messages, one JSON object a line.
fn compiled(messages: &str) -> Result<Compiled> {
    let mut suites = Vec::new();
    let mut programs = BTreeMap::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).context("a message of cargo")?;
        if message.reason != "compiler-artifact" {
            continue;
        }
        if let (Some(program), Some(manifest), Some(target)) =
            (message.executable, message.manifest_path, message.target)
        {
            if !message.profile.is_some_and(|profile| profile.test) {
                if target.kind.iter().any(|kind| kind == "bin") {
                    programs.insert(target.name, program);
                }
                continue;
            }
            let folder = manifest
                .parent()
                .context("a manifest lies in a folder")?
                .to_path_buf();
            let package = folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            suites.push(Suite {
                package,
                integration: target.kind.iter().any(|kind| kind == "test"),
                target: target.name,
                program,
                folder,
            });
        }
    }
    Ok(Compiled { suites, programs })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn test_programs_are_found_in_the_messages() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/onnx-gpu/Cargo.toml","target":{"kind":["test"],"name":"conformance"},"profile":{"test":true},"executable":"/t/conformance-1"}
{"reason":"compiler-artifact","manifest_path":"/w/server/Cargo.toml","target":{"kind":["bin"],"name":"demo-hub"},"profile":{"test":false},"executable":"/t/demo-hub"}
{"reason":"compiler-artifact","manifest_path":"/w/server/Cargo.toml","target":{"kind":["bin"],"name":"demo-hub"},"profile":{"test":true},"executable":"/t/demo_hub-1"}
{"reason":"build-finished","success":true}"#;
        let compiled = compiled(messages).unwrap();
        let suites = &compiled.suites;
        assert_eq!(suites.len(), 2);
        assert_eq!(
            (suites[0].part(), suites[0].package.as_str()),
            (Part::Gpu, "onnx-gpu")
        );
        assert_eq!(suites[1].part(), Part::Server);
        let named = |target: &str, integration| Suite {
            package: "diffusion".into(),
            target: target.into(),
            integration,
            program: PathBuf::new(),
            folder: PathBuf::new(),
        };
        assert_eq!(named("families", true).part(), Part::Gpu);
        assert_eq!(named("families", false).part(), Part::Unit);
        assert_eq!(suites[1].folder, PathBuf::from("/w/server"));
        let server = compiled.program("demo-hub").unwrap();
        assert_eq!(server, Path::new("/t/demo-hub"));
        assert!(compiled.program("onnx-gpu").is_err());
    }
}
