//! Which parts have their weights in fewer bits than their author's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use architectures::{Kind, ReadAt};

use super::layout::{Found, Layout};
use super::pipeline::Pipeline;
use crate::config::WeightsOf;

/// Folder of the autoencoder: it decides every pixel and is small, so that it keeps 16 bits unless it is named.
const AUTOENCODER: &str = "vae";

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choices {
    /// Of what is not named.
    others: Option<Kind>,
    named: BTreeMap<String, Option<Kind>>,
}

impl Choices {
    /// Of the options.
    ///
    /// # Errors
    /// When they say two things of one component.
    pub fn of(options: &[WeightsOf]) -> anyhow::Result<Self> {
        let mut choices = Self::default();
        let mut others = None;
        for WeightsOf { component, kind } in options {
            let before = match component {
                Some(component) => choices.named.insert(component.clone(), *kind),
                None => others.replace(*kind),
            };
            ensure!(
                before.is_none_or(|before| before == *kind),
                "--weights says two things of {}",
                component.as_deref().unwrap_or("all components")
            );
        }
        choices.others = others.flatten();
        Ok(choices)
    }

    /// How the weights in a folder are kept; none: as their author has them.
    pub fn kind(&self, folder: &str) -> Option<Kind> {
        match self.named.get(folder) {
            Some(named) => *named,
            None if folder == AUTOENCODER => self.others.map(|_| Kind::F16),
            None => self.others,
        }
    }

    /// Whether everything is as its author has it.
    pub fn are_none(&self) -> bool {
        self.others.is_none() && self.named.values().all(Option::is_none)
    }

    /// Refuses components that the pipeline does not have as weights.
    pub fn fit(&self, layout: &Layout, pipeline: Pipeline) -> anyhow::Result<()> {
        let (mut networks, mut graphs) = (Vec::new(), Vec::new());
        for part in pipeline.parts() {
            match layout.part(part)? {
                Some(Found::Network(network)) => networks.push(network.folder),
                Some(Found::Graph(path)) => graphs.push(path),
                None => {}
            }
        }
        networks.dedup();
        if !self.are_none() && networks.is_empty() {
            bail!(
                "--weights is for authors' safetensors; {} is a graph, whose weights stay as they are",
                graphs.first().map_or("what is here", String::as_str)
            );
        }
        match self.named.keys().find(|name| !networks.contains(&&***name)) {
            Some(name) => bail!(
                "--weights names {name:?}; the weights that can be made smaller are those of {}",
                networks.join(", ")
            ),
            None => Ok(()),
        }
    }
}

/// Files of a folder, each opened once.
pub(super) struct Opened {
    folder: PathBuf,
    files: BTreeMap<String, File>,
}

impl Opened {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
        }
    }
}

impl ReadAt for Opened {
    fn read_at(&mut self, file: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        if !self.files.contains_key(file) {
            let opened = File::open(self.folder.join(file))?;
            self.files.insert(file.to_owned(), opened);
        }
        let mut opened = self.files.get(file).ok_or(io::ErrorKind::NotFound)?;
        opened.seek(SeekFrom::Start(offset))?;
        opened.read_exact(into)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn choices(options: &[(Option<&str>, Option<Kind>)]) -> anyhow::Result<Choices> {
        let options = options.iter().map(|(component, kind)| WeightsOf {
            component: component.map(str::to_owned),
            kind: *kind,
        });
        Choices::of(&options.collect::<Vec<_>>())
    }

    #[test]
    fn autoencoders_have_sixteen_bits_unless_they_are_named() {
        let (four, eight) = (Some(Kind::Int4), Some(Kind::Int8));
        let all = choices(&[(None, eight), (Some("text_encoder"), four)]).unwrap();
        let kinds = ["unet", "text_encoder", "vae"].map(|folder| all.kind(folder));
        assert_eq!(kinds, [eight, four, Some(Kind::F16)]);
        let named = choices(&[(None, four), (Some("vae"), eight), (Some("unet"), None)]).unwrap();
        let kinds = ["unet", "text_encoder", "vae"].map(|folder| named.kind(folder));
        assert_eq!(kinds, [None, four, eight]);
        let none = choices(&[(Some("vae"), None), (None, None)]).unwrap();
        assert!(none.are_none() && none.kind("vae").is_none());
    }

    #[test]
    fn one_component_has_one_kind() {
        let twice = [(Some("unet"), Some(Kind::Int4)), (Some("unet"), None)];
        let error = choices(&twice).unwrap_err().to_string();
        assert!(error.contains("unet"), "{error}");
        assert!(choices(&[(None, Some(Kind::Int4)), (None, Some(Kind::Int8))]).is_err());
        assert!(choices(&[(None, Some(Kind::Int4)), (None, Some(Kind::Int4))]).is_ok());
    }
}
