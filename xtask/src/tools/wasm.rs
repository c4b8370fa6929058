//! A compiler for `wasm32-unknown-unknown`.
//!
//! Usually `rustup target add`. Where its server cannot be reached but Debian's can, Debian's own Rust is
//! taken and the standard library is compiled for the target from Debian's sources.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{State, Tool, apt};
use crate::process::{capture, find_program, run, shell_line};
use crate::workspace::Workspace;

/// The target of the client.
pub const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
/// Name under which rustup knows Debian's Rust.
const TOOLCHAIN: &str = "debian";
/// `rustup` or `debian`: takes one route without trying the other.
const ROUTE_VARIABLE: &str = "DEMO_HUB_WASM_ROUTE";

/// Where the compiler for the client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The tool chain that everything else is compiled with.
    Default,
    /// Debian's.
    Debian,
}

impl Route {
    /// The route that works on this machine.
    pub fn find(workspace: &Workspace) -> Option<Route> {
        let forced = env::var(ROUTE_VARIABLE).ok();
        [(Route::Default, "rustup"), (Route::Debian, TOOLCHAIN)]
            .into_iter()
            .filter(|(_, name)| forced.as_deref().is_none_or(|forced| forced == *name))
            .map(|(route, _)| route)
            .find(|route| route.check(workspace).is_ok())
    }

    /// Makes a cargo, or a program that runs cargo, take this route.
    pub fn apply(self, command: &mut Command) {
        if self == Route::Debian {
            command
                .env("RUSTUP_TOOLCHAIN", TOOLCHAIN)
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
        }
    }

    /// Version of the compiler.
    pub fn version(self, workspace: &Workspace) -> Result<String> {
        let mut command = Command::new("rustc");
        self.apply(command.arg("--version").current_dir(&workspace.root));
        capture(&mut command)
    }

    /// Compiles and links a module that needs the standard library.
    fn check(self, workspace: &Workspace) -> Result<()> {
        let mut command = Command::new("rustc");
        self.apply(command.current_dir(&workspace.root));
        if self == Route::Debian {
            let linked = capture(Command::new("rustup").args(["toolchain", "list"]))?;
            if !linked
                .lines()
                .any(|line| line.split(' ').next() == Some(TOOLCHAIN))
            {
                bail!("rustup does not know the tool chain `{TOOLCHAIN}`");
            }
            command.arg(format!("-Clinker={DEBIAN_LINKER}"));
        }
        compile_probe(workspace, &mut command)
    }
}

/// Makes a module with a given compiler; an incomplete standard library or a missing linker fails here.
fn compile_probe(workspace: &Workspace, rustc: &mut Command) -> Result<()> {
    let folder = workspace.cache.join("probe");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let source = folder.join("probe.rs");
    fs::write(
        &source,
        "#[unsafe(no_mangle)] pub extern \"C\" fn probe() -> usize { format!(\"{:?}\", std::env::args()).len() }\n",
    )?;
    rustc
        .args(["--edition=2024", "--crate-type=cdylib", "-Cpanic=abort"])
        .args(["--target", TARGET, "-o"])
        .arg(folder.join("probe.wasm"))
        .arg(source);
    capture(rustc).map(drop)
}

/// The compiler of the client.
pub struct WasmTarget<'a> {
    /// The check-out.
    pub workspace: &'a Workspace,
}

impl Tool for WasmTarget<'_> {
    fn name(&self) -> String {
        "rust for wasm".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "client"
    }

    fn probe(&self) -> Result<State> {
        Ok(match Route::find(self.workspace) {
            Some(route) => {
                let place = match route {
                    Route::Default => "default tool chain",
                    Route::Debian => "Debian's tool chain",
                };
                State::Ready(format!("{} ({place})", route.version(self.workspace)?))
            }
            None => State::Missing(format!("no compiler makes {TARGET} modules")),
        })
    }

    fn plan(&self) -> String {
        format!(
            "rustup target add {TARGET}; if that fails, Debian's {}",
            DEBIAN_PACKAGES.join(" ")
        )
    }

    fn seconds(&self) -> u32 {
        60
    }

    fn install(&self) -> Result<()> {
        if find_program("rustup").is_none() {
            bail!("rustup is not on PATH: it is needed to choose the compiler for {TARGET}");
        }
        let forced = env::var(ROUTE_VARIABLE).ok();
        if forced.as_deref() != Some(TOOLCHAIN) {
            let mut command = Command::new("rustup");
            let added = run(command
                .args(["target", "add", TARGET])
                .current_dir(&self.workspace.root));
            match added.and_then(|()| Route::Default.check(self.workspace)) {
                Ok(_) => return Ok(()),
                Err(error) if forced.is_some() => return Err(error),
                Err(error) => println!("    {error:#}\n    taking Debian's tool chain instead"),
            }
        }
        self.install_debian()
    }
}

impl WasmTarget<'_> {
    fn install_debian(&self) -> Result<()> {
        let absent = apt::absent(&DEBIAN_PACKAGES);
        if !absent.is_empty() {
            apt::install(&absent)?;
        }
        let library = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
        let mut rustc = Command::new(DEBIAN_RUSTC);
        rustc.arg(format!("-Clinker={DEBIAN_LINKER}"));
        if compile_probe(self.workspace, &mut rustc).is_err() {
            let built = self.build_std()?;
            copy_as_root(&built, &library)?;
            fs::remove_dir_all(self.workspace.cache.join("wasm-std"))
                .context("removing the build of std")?;
        }
        run(Command::new("rustup").args(["toolchain", "link", TOOLCHAIN, "/usr"]))
    }

    /// Compiles the standard library with Debian's cargo; returns its libraries.
    fn build_std(&self) -> Result<Vec<PathBuf>> {
        let folder = self.workspace.cache.join("wasm-std");
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(folder.join("src"))?;
        fs::write(
            folder.join("Cargo.toml"),
            "[package]\nname = \"wasm-std\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n",
        )?;
        fs::write(folder.join("src/lib.rs"), "#![no_std]\n")?;
        let target = folder.join("target");
        let mut command = Command::new(DEBIAN_CARGO);
        command
            .args([
                "build",
                "--release",
                "--target",
                TARGET,
                "-Zbuild-std=std,panic_abort,test",
            ])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&folder)
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR");
        run(&mut command)?;
        let libraries: Vec<PathBuf> = fs::read_dir(target.join(TARGET).join("release/deps"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "rlib")
            })
            .filter(|path| {
                !path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("libwasm_std"))
            })
            .collect();
        if libraries.is_empty() {
            bail!("`{}` left no libraries", shell_line(&command));
        }
        Ok(libraries)
    }
}

/// Replaces a folder of the system by these files.
fn copy_as_root(files: &[PathBuf], folder: &Path) -> Result<()> {
    let Some(prefix) = apt::privilege() else {
        bail!(
            "administrator rights are needed; run this yourself, then try again:\n  sudo mkdir -p {0} && sudo cp {1} {0}",
            folder.display(),
            files
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        );
    };
    let command = |program: &str| {
        let mut words = prefix.iter().copied().chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words);
        command
    };
    // Complete or not at all, also when this is interrupted.
    let new = folder.with_extension("new");
    run(command("rm").arg("-rf").arg(folder).arg(&new))?;
    run(command("mkdir").arg("-p").arg(&new))?;
    run(command("cp").args(files).arg(&new))?;
    run(command("mv").arg(&new).arg(folder))
}
