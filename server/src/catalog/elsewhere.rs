//! Files of packages that can be had elsewhere, and those that can be had nowhere else.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use diffusion::Manifest;
use protocol::Addresses;
use url::Url;

use super::read_capped;
use crate::config::WeightsFirst;

/// Largest list that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Where files of a package lie beside this server, and which of them are not on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    addresses: Addresses,
    absent: BTreeSet<String>,
    origins: BTreeSet<String>,
}

impl Elsewhere {
    /// Of the package in `dir`; nothing where it has no `addresses.json`.
    ///
    /// # Errors
    /// When that file cannot be read, or has addresses that are none.
    pub fn read(dir: &Path, manifest: &Manifest) -> anyhow::Result<Self> {
        let path = dir.join(Addresses::FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let addresses: Addresses = serde_json::from_slice(&read_capped(&path, MAX_BYTES)?)
            .with_context(|| format!("{} is not readable", path.display()))?;
        let mut origins = BTreeSet::new();
        for (file, all) in &addresses.files {
            for address in all {
                origins.insert(
                    origin(address).with_context(|| {
                        format!("{} has {address:?} for {file}", path.display())
                    })?,
                );
            }
        }
        let listed = manifest.files().filter(|file| {
            let known = addresses.files.get(&file.name);
            known.is_some_and(|all| !all.is_empty()) && !dir.join(&file.name).exists()
        });
        Ok(Self {
            absent: listed.map(|file| file.name.clone()).collect(),
            addresses,
            origins,
        })
    }

    /// Whether a file is not on this server, but elsewhere.
    pub fn is_absent(&self, file: &str) -> bool {
        self.absent.contains(file)
    }

    /// Whether every file is on this server, so that it can make pictures itself.
    pub fn is_whole(&self) -> bool {
        self.absent.is_empty()
    }

    /// The hosts that the addresses name.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.origins.iter().map(String::as_str)
    }

    /// The addresses as browsers try them.
    pub fn in_order(&self, first: WeightsFirst) -> Addresses {
        let files = self.addresses.files.iter().map(|(file, elsewhere)| {
            let mut all = elsewhere.clone();
            if !self.is_absent(file) {
                let at = match first {
                    WeightsFirst::Hub => all.len(),
                    WeightsFirst::Host => 0,
                };
                all.insert(at, file.clone());
            }
            (file.clone(), all)
        });
        Addresses {
            files: files.collect(),
        }
    }
}

/// The origin of an address of the web.
fn origin(address: &str) -> anyhow::Result<String> {
    let url = Url::parse(address)?;
    ensure!(
        matches!(url.scheme(), "https" | "http"),
        "it is no address of the web"
    );
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "it holds a password"
    );
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    const HUB: &str = "https://hub.example/maker/model/resolve/1/decoder.onnx";

    fn read(addresses: &str, here: &[&str]) -> anyhow::Result<Elsewhere> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join(Addresses::FILE), addresses)?;
        for file in here {
            fs::write(dir.path().join(file), "x")?;
        }
        let glyph = include_bytes!("../../../models/glyph/manifest.json");
        Elsewhere::read(dir.path(), &Manifest::parse(glyph)?)
    }

    #[test]
    fn the_operators_choice_comes_first_and_what_is_not_here_is_not_offered() {
        let json = format!(r#"{{"files": {{"decoder.onnx": ["{HUB}"]}}}}"#);
        let of =
            |elsewhere: &Elsewhere, first| elsewhere.in_order(first).files["decoder.onnx"].clone();
        let here = read(&json, &["decoder.onnx"]).unwrap();
        assert!(here.is_whole());
        assert_eq!(of(&here, WeightsFirst::Hub), [HUB, "decoder.onnx"]);
        assert_eq!(of(&here, WeightsFirst::Host), ["decoder.onnx", HUB]);
        let away = read(&json, &[]).unwrap();
        assert!(away.is_absent("decoder.onnx") && !away.is_absent("denoiser.onnx"));
        assert_eq!(of(&away, WeightsFirst::Host), [HUB]);
        assert_eq!(away.origins().collect::<Vec<_>>(), ["https://hub.example"]);
        assert!(read(r#"{"files": {}}"#, &[]).unwrap().is_whole());
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for bad in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "decoder.onnx",
            "https://token@hub.example/x",
            "https://:secret@hub.example/x",
            "https://",
        ] {
            let json = format!(r#"{{"files": {{"decoder.onnx": ["{bad}"]}}}}"#);
            assert!(read(&json, &[]).is_err(), "{bad}");
        }
        assert!(read(r#"{"files": []}"#, &[]).is_err());
    }
}
