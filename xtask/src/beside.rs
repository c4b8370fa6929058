//! A part of this program that runs beside the rest.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// A subcommand of this program at work; what it prints is shown when it is waited for. It is stopped when it is dropped.
pub struct Beside {
    name: String,
    process: Child,
    log: PathBuf,
    started: Instant,
}

impl Beside {
    /// Starts `cargo xtask ARGUMENTS`.
    ///
    /// # Errors
    /// When the process or the file of its output cannot be made.
    pub fn start(workspace: &Workspace, arguments: &[&str]) -> Result<Self> {
        let name = arguments.join(" ");
        let folder = workspace.target.join("beside");
        fs::create_dir_all(&folder)?;
        let log = folder.join(format!("{}.log", arguments.join("-")));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let program = env::current_exe().context("this program's own file")?;
        println!(
            "\n==> beside what follows: cargo xtask {name} (its output in {})",
            log.display()
        );
        let process = Command::new(program)
            .args(arguments)
            .current_dir(&workspace.root)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting cargo xtask {name}"))?;
        Ok(Self {
            name,
            process,
            log,
            started: Instant::now(),
        })
    }

    /// Waits for its end and shows what it printed.
    ///
    /// # Errors
    /// When it failed.
    pub fn finish(mut self) -> Result<()> {
        let name = self.name.clone();
        let status = self.process.wait()?;
        println!("\n==> what cargo xtask {name} printed");
        print!("{}", String::from_utf8_lossy(&fs::read(&self.log)?));
        println!(
            "    waited for {:.1} s after its start: cargo xtask {name}",
            self.started.elapsed().as_secs_f64()
        );
        if !status.success() {
            bail!("`cargo xtask {name}` failed: {status}");
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
