//! Models that people ask for, of `known.toml`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use protocol::{
    KnownModel, KnownWeights, LowMemoryNeeds, ModelDefaults, ModelNeeds, ModelQuery, ModelWork,
    PaperRecord, Source, Work,
};
use serde::Deserialize;

use super::hub::is_name;
use super::licenses;

/// Name of their file in the models folder.
pub const KNOWN: &str = "known.toml";
/// Those that come with this program, for where the models folder has no file of its own.
const EMBEDDED: &str = include_str!("../../../models/known.toml");

/// Models that this hub could hold, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Vec<KnownModel>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    model: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    title: String,
    /// The file of the repository that holds all of the model.
    file: Option<String>,
    summary: String,
    family: String,
    pipeline: String,
    license: Option<String>,
    #[serde(default)]
    gated: bool,
    paper: Option<Paper>,
    size: [u32; 2],
    steps: u32,
    guidance: f32,
    /// What the figures were counted from.
    #[serde(default, rename = "parts")]
    _parts: Vec<String>,
    #[serde(default)]
    weights: Vec<Figures>,
    work: Option<Counts>,
    #[serde(default)]
    ran: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paper {
    arxiv: String,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    kind: String,
    bytes: u64,
    memory: u64,
    buffer: u64,
    /// Memory, and bytes that are brought to the GPU once a picture and at each step, with one part there at a time.
    one: (u64, u64, u64),
    /// The same with a share of that part's weights.
    streamed: (u64, u64, u64),
}

/// Operations and dispatches.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    once: (u64, u64),
    per_step: (u64, u64),
}

impl Shelf {
    /// The models of `known.toml` in the models folder, or those that come with this program.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(models_dir: &Path) -> anyhow::Result<Self> {
        let path = models_dir.join(KNOWN);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => EMBEDDED.to_owned(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        Self::parse(&text).with_context(|| format!("{} is not readable", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text)?;
        let models: Vec<KnownModel> = file.model.into_iter().map(known).collect();
        for (index, model) in models.iter().enumerate() {
            let named = model
                .id
                .split_once('/')
                .is_some_and(|(owner, name)| is_name(owner) && is_name(name));
            ensure!(named, "{:?} is no id of the form owner/name", model.id);
            let again = models[..index].iter().any(|other| other.id == model.id);
            ensure!(!again, "{} stands there twice", model.id);
        }
        Ok(Self(Arc::new(models)))
    }

    /// The model with this identifier.
    pub fn find(&self, id: &str) -> Option<&KnownModel> {
        self.0.iter().find(|model| model.id == id)
    }

    /// The model that `models add` is given so.
    pub fn given(&self, source: &str) -> Option<&KnownModel> {
        let mut models = self.0.iter();
        models.find(|model| model.add.as_ref().unwrap_or(&model.id) == source)
    }

    /// Those that a query asks for and that are not `here`.
    pub fn matching(
        &self,
        query: &ModelQuery,
        here: impl Fn(&KnownModel) -> bool,
    ) -> Vec<KnownModel> {
        let wanted = |model: &&KnownModel| {
            let text = format!("{} {} {}", model.id, model.title, model.family).to_lowercase();
            let q = query.q.as_deref().unwrap_or_default().to_lowercase();
            let license = model.license.as_ref();
            q.split_whitespace().all(|word| text.contains(word))
                && query
                    .owner
                    .as_ref()
                    .is_none_or(|owner| model.id.split('/').next() == Some(owner))
                && query
                    .license
                    .as_ref()
                    .is_none_or(|id| license.is_some_and(|l| licenses::names(l, id)))
                && query
                    .permits
                    .is_none_or(|wanted| license.is_some_and(|l| licenses::permits(l, wanted)))
        };
        let models = self.0.iter().filter(wanted);
        models.filter(|model| !here(model)).cloned().collect()
    }
}

fn known(entry: Entry) -> KnownModel {
    let low_memory = |(memory_bytes, picture_bytes, step_bytes)| LowMemoryNeeds {
        memory_bytes,
        picture_bytes,
        step_bytes,
    };
    let weights = entry.weights.into_iter().map(|figures| KnownWeights {
        kind: figures.kind,
        bytes: figures.bytes,
        needs: ModelNeeds {
            max_buffer_size: figures.buffer,
            max_storage_buffer_binding_size: figures.buffer,
            memory_bytes: figures.memory,
            one_at_a_time: Some(low_memory(figures.one)),
            streamed: Some(low_memory(figures.streamed))
                .filter(|streamed| streamed.memory_bytes < figures.one.0),
        },
    });
    let work = |(flops, dispatches)| Work { flops, dispatches };
    KnownModel {
        add: entry.file.map(|file| format!("{}:{file}", entry.id)),
        id: entry.id,
        title: entry.title,
        summary: entry.summary,
        family: entry.family,
        pipeline: entry.pipeline,
        license: entry.license.map(|id| licenses::describe(&id)),
        paper: entry.paper.map(|paper| PaperRecord {
            title: Some(paper.title),
            source: Some(Source::Package),
            ..PaperRecord::of_arxiv(&paper.arxiv)
        }),
        gated: entry.gated,
        width: entry.size[0],
        height: entry.size[1],
        defaults: ModelDefaults {
            num_inference_steps: entry.steps,
            guidance_scale: entry.guidance,
        },
        weights: weights.collect(),
        work: entry.work.map(|counts| ModelWork {
            once: work(counts.once),
            per_step: work(counts.per_step),
        }),
        ran: entry.ran,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use protocol::LicenseUse;

    use super::*;

    #[test]
    fn the_shelf_that_comes_with_the_program_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::read(dir.path()).unwrap();
        assert!(shelf.0.len() >= 20, "{}", shelf.0.len());
        for model in shelf.0.iter() {
            assert!(
                !model.ran,
                "{} was run with its author's weights?",
                model.id
            );
            if let Some(license) = &model.license {
                assert_ne!(license.permits, LicenseUse::Unknown, "{}", model.id);
            }
            let bits: Vec<&str> = model.weights.iter().map(|w| &*w.kind).collect();
            assert!(
                bits.is_empty() || bits == ["f16", "int8", "int4"],
                "{}",
                model.id
            );
            assert_eq!(model.work.is_some(), !bits.is_empty(), "{}", model.id);
        }
        let turbo = shelf.find("stabilityai/sd-turbo").unwrap();
        assert_eq!(turbo.defaults.num_inference_steps, 1);
        assert_eq!(shelf.given("stabilityai/sd-turbo"), Some(turbo));
        assert_eq!(shelf.given("ByteDance/SDXL-Lightning"), None);
        let lightning = shelf.find("ByteDance/SDXL-Lightning").unwrap();
        assert_eq!(
            lightning.add.as_deref(),
            Some("ByteDance/SDXL-Lightning:sdxl_lightning_4step.safetensors")
        );
    }

    #[test]
    fn a_file_of_the_folder_comes_first_and_must_be_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KNOWN);
        let entry = "[[model]]\nid = \"a/b\"\ntitle = \"B\"\nsummary = \"\"\nfamily = \"\"\npipeline = \"\"\nsize = [1, 1]\nsteps = 1\nguidance = 0.0\n";
        std::fs::write(&path, entry).unwrap();
        assert_eq!(Shelf::read(dir.path()).unwrap().0.len(), 1);
        for wrong in [
            format!("{entry}{entry}"),
            entry.replace("a/b", "a"),
            format!("{entry}revision = \"x\"\n"),
        ] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Shelf::read(dir.path()).is_err());
        }
    }

    #[test]
    fn queries_choose() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::read(dir.path()).unwrap();
        let ids = |query: ModelQuery| -> Vec<String> {
            let found = shelf.matching(&query, |model| model.id == "stabilityai/sdxl-turbo");
            found.into_iter().map(|model| model.id).collect()
        };
        let q = |q: &str| ModelQuery {
            q: Some(q.to_owned()),
            ..ModelQuery::default()
        };
        assert_eq!(ids(q("TURBO sd")), ["stabilityai/sd-turbo"]);
        assert!(ids(q("no such model")).is_empty());
        let free = ModelQuery {
            permits: Some(LicenseUse::Any),
            owner: Some("segmind".to_owned()),
            ..ModelQuery::default()
        };
        assert_eq!(ids(free), ["segmind/SSD-1B", "segmind/Segmind-Vega"]);
    }
}
