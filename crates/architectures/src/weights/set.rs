//! All weights of a component.

use std::collections::BTreeMap;

use super::{Element, Header, Index, Stored};
use crate::error::{Error, Result};

/// The tensors of a component's files by name.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    files: Vec<String>,
    tensors: BTreeMap<String, (usize, Stored)>,
    imagined: Option<Element>,
}

/// Name of the file of weights that are imagined.
const IMAGINED: &str = "imagined.safetensors";

impl Weights {
    /// Of one file.
    pub fn one(file: &str, header: &Header) -> Self {
        let tensors = header.tensors().iter();
        Self {
            files: vec![file.to_owned()],
            tensors: tensors
                .map(|(name, stored)| (name.clone(), (0, stored.clone())))
                .collect(),
            imagined: None,
        }
    }

    /// Some tensors of one file, under names of their own.
    pub(crate) fn of(file: &str, tensors: BTreeMap<String, Stored>) -> Self {
        let tensors = tensors.into_iter();
        Self {
            files: vec![file.to_owned()],
            tensors: tensors.map(|(name, stored)| (name, (0, stored))).collect(),
            imagined: None,
        }
    }

    /// Of no file: all that a configuration asks for, in the shapes that it makes them, one behind the other. What a network takes is
    /// known from them before any of its weights is here.
    pub fn imagined(element: Element) -> Self {
        Self {
            files: vec![IMAGINED.to_owned()],
            imagined: Some(element),
            ..Self::default()
        }
    }

    /// Of the files of an index, by their names.
    ///
    /// # Errors
    /// [`Error::Index`] where the index names a file that is not there, or a tensor that is not in its file; a tensor that the index does
    /// not name is one as well.
    pub fn sharded(index: &Index, headers: &BTreeMap<String, Header>) -> Result<Self> {
        let mut set = Self::default();
        for name in index.files() {
            let header = headers
                .get(name)
                .ok_or_else(|| Error::Index(format!("{name} is missing")))?;
            let file = set.files.len();
            set.files.push(name.to_owned());
            for (tensor, stored) in header.tensors() {
                if index.places().get(tensor).map(String::as_str) != Some(name) {
                    return Err(Error::Index(format!(
                        "it does not say that {tensor} is in {name}"
                    )));
                }
                set.tensors.insert(tensor.clone(), (file, stored.clone()));
            }
        }
        match index
            .places()
            .iter()
            .find(|(tensor, _)| !set.tensors.contains_key(*tensor))
        {
            Some((tensor, file)) => Err(Error::Index(format!("{tensor} is not in {file}"))),
            None => Ok(set),
        }
    }

    /// Names of the files.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Names of the tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// How the weights are stored, where they are imagined.
    pub(crate) fn element(&self) -> Option<Element> {
        self.imagined
    }

    /// The tensor of a name, and which of the files it is in.
    pub fn get(&self, name: &str) -> Option<(usize, &Stored)> {
        self.tensors.get(name).map(|(file, stored)| (*file, stored))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header(names: &[&str]) -> Header {
        let entries = names.iter().enumerate().map(|(i, name)| {
            format!(
                r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}}"#,
                4 * i,
                4 * i + 4
            )
        });
        let json = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
        let bytes = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
        Header::parse("x", &bytes).unwrap()
    }

    #[test]
    fn an_index_and_its_files_say_the_same() {
        let index =
            Index::parse(br#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#).unwrap();
        let set = |files: &[(&str, &[&str])]| {
            let headers = files
                .iter()
                .map(|(file, names)| ((*file).to_owned(), header(names)));
            Weights::sharded(&index, &headers.collect()).map_err(|error| error.to_string())
        };
        let good = set(&[("1.safetensors", &["a"]), ("2.safetensors", &["b"])]).unwrap();
        assert_eq!(good.get("b").unwrap().0, 1);
        let missing = set(&[("1.safetensors", &["a"])]).unwrap_err();
        assert!(missing.contains("2.safetensors is missing"), "{missing}");
        let lacking = set(&[("1.safetensors", &["a"]), ("2.safetensors", &[])]).unwrap_err();
        assert!(lacking.contains("b is not in 2.safetensors"), "{lacking}");
        let swapped = set(&[("1.safetensors", &["b"]), ("2.safetensors", &["a"])]).unwrap_err();
        assert!(swapped.contains("1.safetensors"), "{swapped}");
        let more = set(&[("1.safetensors", &["a", "c"]), ("2.safetensors", &["b"])]).unwrap_err();
        assert!(more.contains('c'), "{more}");
    }
}
