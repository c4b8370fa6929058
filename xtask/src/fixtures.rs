//! Test graphs with reference numbers from PyTorch, made once and cached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process::{run, step};
use crate::stamp::hash_tree;
use crate::tools::python::Environment;
use crate::tools::{self, apt};
use crate::workspace::Workspace;

const SCRIPT: &str = "bench/fixtures/export_sd_fixture.py";
const ARCHITECTURES_SCRIPT: &str = "bench/fixtures/export_architectures.py";
const REQUIREMENTS: &str = "bench/fixtures/requirements.txt";
const FAMILIES_SCRIPT: &str = "bench/fixtures/export_families.py";
/// Modules of [`FAMILIES_SCRIPT`]; by name, for Python leaves files of its own beside them.
const FAMILIES_MODULES: [&str; 16] = [
    "__init__",
    "authors",
    "cases",
    "checkpoints",
    "draws",
    "gemma",
    "language",
    "layouts",
    "lora",
    "networks",
    "onnx_folder",
    "pipelines",
    "replay",
    "smaller",
    "t5",
    "vocabulary",
];

/// The graphs of a set.
pub const GRAPHS: [Graph; 3] = [
    Graph {
        name: "text_encoder",
        inputs: &["input_ids"],
        output: "last_hidden_state",
    },
    Graph {
        name: "unet",
        inputs: &["sample", "timestep", "encoder_hidden_states"],
        output: "out_sample",
    },
    Graph {
        name: "vae_decoder",
        inputs: &["latent_sample"],
        output: "sample",
    },
];

/// The sets: folder and arguments of the exporter.
pub const SETS: [(&str, &[&str]); 2] = [
    ("default", &[]),
    (
        "small",
        &["--channels", "32,64", "--latent", "16", "--seed", "7"],
    ),
];

/// Ways of export that `cargo xtask test gpu` tries on every architecture; they take seconds each.
const WAYS: &str = "legacy-13,legacy-17,dynamo-23";

/// Folder of the exported architectures within that of [`ensure`].
pub const ARCHITECTURES: &str = "architectures";

/// One small model of an architecture: `NAME/model.onnx`, `NAME/in/INPUT.npy`, `NAME/out/OUTPUT.npy`.
#[derive(Deserialize)]
pub struct Case {
    /// Architecture, exporter and operator set.
    pub name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Case {
    /// The cases that `export_architectures.py` wrote to a folder.
    pub fn read(folder: &Path) -> Result<Vec<Self>> {
        let path = folder.join("cases.json");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
    }

    /// The arguments of `onnx-gpu compare` for the model, its inputs and its outputs.
    pub fn arguments(&self, folder: &Path) -> Vec<String> {
        let folder = folder.join(&self.name);
        let mut arguments = vec![folder.join("model.onnx").display().to_string()];
        for (option, kind, names) in [
            ("--input", "in", &self.inputs),
            ("--expect", "out", &self.outputs),
        ] {
            for name in names {
                let file = folder.join(kind).join(format!("{name}.npy"));
                arguments.push(option.to_owned());
                arguments.push(format!("{name}={}", file.display()));
            }
        }
        arguments
    }
}

/// One exported graph: `NAME.onnx`, `NAME_in{i}.npy`, `NAME_out.npy`.
pub struct Graph {
    /// File name without its ending.
    pub name: &'static str,
    /// Names of the inputs, in the order of their files.
    pub inputs: &'static [&'static str],
    /// Name of the output.
    pub output: &'static str,
}

impl Graph {
    /// The argument `NAME=FILE.npy` of every input.
    pub fn input_arguments(&self, folder: &Path) -> Vec<String> {
        let file = |(i, name): (usize, &&str)| {
            format!(
                "{name}={}",
                folder.join(format!("{}_in{i}.npy", self.name)).display()
            )
        };
        self.inputs.iter().enumerate().map(file).collect()
    }

    /// The argument `NAME=FILE.npy` of the output.
    pub fn output_argument(&self, folder: &Path) -> String {
        format!(
            "{}={}",
            self.output,
            folder.join(format!("{}_out.npy", self.name)).display()
        )
    }
}

/// The folder with a folder for each of [`SETS`]; exports them if that was not done yet.
pub fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let sources = [SCRIPT, ARCHITECTURES_SCRIPT, REQUIREMENTS];
    made(workspace, "", &sources, |python, unfinished| {
        for (name, arguments) in SETS {
            step(&format!("fixtures: export the set `{name}`"), || {
                run(Command::new(python)
                    .arg(workspace.root.join(SCRIPT))
                    .arg(unfinished.join(name))
                    .args(arguments))
            })?;
        }
        step("fixtures: export the architectures", || {
            run(Command::new(python)
                .arg(workspace.root.join(ARCHITECTURES_SCRIPT))
                .arg(unfinished.join(ARCHITECTURES))
                .args(["--ways", WAYS])
                .env("HF_HUB_OFFLINE", "1"))
        })
    })
}

/// The folder with tiny pipelines of every family and what diffusers makes with them; exports them if that was not done yet.
pub fn families(workspace: &Workspace) -> Result<PathBuf> {
    let modules = FAMILIES_MODULES.map(|name| format!("bench/fixtures/families/{name}.py"));
    let mut sources = vec![FAMILIES_SCRIPT, REQUIREMENTS];
    sources.extend(modules.iter().map(String::as_str));
    made(workspace, "families-", &sources, |python, unfinished| {
        step("fixtures: export the families", || {
            run(Command::new(python)
                .arg(workspace.root.join(FAMILIES_SCRIPT))
                .arg(unfinished)
                .env("HF_HUB_OFFLINE", "1")
                .env("OMP_NUM_THREADS", "1")
                .env("PYTHONDONTWRITEBYTECODE", "1"))
        })
    })
}

/// The folder that `make` fills with the Python environment, given the interpreter; once for every state of the sources.
fn made(
    workspace: &Workspace,
    prefix: &str,
    sources: &[&str],
    make: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let version = hash_tree(&workspace.root, sources, &[])?;
    let name = format!("{prefix}{}", &version[..16]);
    let folder = workspace.cache.join("fixtures").join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let mut needed = apt::python();
    let environment: Box<dyn tools::Tool + '_> = Box::new(Environment { workspace });
    let mut all: Vec<Box<dyn tools::Tool + '_>> = Vec::new();
    all.append(&mut needed);
    all.push(environment);
    tools::ensure(&all)?;
    let unfinished = folder.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("removing {}", unfinished.display()))?;
    }
    make(&Environment { workspace }.python(), &unfinished)?;
    fs::rename(&unfinished, &folder).context("putting the fixtures in place")?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_case_names_all_its_files() {
        let case: Case =
            serde_json::from_str(r#"{"name":"a","inputs":["x"],"outputs":["y"]}"#).unwrap();
        assert_eq!(
            case.arguments(Path::new("s")),
            [
                "s/a/model.onnx",
                "--input",
                "x=s/a/in/x.npy",
                "--expect",
                "y=s/a/out/y.npy"
            ]
        );
    }

    #[test]
    fn a_change_to_any_module_makes_the_families_anew() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/fixtures/families");
        let mut found: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "py"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, FAMILIES_MODULES);
    }

    #[test]
    fn arguments_pair_names_with_files() {
        let unet = &GRAPHS[1];
        let inputs = unet.input_arguments(Path::new("set"));
        assert_eq!(inputs.len(), 3);
        assert_eq!(
            inputs.last().map(String::as_str),
            Some("encoder_hidden_states=set/unet_in2.npy")
        );
        assert_eq!(
            unet.output_argument(Path::new("set")),
            "out_sample=set/unet_out.npy"
        );
    }
}
