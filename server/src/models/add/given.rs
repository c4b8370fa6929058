//! What `models add` was given: a folder, a checkpoint in one file, or the name of either on the hub.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::network::is_pickle;
use crate::catalog::hub::is_name;

/// Ending of the files that are read.
const SAFETENSORS: &str = ".safetensors";

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// In this folder.
    Folder(PathBuf),
    /// In this file, a checkpoint.
    File(PathBuf),
    /// On the hub: the folder of diffusers, or a checkpoint by its path there.
    Hub { id: String, file: Option<String> },
}

impl Given {
    /// Reads a path, `owner/name` or `owner/name:file.safetensors`.
    ///
    /// # Errors
    /// For what is none of them, and for files that are not read.
    pub fn read(source: &str) -> anyhow::Result<Self> {
        let path = Path::new(source);
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if path.is_file() {
            is_read(source)?;
            // Folders with what belongs to it are made elsewhere.
            let path = std::path::absolute(path).with_context(|| format!("finding {source}"))?;
            return Ok(Self::File(path));
        }
        let (id, file) = match source.split_once(':') {
            Some((id, file)) => (id, Some(file)),
            None => (source, None),
        };
        let named = id
            .split_once('/')
            .is_some_and(|(owner, name)| is_name(owner) && is_name(name));
        match file {
            None if source.ends_with(SAFETENSORS) || is_pickle(source) => {
                bail!("there is no file {source:?}")
            }
            _ if !named => bail!("{source:?} is neither a folder nor a file nor the id of a model"),
            None => {}
            Some(file) => is_read(file)?,
        }
        Ok(Self::Hub {
            id: id.to_owned(),
            file: file.map(str::to_owned),
        })
    }

    /// The id on the hub.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Hub { id, .. } => Some(id),
            Self::Folder(_) | Self::File(_) => None,
        }
    }
}

fn is_read(file: &str) -> anyhow::Result<()> {
    ensure!(
        !is_pickle(file),
        "{file} is a pickle: reading one runs whatever code is in it, so none is read; safetensors are"
    );
    ensure!(
        file.ends_with(SAFETENSORS),
        "{file} is no {SAFETENSORS} file; no others are read"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn models_are_in_folders_files_and_on_the_hub() {
        let hub = |id: &str, file: Option<&str>| Given::Hub {
            id: id.to_owned(),
            file: file.map(str::to_owned),
        };
        assert_eq!(
            Given::read("maker/model").unwrap(),
            hub("maker/model", None)
        );
        assert_eq!(
            Given::read("maker/model:v1/a.safetensors").unwrap(),
            hub("maker/model", Some("v1/a.safetensors"))
        );
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().to_str().unwrap();
        assert_eq!(
            Given::read(here).unwrap(),
            Given::Folder(dir.path().to_owned())
        );
        let file = dir.path().join("a.safetensors");
        fs::write(&file, "x").unwrap();
        assert_eq!(
            Given::read(file.to_str().unwrap()).unwrap(),
            Given::File(file)
        );
    }

    #[test]
    fn what_is_not_read_is_said_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let pickle = dir.path().join("a.ckpt");
        fs::write(&pickle, "x").unwrap();
        let error = |source: &str| Given::read(source).unwrap_err().to_string();
        for source in [
            pickle.to_str().unwrap(),
            "maker/model:model.ckpt",
            "maker/model:a.bin",
        ] {
            assert!(error(source).contains("runs whatever code"), "{source}");
        }
        assert!(error("maker/model:a.gguf").contains("no .safetensors file"));
        assert!(error("there/is-none.safetensors").contains("there is no file"));
        for source in [
            "a b/model",
            "model",
            "maker/model/more",
            "a b/c:d.safetensors",
        ] {
            assert!(error(source).contains("nor the id of a model"), "{source}");
        }
    }
}
