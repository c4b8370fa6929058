//! `cargo xtask fuzz`: libFuzzer for a bounded time on what reads hostile bytes.
//!
//! The code is safe Rust, so coverage without a sanitizer is enough, and a stable compiler gives that; the flags are those of
//! `cargo fuzz run --sanitizer none`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::process::{capture, run, step};
use crate::stamp::hex_sha256;
use crate::tools;
use crate::workspace::Workspace;

const FOLDER: &str = "crates/onnx-gpu/fuzz";
const DATA: &str = "crates/onnx-gpu/tests/data";
/// Cases of the runtime's tests, which are the seeds: records are a line "CASE/FILE BYTES" and that many bytes.
const PACKS: [&str; 3] = ["node_cases.pack", "runtime_cases.pack", "quantised.pack"];
/// Larger files make mutations slow and hit little.
const LARGEST_SEED: usize = 16 << 10;

const COVERAGE: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

/// What is fuzzed: a file of `crates/onnx-gpu/fuzz/fuzz_targets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Model files.
    Parse,
    /// Model files read without their weights.
    Skeleton,
    /// Models that are optimised, shaped and planned.
    Plan,
    /// NumPy files.
    Npy,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Skeleton => "skeleton",
            Self::Plan => "plan",
            Self::Npy => "npy",
        }
    }

    fn takes(self, file: &str) -> bool {
        match self {
            Self::Npy => file.ends_with(".npy"),
            _ => file.ends_with(".onnx"),
        }
    }
}

/// How long which targets run.
#[derive(Args)]
pub struct FuzzArgs {
    /// Only these; all without it.
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// Seconds for each.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Compiles the targets and runs them one after the other; what they have learnt stays in `target/fuzz/corpus`.
pub fn fuzz(workspace: &Workspace, args: &FuzzArgs) -> Result<()> {
    tools::ensure(&tools::for_fuzzing(workspace))?;
    let targets = match args.targets.as_slice() {
        [] => Target::value_variants(),
        chosen => chosen,
    };
    let target = workspace.target.join("fuzz");
    let triple = host()?;
    step("fuzz: compile", || {
        let folder = workspace.root.join(FOLDER);
        // The versions that everything else is tested with.
        fs::copy(workspace.root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        run(Command::new("cargo")
            .args(["build", "--release", "--bins", "--target", &triple])
            .env("RUSTFLAGS", COVERAGE.join(" "))
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(folder))
    })?;
    let mut failed = Vec::new();
    for &fuzzed in targets {
        let name = fuzzed.name();
        let seeds = seeds(workspace, fuzzed, &target)?;
        let result = step(&format!("fuzz: {name}, {} s", args.seconds), || {
            let folder = |kind: &str| -> Result<PathBuf> {
                let folder = target.join(kind).join(name);
                fs::create_dir_all(&folder)?;
                Ok(folder)
            };
            let artifacts = folder("artifacts")?;
            run(
                Command::new(target.join(&triple).join("release").join(name))
                    .arg(folder("corpus")?)
                    .arg(seeds)
                    .arg(format!("-max_total_time={}", args.seconds))
                    .args(["-rss_limit_mb=4096", "-timeout=60", "-print_final_stats=1"])
                    .arg(format!("-artifact_prefix={}/", artifacts.display())),
            )
        });
        if let Err(error) = result {
            failed.push(format!("{name}: {error:#}"));
        }
    }
    if !failed.is_empty() {
        bail!(
            "inputs that fail are in {}: make each a test\n  {}",
            target.join("artifacts").display(),
            failed.join("\n  ")
        );
    }
    Ok(())
}

fn host() -> Result<String> {
    let version = capture(Command::new("rustc").arg("-vV"))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc does not say which host it is for")
}

/// A folder of the small files of the runtime's test cases.
fn seeds(workspace: &Workspace, fuzzed: Target, target: &Path) -> Result<PathBuf> {
    let folder = target.join("seeds").join(fuzzed.name());
    fs::create_dir_all(&folder)?;
    for pack in PACKS {
        let path = workspace.root.join(DATA).join(pack);
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        for (name, file) in records(&bytes).with_context(|| pack.to_owned())? {
            if fuzzed.takes(name) && file.len() <= LARGEST_SEED {
                fs::write(folder.join(hex_sha256(file)), file)?;
            }
        }
    }
    Ok(folder)
}

/// Names and contents of a pack.
fn records(mut pack: &[u8]) -> Result<Vec<(&str, &[u8])>> {
    let mut found = Vec::new();
    while let Some(end) = pack.iter().position(|&byte| byte == b'\n') {
        let (name, size) = std::str::from_utf8(&pack[..end])?
            .rsplit_once(' ')
            .context("a record has no size")?;
        let (file, rest) = pack[end + 1..]
            .split_at_checked(size.parse()?)
            .context("the last record is cut short")?;
        found.push((name, file));
        pack = rest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn packs_are_taken_apart() {
        let found = records(b"a/model.onnx 3\nx\nya/in/x.npy 0\n").unwrap();
        assert_eq!(
            found,
            [("a/model.onnx", &b"x\ny"[..]), ("a/in/x.npy", &b""[..])]
        );
        assert!(records(b"a 4\nxyz").is_err());
        assert!(records(b"nothing\n").is_err());
    }

    #[test]
    fn every_target_has_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(FOLDER);
        for target in Target::value_variants() {
            let file = format!("fuzz_targets/{}.rs", target.name());
            assert!(root.join(&file).is_file(), "{file}");
        }
    }
}
