//! The graphs that are measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::fixtures;
use crate::process::{run, step};
use crate::stamp::{hash_tree, hex_sha256};
use crate::tools::python::Environment;
use crate::workspace::Workspace;

const BUILT_IN: [&str; 3] = ["text_encoder", "denoiser", "decoder"];
/// Pictures that the denoiser works at together in the models that only `--only batch` asks for.
const BATCHES: [u32; 4] = [1, 2, 4, 8];

/// A graph with inputs and expected outputs.
pub struct Model {
    /// Name in the table.
    pub name: String,
    /// The ONNX file.
    pub file: PathBuf,
    /// Folder with `in/NAME.npy` and `out/NAME.npy`.
    data: PathBuf,
}

impl Model {
    /// The inputs' names and files.
    pub fn inputs(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut inputs = Vec::new();
        for entry in fs::read_dir(self.data.join("in"))? {
            let path = entry?.path();
            if let Some(name) = path.file_stem() {
                inputs.push((name.to_string_lossy().into_owned(), path.clone()));
            }
        }
        inputs.sort();
        Ok(inputs)
    }

    /// Folder of the outputs that ONNX Runtime computes on the CPU.
    pub fn expected(&self) -> PathBuf {
        self.data.join("out")
    }
}

/// The graphs whose name contains one of `only` (all without it), made or taken from the cache.
pub fn prepare(workspace: &Workspace, full: bool, only: &[String]) -> Result<Vec<Model>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
    let set = if full { "default" } else { "small" };
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    for component in BUILT_IN {
        let file = format!("models/glyph/{component}.onnx");
        files.push((format!("glyph {component}"), workspace.root.join(file)));
    }
    let sd: Vec<(String, &str)> = fixtures::GRAPHS
        .iter()
        .map(|graph| (format!("sd-{set} {}", graph.name), graph.name))
        .collect();
    if sd.iter().any(|(name, _)| wanted(name)) {
        let folder = fixtures::ensure(workspace)?.join(set);
        files.extend(
            sd.into_iter()
                .map(|(name, graph)| (name, folder.join(format!("{graph}.onnx")))),
        );
    }
    if only.iter().any(|part| part == "batch") {
        for pictures in BATCHES {
            let name = format!("batch of {pictures}");
            files.push((name, batched(workspace, pictures)?));
        }
    }
    if wanted("minilm") {
        files.push(("minilm".to_owned(), minilm(workspace)?));
    }
    files
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, file)| {
            let data = data(workspace, &file)?;
            Ok(Model { name, file, data })
        })
        .collect()
}

/// A sentence encoder of all-MiniLM-L6-v2's size.
fn minilm(workspace: &Workspace) -> Result<PathBuf> {
    let script = "bench/models/export_minilm.py";
    let version = hash_tree(&workspace.root, &[script], &[])?;
    let file = workspace
        .cache
        .join("bench")
        .join(format!("minilm-{}.onnx", &version[..16]));
    if !file.is_file() {
        make(workspace, script, "export MiniLM", &file, |command, new| {
            command.arg(new);
        })?;
    }
    Ok(file)
}

/// The built-in denoiser for several pictures in one run.
fn batched(workspace: &Workspace, pictures: u32) -> Result<PathBuf> {
    let scripts = ["bench/models/batched.py", "bench/models/prepare.py"];
    let source = "models/glyph/denoiser.onnx";
    let version = hash_tree(&workspace.root, &[scripts[0], scripts[1], source], &[])?;
    let file = workspace
        .cache
        .join("bench")
        .join(format!("batch-{pictures}-{}.onnx", &version[..16]));
    if !file.is_file() {
        let title = format!("a batch of {pictures}");
        make(workspace, scripts[0], &title, &file, |command, new| {
            command
                .arg(workspace.root.join(source))
                .arg(pictures.to_string())
                .arg(new);
        })?;
    }
    Ok(file)
}

/// Inputs and expected outputs of a graph.
fn data(workspace: &Workspace, file: &Path) -> Result<PathBuf> {
    let script = "bench/models/prepare.py";
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let version = hash_tree(&workspace.root, &[script], &[&hex_sha256(&bytes)])?;
    let folder = workspace.cache.join("bench").join(&version[..16]);
    if !folder.is_dir() {
        let title = format!("inputs and outputs of {}", file.display());
        make(workspace, script, &title, &folder, |command, new| {
            command.arg(file).arg(new);
        })?;
    }
    Ok(folder)
}

/// Runs a script that writes a file or folder, which appears when it is complete.
fn make(
    workspace: &Workspace,
    script: &str,
    title: &str,
    place: &Path,
    arguments: impl FnOnce(&mut Command, &Path),
) -> Result<()> {
    let mut name = place.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    step(&format!("bench: {title}"), || {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        let mut command = Command::new(Environment { workspace }.python());
        command.arg(workspace.root.join(script));
        arguments(&mut command, &new);
        run(&mut command)?;
        fs::rename(&new, place).with_context(|| format!("putting {} in place", place.display()))
    })
}
