//! What a model of the hub would take, and whether it can be added: its small files and the headers of its weights tell.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use architectures::Kind;
use protocol::{AdditionStage, LookedChoice, LookedComponent, ModelLook, WeightsKind};

use super::download::{self, Described, Waiting, Wanted};
use super::layout::Part;
use super::pack::{self, Taking};
use super::pipeline::Family;
use super::report::{Report, Sentences};
use super::smaller::Choices;
use super::source::{Configuration, Said, Source};
use super::{About, license};
use crate::catalog::card_file::CardFile;
use crate::catalog::hub;
use crate::config::{AddConfig, WeightsOf};

/// Stands for a licence that nobody stated yet.
const UNSTATED: &str = "unstated";

/// Looks at the model that `config` names; a package of it would be called `id`.
pub(super) fn run(
    config: &AddConfig,
    said: &Said,
    id: &str,
    report: &mut dyn Report,
) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir().context("making a folder for what is looked at")?;
    let models_dir = &config.packages.models_dir;
    let packages = crate::models::packages(models_dir)?;
    let free_bytes = fs4::available_space(models_dir)
        .with_context(|| format!("looking at the disk of {}", models_dir.display()))?;
    download::runtime()?.block_on(async {
        report.stage(AdditionStage::Looking)?;
        let described = {
            let mut sink = io::sink();
            let model = (&*config.source, config.revision.as_deref());
            Described::ask(config, model, Waiting::No, &mut Sentences(&mut sink)).await?
        };
        let page = described.page();
        let license = described.model.license.as_ref();
        let mut look = ModelLook {
            id: id.to_owned(),
            revision: described.revision.clone(),
            license: license.map(|stated| hub::license(stated, page.as_str())),
            gated: described.model.gated,
            hub_url: page.into(),
            free_bytes,
            is_here: packages.iter().any(|package| package.id() == id),
            ..ModelLook::default()
        };
        let looking = Looking {
            config,
            said,
            described: &described,
            scratch: scratch.path(),
        };
        if let Err(error) = looking.fill(&mut look).await {
            look.refusal = Some(format!("{error:#}"));
        }
        report.looked(&look)?;
        Ok(())
    })
}

struct Looking<'l> {
    config: &'l AddConfig,
    said: &'l Said,
    described: &'l Described,
    /// A folder that goes when the look ends.
    scratch: &'l Path,
}

impl Looking<'_> {
    /// Finds out what can be, up to what the model is refused for.
    async fn fill(&self, look: &mut ModelLook) -> anyhow::Result<()> {
        self.described.is_pipeline(self.said)?;
        let layout = &self.described.layout;
        let folder = self.scratch.join("files");
        fs::create_dir(&folder)?;
        let mut sink = io::sink();
        let mut quiet = Sentences(&mut sink);
        let mut fetching = self
            .described
            .fetching(self.config, folder.clone(), &mut quiet)?;
        fetching.all(layout.small()).await?;
        let wanted = fetching.wanted(layout, self.said)?;
        look.pipeline = Some(wanted.pipeline.name().to_owned());
        look.components = self.components(&folder, &wanted)?;
        look.download_bytes = look.components.iter().map(|part| part.bytes).sum();
        let begun = fetching.try_networks(&wanted).await?;
        if !wanted.graphs.is_empty() {
            look.notes
                .push("what its graphs take of a GPU is counted once they are here".to_owned());
            return Ok(());
        }
        for (path, beginning) in &begun {
            beginning.write(&folder.join(path))?;
        }
        for kind in [None].into_iter().chain(Kind::ALL.map(Some)) {
            let (choice, notes) = self.choice(&folder, kind, look.download_bytes)?;
            if kind.is_none() {
                look.notes.extend(notes);
            }
            look.choices.push(choice);
        }
        Ok(())
    }

    fn components(&self, folder: &Path, wanted: &Wanted) -> anyhow::Result<Vec<LookedComponent>> {
        let mut components: Vec<LookedComponent> = Vec::new();
        for path in &wanted.graphs {
            let files = vec![path.clone()];
            components.push(LookedComponent {
                name: path.split(['/', '.']).next().unwrap_or(path).to_owned(),
                class: None,
                bytes: self.described.bytes(&files),
                files,
                optional: false,
            });
        }
        for (part, network) in &wanted.networks {
            // The two halves of an autoencoder are one folder.
            if components.iter().any(|known| known.name == network.folder) {
                continue;
            }
            let files = network.files(folder)?;
            let family = wanted.pipeline.family;
            components.push(LookedComponent {
                name: network.folder.to_owned(),
                class: Some(network.class(folder)?),
                bytes: self.described.bytes(&files),
                files,
                optional: family == Family::StableDiffusion3 && *part == Part::TextEncoder3,
            });
        }
        Ok(components)
    }

    /// A package with weights of a kind, none: its author's, over files that have no more than their headers.
    fn choice(
        &self,
        folder: &Path,
        kind: Option<Kind>,
        download_bytes: u64,
    ) -> anyhow::Result<(LookedChoice, Vec<String>)> {
        let weights = Choices::of(&[WeightsOf {
            component: None,
            kind,
        }])?;
        let said = Said {
            weights,
            ..self.said.clone()
        };
        let layout = &self.described.layout;
        let configuration = Configuration::read(folder, layout, &said)?;
        let source = Source::read(folder, layout, &said, configuration)?;
        let model = Some(&self.described.model);
        let about = About {
            id: self.config.source.clone(),
            name: self.config.source.clone(),
            summary: String::new(),
            license: license(self.config, folder, model, None)
                .unwrap_or_else(|_| UNSTATED.to_owned()),
            steps: source.defaults.steps,
            guidance: source.defaults.guidance,
            guidance_interval: None,
        };
        let card = CardFile::default();
        let package = pack::write(self.scratch, &about, (&source, &[]), &card, Taking::Outline)?;
        let manifest = package.manifest()?;
        let choice = LookedChoice {
            weights: match kind {
                None => WeightsKind::Kept,
                Some(Kind::F16) => WeightsKind::F16,
                Some(Kind::Int8) => WeightsKind::Int8,
                Some(Kind::Int4) => WeightsKind::Int4,
            },
            package_bytes: manifest.files().map(|file| file.bytes).sum(),
            disk_bytes: download::room_for(download_bytes, kind.is_some()),
            needs: manifest.needs,
        };
        Ok((choice, source.notes))
    }
}
