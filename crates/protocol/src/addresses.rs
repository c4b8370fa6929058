//! Where the files of a package can be had.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `addresses.json`, beside a package's manifest: further addresses of its files. The manifest says what the files are, this where they
/// lie, so a package keeps its digest wherever its weights are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Addresses of files by their names, in the order in which they are tried. One without a scheme is the file beside the manifest; a
    /// file that has no entry lies there.
    #[serde(default)]
    pub files: BTreeMap<String, Vec<String>>,
}

impl Addresses {
    /// Name of the file.
    pub const FILE: &str = "addresses.json";

    /// The addresses of a file of the package at `base`, which does not end in a slash; one at least.
    pub fn of(&self, base: &str, file: &str) -> Vec<String> {
        let own = format!("{base}/{file}");
        let listed = self.files.get(file).into_iter().flatten();
        let mut all: Vec<String> = listed
            .filter_map(|address| match address.as_str() {
                address if is_web(address) => Some(address.to_owned()),
                address if address == file => Some(own.clone()),
                // No other file takes its place.
                _ => None,
            })
            .collect();
        if all.is_empty() {
            all.push(own);
        }
        all
    }
}

/// Whether an address names a host.
pub fn is_web(address: &str) -> bool {
    address.starts_with("https://") || address.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_where_they_are_said_to_or_beside_the_manifest() {
        let entry = |name: &str, all: &[&str]| {
            let all = all.iter().map(|address| (*address).to_owned());
            (name.to_owned(), all.collect())
        };
        let hub = "https://hub.example/maker/model/resolve/1/unet/w.safetensors";
        let addresses = Addresses {
            files: BTreeMap::from([
                entry("a.safetensors", &[hub, "a.safetensors"]),
                entry(
                    "b.safetensors",
                    &["../secret", "file:///etc/passwd", "a.safetensors"],
                ),
                entry("c.safetensors", &[hub]),
                entry("d.safetensors", &[]),
            ]),
        };
        let of = |file: &str| addresses.of("/models/m", file);
        assert_eq!(of("a.safetensors"), [hub, "/models/m/a.safetensors"]);
        assert_eq!(of("b.safetensors"), ["/models/m/b.safetensors"]);
        assert_eq!(of("c.safetensors"), [hub]);
        assert_eq!(of("d.safetensors"), ["/models/m/d.safetensors"]);
        assert_eq!(of("unet.onnx"), ["/models/m/unet.onnx"]);
    }
}
