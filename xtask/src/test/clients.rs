//! Programs of others against the built server: the official OpenAI clients, a validator of OpenAPI documents, readers of
//! picture metadata, and linters of what `deploy/` holds and of what the crates depend on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::fixtures;
use crate::process::{run, step};
use crate::tools::clients::Clients;
use crate::workspace::Workspace;

/// A server that ends with this value.
struct Hub {
    process: Child,
    url: String,
}

/// Runs all of them.
pub fn run_all(workspace: &Workspace, program: &Path) -> Result<()> {
    let clients = Clients { workspace };
    step("dependencies: bans, licences, sources", || {
        run(Command::new(clients.cargo_deny())
            .args(["check", "bans", "licenses", "sources"])
            .current_dir(&workspace.root))
    })?;
    let hub = Hub::start(workspace, program)?;
    let python = |script: &str| {
        let mut command = Command::new(clients.python());
        command.arg(clients.scripts().join(script)).arg(&hub.url);
        command
    };
    step("OpenAI client for Python", || {
        run(&mut python("openai_client.py"))
    })?;
    step("OpenAI client for Node", || {
        run(Command::new("node")
            .arg(clients.scripts().join("openai_client.mjs"))
            .arg(&hub.url))
    })?;
    step("OpenAPI document", || run(&mut python("openapi.py")))?;
    step("OpenAPI document against the server", || {
        run(&mut against_document(&clients, &hub.url))
    })?;
    step("picture metadata", || {
        run(python("metadata.py")
            .arg(program)
            .current_dir(&workspace.root))
    })?;
    step("deployment files", || {
        run(Command::new(clients.python())
            .arg(workspace.root.join("deploy/check.py"))
            .arg(program))
    })
}

/// Hundreds of requests that the document allows or forbids, and chains of them along its links: no server error, and no
/// answer that the document does not know. The seed is fixed, so that a failure comes again.
fn against_document(clients: &Clients, url: &str) -> Command {
    let mut command = Command::new(clients.python().with_file_name("st"));
    command
        .arg("--config-file")
        .arg(clients.scripts().join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{url}/api/openapi.json"))
        .args(["--checks", "all", "--max-examples", "4", "--seed", "1"])
        .args(["--generation-deterministic", "--continue-on-failure"])
        .args(["--max-redirects", "0", "--request-timeout", "20"])
        .args([
            "--header",
            &format!("Cookie: demo-hub-owner={}", "A".repeat(43)),
        ])
        .args(["--warnings", "off", "--no-color"])
        // It keeps what it found beside where it runs.
        .current_dir(clients.environment());
    command
}

impl Hub {
    fn start(workspace: &Workspace, program: &Path) -> Result<Self> {
        let folder = workspace.target.join("clients");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let site = folder.join("site");
        fs::create_dir_all(&site)?;
        // The pages are not looked at, so the client need not be built.
        let assets = r#"{"client_js":"","client_wasm":"","worker_js":"","worker_wasm":"","cpu_worker_js":"","cpu_worker_wasm":"","css":""}"#;
        fs::write(site.join("assets.json"), assets)?;
        let models = models(workspace, program, &folder)?;
        let mut process = Command::new(program)
            .args(["serve", "--renderer", "cpu", "--catalog-online", "false"])
            .args(["--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0"])
            // An operator, whose addresses are tried without being one.
            .args(["--admin-token", "of nobody who asks here"])
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--site-dir")
            .arg(&site)
            .arg("--models-dir")
            .arg(models)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let output = process.stdout.take().context("the server's output")?;
        let mut hub = Hub {
            process,
            url: String::new(),
        };
        for line in BufReader::new(output).lines() {
            if let Some(url) = line?.strip_prefix("Demo Hub is at ") {
                hub.url = url.to_owned();
                return Ok(hub);
            }
        }
        anyhow::bail!("the server ended before it said where it is")
    }
}

/// A models folder with the built-in model, and a tiny one that begins with pictures.
fn models(workspace: &Workspace, program: &Path, folder: &Path) -> Result<PathBuf> {
    let models = folder.join("models");
    let (from, to) = (workspace.root.join("models/glyph"), models.join("glyph"));
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    let families = fixtures::families(workspace)?;
    step("a model that begins with pictures", || {
        run(Command::new(program)
            .args(["models", "add"])
            .arg(families.join("sd15"))
            .args(["--id", "test/sd15", "--license", "mit", "--models-dir"])
            .arg(&models))
    })?;
    Ok(models)
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
