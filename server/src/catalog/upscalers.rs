//! Packages that make pictures larger.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diffusion::{UpscalerManifest, package};
use protocol::{Problem, ProblemCode, Recipe, ResolvedRequest, UpscaleFactor};

use super::card_file::{self, CardFile};
use super::{Catalog, MANIFEST, Stamp};

/// Most pixels of a picture that is made larger and stored: whatever it shows, its file is as large as the store takes.
const MOST_PIXELS: u64 = 5 << 20;

/// A package on disk.
#[derive(Clone, Debug)]
pub struct UpscalerEntry {
    /// The manifest.
    pub manifest: UpscalerManifest,
    /// Folder of the package.
    pub dir: PathBuf,
    /// Name of that folder, which is the package's place under `/models/`.
    pub slug: String,
    /// SHA-256 (hex) of every file by name, the manifest included.
    pub digests: HashMap<String, String>,
    /// What is known beside the manifest.
    pub card: CardFile,
    pub(super) stamp: Stamp,
}

impl UpscalerEntry {
    /// Checks size and SHA-256 of each file.
    pub(super) fn read(
        dir: &Path,
        slug: String,
        manifest: UpscalerManifest,
        stamp: Stamp,
        cards: &[CardFile],
    ) -> anyhow::Result<Self> {
        let mut digests = HashMap::from([(MANIFEST.to_owned(), manifest.digest().to_owned())]);
        for file in &manifest.files {
            package::verify_in(dir, file)?;
            digests.insert(file.name.clone(), file.sha256.clone());
        }
        Ok(Self {
            card: card_file::read(dir, &manifest.id, cards)?,
            manifest,
            dir: dir.to_owned(),
            slug,
            digests,
            stamp,
        })
    }
}

impl Catalog {
    /// Packages that make pictures larger, in the order of their folders' names.
    pub fn upscalers(&self) -> impl Iterator<Item = &UpscalerEntry> {
        self.upscalers.iter().map(Arc::as_ref)
    }

    /// The package that makes pictures `factor` times as large: the first one, or that of an id.
    ///
    /// # Errors
    /// [`ProblemCode::OutOfRange`] where there is none.
    pub fn upscaler(
        &self,
        factor: UpscaleFactor,
        id: Option<&str>,
    ) -> Result<&UpscalerEntry, Problem> {
        let fits = |entry: &&UpscalerEntry| {
            id.is_none_or(|id| entry.manifest.id == id)
                && entry.manifest.enlargement(factor).is_ok()
        };
        self.upscalers().find(fits).ok_or_else(|| {
            refused(format!(
                "no package here makes pictures {factor} times as large"
            ))
        })
    }

    /// Whether the picture of a request can be made larger here.
    pub(super) fn check_upscale(&self, request: &ResolvedRequest) -> Result<(), Problem> {
        let Some(factor) = request.upscale else {
            return Ok(());
        };
        self.upscaler(factor, None)?;
        if self.get(&request.model).is_none() {
            return Err(refused(format!(
                "{} runs on an endpoint, whose pictures are not made larger",
                request.model
            )));
        }
        let larger = factor.of(request.width, request.height);
        let (width, height) = larger.unwrap_or((u32::MAX, u32::MAX));
        if u64::from(width) * u64::from(height) > MOST_PIXELS {
            return Err(refused(format!(
                "{width} x {height} pixels are more than the {MOST_PIXELS} that are stored; `demo-hub upscale` makes them"
            )));
        }
        Ok(())
    }

    /// Whether what a recipe says of the network that made its picture larger can be: one of the packages here did, and the request
    /// asks for it.
    pub fn check_upscaler(&self, recipe: &Recipe) -> Result<(), Problem> {
        match (recipe.request.upscale, &recipe.upscaler) {
            (None, None) => Ok(()),
            (Some(factor), Some(used)) => {
                let entry = self.upscaler(factor, Some(&used.model))?;
                match entry.manifest.used() == *used {
                    true => Ok(()),
                    false => Err(refused(format!("{} was updated since", used.model))),
                }
            }
            _ => Err(refused(
                "`recipe.request.upscale` and `recipe.upscaler` go together".to_owned(),
            )),
        }
    }
}

/// A picture is not made larger.
fn refused(detail: String) -> Problem {
    let problem = Problem::new(ProblemCode::OutOfRange, detail);
    Problem {
        field: Some("upscale".into()),
        ..problem.with_hint("Leave `upscale` out, or ask who runs this hub to add an upscaler.")
    }
}
