//! Test graphs with reference numbers from PyTorch, made once and cached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run, step};
use crate::stamp::hash_tree;
use crate::tools::python::Environment;
use crate::tools::{self, apt};
use crate::workspace::Workspace;

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
    let version = hash_tree(&workspace.root, &["bench/fixtures"], &[])?;
    let folder = workspace.cache.join("fixtures").join(&version[..16]);
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
    let python = Environment { workspace }.python();
    for (name, arguments) in SETS {
        step(&format!("fixtures: export the set `{name}`"), || {
            run(Command::new(&python)
                .arg(workspace.root.join("bench/fixtures/export_sd_fixture.py"))
                .arg(unfinished.join(name))
                .args(arguments))
        })?;
    }
    fs::rename(&unfinished, &folder).context("putting the fixtures in place")?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

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
