//! Manifests of packages of any kind.

use crate::error::{Error, Result};
use crate::manifest::{FileEntry, Manifest, stated_kind};
use crate::upscale::UpscalerManifest;
use crate::upscale::manifest::KIND;

/// A parsed and checked `manifest.json`.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyManifest {
    /// A model that makes pictures from prompts.
    Model(Box<Manifest>),
    /// Networks that make pictures larger.
    Upscaler(Box<UpscalerManifest>),
}

impl AnyManifest {
    /// Reads and checks a manifest, of the kind that it states.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`] naming the first thing that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self> {
        match stated_kind(json)?.as_deref() {
            None => Ok(Self::Model(Box::new(Manifest::parse(json)?))),
            Some(KIND) => Ok(Self::Upscaler(Box::new(UpscalerManifest::parse(json)?))),
            Some(other) => Err(Error::package(format!(
                "the package is of the kind {other:?}, which is not known"
            ))),
        }
    }

    /// `owner/name`.
    pub fn id(&self) -> &str {
        match self {
            Self::Model(manifest) => &manifest.id,
            Self::Upscaler(manifest) => &manifest.id,
        }
    }

    /// Every file of the package but the manifest.
    pub fn files(&self) -> Box<dyn Iterator<Item = &FileEntry> + '_> {
        match self {
            Self::Model(manifest) => Box::new(manifest.files()),
            Self::Upscaler(manifest) => Box::new(manifest.files.iter()),
        }
    }
}
