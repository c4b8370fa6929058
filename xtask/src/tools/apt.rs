//! Packages of the distribution.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::{State, Tool};
use crate::process::{capture, find_program, run};

/// Debian packages that bring one thing, and how to see whether it is there.
pub struct AptTool {
    name: &'static str,
    purpose: &'static str,
    packages: &'static [&'static str],
    seconds: u32,
    probe: fn() -> State,
}

/// A C compiler and linker.
pub fn compiler() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "cc",
        purpose: "server",
        packages: &["build-essential"],
        seconds: 30,
        probe: || program("cc"),
    })]
}

/// A C++ compiler.
pub fn cpp() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "c++",
        purpose: "fuzzing",
        packages: &["build-essential"],
        seconds: 30,
        probe: || program("c++"),
    })]
}

/// Node.js and npm.
pub fn node() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "node",
        purpose: "client, e2e",
        packages: &["nodejs", "npm"],
        seconds: 60,
        probe: || match program("npm") {
            State::Ready(_) => program("node"),
            missing => missing,
        },
    })]
}

/// A NATS server; Debian keeps it where only administrators' PATH looks.
pub fn nats() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "nats-server",
        purpose: "server tests",
        packages: &["nats-server"],
        seconds: 10,
        probe: || {
            let debian = Path::new("/usr/sbin/nats-server");
            if debian.exists() {
                return State::Ready(debian.display().to_string());
            }
            program("nats-server")
        },
    })]
}

/// An HTTP load generator.
pub fn wrk() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "wrk",
        purpose: "bench jobs",
        packages: &["wrk"],
        seconds: 10,
        // It prints its version as an error.
        probe: || match find_program("wrk") {
            Some(path) => State::Ready(path.display().to_string()),
            None => State::Missing("not on PATH".to_owned()),
        },
    })]
}

/// The reader of picture metadata.
pub fn exiftool() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "exiftool",
        purpose: "server tests",
        packages: &["libimage-exiftool-perl"],
        seconds: 10,
        probe: || match capture(Command::new("exiftool").arg("-ver")) {
            Ok(version) => State::Ready(version),
            Err(_) => State::Missing("exiftool is not on PATH".to_owned()),
        },
    })]
}

/// Firefox.
pub fn firefox() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "firefox",
        purpose: "e2e",
        packages: &["firefox-esr"],
        seconds: 30,
        // Asking it for its version takes it seconds.
        probe: || match firefox_program() {
            Some(path) => State::Ready(path.display().to_string()),
            None => State::Missing("not on PATH".to_owned()),
        },
    })]
}

/// Where Firefox is.
pub fn firefox_program() -> Option<PathBuf> {
    ["firefox-esr", "firefox"]
        .into_iter()
        .find_map(find_program)
}

/// WebKit's small browser, its driver, and a display for it; only Linux has them.
pub fn webkit() -> Vec<Box<dyn Tool>> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    vec![Box::new(AptTool {
        name: "webkit",
        purpose: "e2e",
        packages: &["webkit2gtk-driver", "xvfb", "xauth"],
        seconds: 30,
        probe: || match webkit_program() {
            None => State::Missing("WebKitGTK has no MiniBrowser here".to_owned()),
            Some(browser) => ["WebKitWebDriver", "xvfb-run", "xauth"]
                .into_iter()
                .find(|program| find_program(program).is_none())
                .map_or_else(
                    || State::Ready(browser.display().to_string()),
                    |missing| State::Missing(format!("{missing} is not on PATH")),
                ),
        },
    })]
}

/// Where WebKit's small browser is: a folder by architecture and version of its interface.
pub fn webkit_program() -> Option<PathBuf> {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        folders.sort();
        folders
    };
    folders(Path::new("/usr/lib"))
        .iter()
        .flat_map(|architecture| folders(architecture))
        .filter(|folder| {
            folder
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("webkit2gtk-"))
        })
        .map(|folder| folder.join("MiniBrowser"))
        .rfind(|program| program.is_file())
}

/// A Vulkan driver that needs no GPU; only Linux has it.
pub fn vulkan() -> Vec<Box<dyn Tool>> {
    if !cfg!(target_os = "linux") {
        return Vec::new();
    }
    vec![Box::new(AptTool {
        name: "lavapipe",
        purpose: "gpu",
        packages: &["mesa-vulkan-drivers"],
        seconds: 30,
        probe: lavapipe,
    })]
}

/// Python with virtual environments.
pub fn python() -> Vec<Box<dyn Tool>> {
    vec![Box::new(AptTool {
        name: "python3",
        purpose: "fixtures",
        packages: &["python3", "python3-venv"],
        seconds: 20,
        probe: || match capture(Command::new("python3").args([
            "-c",
            "import ensurepip, venv, sys; print(sys.version.split()[0])",
        ])) {
            Ok(version) => State::Ready(version),
            Err(_) => State::Missing("python3 with the modules venv and ensurepip".to_owned()),
        },
    })]
}

impl Tool for AptTool {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn purpose(&self) -> &'static str {
        self.purpose
    }

    fn probe(&self) -> Result<State> {
        Ok((self.probe)())
    }

    fn plan(&self) -> String {
        plan(self.packages)
    }

    fn seconds(&self) -> u32 {
        self.seconds
    }

    fn install(&self) -> Result<()> {
        install(self.packages)
    }
}

/// The `apt-get` command line that [`install`] uses, for people.
pub fn plan(packages: &[&str]) -> String {
    format!("apt-get install {}", packages.join(" "))
}

/// Installs packages as root or through `sudo -n`; without either right, the error is the command to type.
pub fn install(packages: &[&str]) -> Result<()> {
    if find_program("apt-get").is_none() {
        bail!(
            "this machine has no apt-get: install what Debian calls {} in its own way, then run this again",
            packages.join(", ")
        );
    }
    let Some(prefix) = privilege() else {
        bail!(
            "administrator rights are needed; run this yourself, then try again:\n  sudo {}",
            plan(packages)
        );
    };
    let apt = |arguments: &[&str]| {
        let mut words = prefix.iter().copied().chain(["apt-get", "-q", "-y"]);
        let mut command = Command::new(words.next().unwrap_or("apt-get"));
        command
            .args(words)
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command)
    };
    let arguments: Vec<&str> = ["install", "--no-install-recommends"]
        .iter()
        .chain(packages)
        .copied()
        .collect();
    if apt(&arguments).is_ok() {
        return Ok(());
    }
    println!("    the package lists may be old; fetching them");
    apt(&["update"])?;
    apt(&arguments)
}

/// Words before a command that needs root, or `None` where root cannot be had without a question.
pub fn privilege() -> Option<&'static [&'static str]> {
    let id = capture(Command::new("id").arg("-u"));
    if matches!(id.as_deref(), Ok("0")) {
        return Some(&[]);
    }
    capture(Command::new("sudo").args(["-n", "true"]))
        .ok()
        .map(|_| &["sudo", "-n"][..])
}

/// Which of these packages dpkg does not list as installed.
pub fn absent(packages: &[&'static str]) -> Vec<&'static str> {
    let status = |package: &str| {
        capture(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]))
    };
    packages
        .iter()
        .copied()
        .filter(|package| !matches!(status(package).as_deref(), Ok("installed")))
        .collect()
}

fn program(name: &str) -> State {
    match find_program(name).map(|path| capture(Command::new(path).arg("--version"))) {
        Some(Ok(version)) => State::Ready(version.lines().next().unwrap_or_default().to_owned()),
        Some(Err(error)) => State::Missing(format!("{name} does not run: {error:#}")),
        None => State::Missing(format!("{name} is not on PATH")),
    }
}

fn lavapipe() -> State {
    let folders =
        env::var_os("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let drivers: BTreeSet<String> = env::split_paths(&folders)
        .chain([Path::new("/etc").to_path_buf()])
        .filter_map(|folder| fs::read_dir(folder.join("vulkan/icd.d")).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    match drivers.iter().find(|name| name.starts_with("lvp_icd")) {
        Some(name) => State::Ready(name.clone()),
        None => State::Missing("no lavapipe among the Vulkan drivers".to_owned()),
    }
}
