//! A folder of an export, read and checked.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use architectures::original::Prediction;
use diffusion::manifest::ImageSize;
use diffusion::scheduler::SchedulerKind;
use diffusion::tokenizer::{Blank, Emphasis, NegativeSettings, TextSettings};
use serde_json::Value;

use super::autoencoder::{self, Scale};
use super::graph::{External, Packing};
use super::json::json;
use super::language::Language;
use super::layout::{Layout, Part};
use super::pipeline::{Defaults, Family, Pipeline};
use super::scheduler;
use super::smaller::Choices;
use super::t5::T5;
use super::tokenizer::{self, Takes};
use super::wiring::{Reader, Wiring};

/// What the person who adds a model says of a folder that does not say it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Class of the pipeline.
    pub pipeline: Option<String>,
    /// What the latents are divided by.
    pub latent_scale: Option<f32>,
    /// Size of the picture.
    pub size: Option<ImageSize>,
    /// What the denoiser of a checkpoint answers with.
    pub prediction: Option<Prediction>,
    /// In how many bits weights are kept.
    pub weights: Choices,
    /// Folders of the components to take; none: all.
    pub components: Vec<String>,
}

/// What the small files of a folder say: enough to know whether the large ones are worth having.
pub(super) struct Configuration {
    pub pipeline: Pipeline,
    pub scheduler: SchedulerKind,
    pub defaults: Defaults,
    scale: Scale,
    /// Whether an absent negative prompt is zeros.
    zeros: bool,
    /// What the person who adds it should know.
    notes: Vec<String>,
    /// How the pipeline is put together, where its text encoder is a language model.
    language: Option<Language>,
    /// The same where T5 is one of its text encoders.
    t5: Option<T5>,
}

impl Configuration {
    /// Reads the files of `layout` below `folder` that are no graphs.
    ///
    /// # Errors
    /// What is missing or cannot be packed, by name.
    pub fn read(folder: &Path, layout: &Layout, said: &Said) -> anyhow::Result<Self> {
        let index: Value = match (layout.index(), &said.pipeline) {
            (Some(path), _) => json(&folder.join(path))?,
            (None, Some(_)) => Value::Null,
            (None, None) => anyhow::bail!(
                "{} is missing; for a folder without it, --pipeline names the class, such as StableDiffusionPipeline",
                folder.join("model_index.json").display()
            ),
        };
        let of_index = index.get("_class_name").and_then(Value::as_str);
        let class = said.pipeline.as_deref().or(of_index).unwrap_or_default();
        let pipeline = Pipeline::of(class).with_context(|| {
            let known = Pipeline::names();
            format!("the pipeline is {class:?}; {known} can be packed")
        })?;
        said.weights.fit(layout, pipeline)?;
        if let Some(language) = Language::of(pipeline.family, &index) {
            return Self::of_language(folder, layout, language, pipeline);
        }
        let without = layout.leaves_t5_out(&said.components, pipeline)?;
        if let Some(t5) = T5::of(pipeline.family, &index, folder, layout)? {
            let t5 = if without { t5.without() } else { t5 };
            return Self::of_t5(folder, layout, t5, pipeline);
        }
        // Names first: a folder without the graphs need not be read any further.
        let xl = pipeline.family == Family::StableDiffusionXl;
        for part in [Part::TextEncoder, Part::Unet, Part::VaeDecoder] {
            layout.needed(part)?;
        }
        if xl {
            layout.needed(Part::TextEncoder2)?;
        }
        let path = layout.scheduler().with_context(|| {
            format!(
                "{} is missing",
                folder.join("scheduler/scheduler_config.json").display()
            )
        })?;
        let config = json(&folder.join(path))?;
        let (scheduler, mut notes) = scheduler::read(&config, pipeline)?;
        let autoencoder = layout.config(Part::VaeDecoder);
        let autoencoder: Option<Value> = autoencoder
            .map(|path| json(&folder.join(path)))
            .transpose()?;
        let (scale, note) = autoencoder::scale(autoencoder.as_ref(), pipeline, said.latent_scale)?;
        notes.extend(note);
        // The default of diffusers' SDXL pipelines.
        let zeros = index
            .get("force_zeros_for_empty_prompt")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        ensure!(
            index.get("requires_aesthetics_score") != Some(&Value::Bool(true)),
            "this is a refiner, which takes a picture and a score; it cannot be packed"
        );
        let defaults = pipeline.defaults(&config);
        notes.push(asked(defaults));
        Ok(Self {
            language: None,
            t5: None,
            pipeline,
            scheduler,
            defaults,
            scale,
            zeros: xl && zeros,
            notes,
        })
    }

    fn of_language(
        folder: &Path,
        layout: &Layout,
        language: Language,
        pipeline: Pipeline,
    ) -> anyhow::Result<Self> {
        let path = layout.scheduler().with_context(|| {
            let path = folder.join("scheduler/scheduler_config.json");
            format!("{} is missing", path.display())
        })?;
        let (scheduler, mut notes) = scheduler::read(&json(&folder.join(path))?, pipeline)?;
        let denoiser = layout.config(Part::Unet);
        let denoiser = denoiser.map(|path| json::<Value>(&folder.join(path)));
        let denoiser = denoiser.transpose()?.unwrap_or_default();
        let channels = denoiser.get("in_channels").and_then(Value::as_u64);
        let scheduler = language.scheduler(scheduler, channels)?;
        let defaults = language.defaults();
        notes.push(asked(defaults));
        Ok(Self {
            pipeline,
            scheduler,
            defaults,
            scale: Scale::NONE,
            zeros: false,
            notes,
            language: Some(language),
            t5: None,
        })
    }

    fn of_t5(folder: &Path, layout: &Layout, t5: T5, pipeline: Pipeline) -> anyhow::Result<Self> {
        let path = layout.scheduler().with_context(|| {
            let path = folder.join("scheduler/scheduler_config.json");
            format!("{} is missing", path.display())
        })?;
        let config = json(&folder.join(path))?;
        let (scheduler, mut notes) = scheduler::read(&config, pipeline)?;
        let scheduler = t5.scheduler(scheduler)?;
        let defaults = t5.defaults(pipeline.distilled(&config));
        notes.push(asked(defaults));
        if pipeline.rounds_sizes() {
            notes.push(
                "pictures are made at the size that is asked for; diffusers makes them at the nearest size of the training and resizes"
                    .to_owned(),
            );
        }
        Ok(Self {
            pipeline,
            scheduler,
            defaults,
            scale: Scale::NONE,
            zeros: false,
            notes,
            language: None,
            t5: Some(t5),
        })
    }

    /// Whether the package holds a part, where the folder has it.
    pub fn reads(&self, part: Part) -> bool {
        match self.t5 {
            Some(t5) => t5.reads(part),
            None => self.pipeline.reads(part),
        }
    }
}

/// The sentence about steps and guidance.
fn asked(defaults: Defaults) -> String {
    format!(
        "requests that leave them open take {} at guidance {}",
        protocol::counted(defaults.steps, "step"),
        defaults.guidance
    )
}

/// A tokenizer of the package.
pub(super) struct Words {
    pub json: Vec<u8>,
    pub settings: TextSettings,
}

/// Everything of the folder that a package is made of.
pub(super) struct Source {
    pub wiring: Wiring,
    pub scheduler: SchedulerKind,
    pub defaults: Defaults,
    /// In the order of [`super::wiring::TEXTS`].
    pub words: Vec<Words>,
    /// What the person who adds it should know.
    pub notes: Vec<String>,
}

impl Source {
    /// Reads the graphs of `layout` below `folder`, and what goes with them.
    ///
    /// # Errors
    /// What is missing or does not fit, by name.
    pub fn read(
        folder: &Path,
        layout: &Layout,
        said: &Said,
        configuration: Configuration,
    ) -> anyhow::Result<Self> {
        let Configuration {
            pipeline,
            scheduler,
            defaults,
            scale,
            zeros,
            mut notes,
            language,
            t5,
        } = configuration;
        if let Some(language) = language {
            return language.read(folder, layout, said, pipeline, (scheduler, notes));
        }
        if let Some(t5) = t5 {
            let decided = (scheduler, defaults, notes);
            return t5.read(folder, layout, said, pipeline, decided);
        }
        let reader = Reader {
            folder,
            layout,
            pipeline,
            size: said.size,
            weights: &said.weights,
        };
        let wiring = reader.read(scale, &mut notes)?;
        let mut words = Vec::with_capacity(wiring.texts.len());
        for (index, text) in wiring.texts.iter().enumerate() {
            let takes = Takes {
                length: text.length,
                rows: text.rows,
            };
            let files = layout.tokenizer(index);
            let vocabulary = tokenizer::read(folder, &files, takes)?;
            let name = super::wiring::TEXTS[index].replace("prompt", "tokenizer");
            let settings = TextSettings {
                file: format!("{name}.json"),
                masks: false,
                emphasis: Emphasis::A1111,
                negative: NegativeSettings {
                    absent: if zeros { Blank::Zeros } else { Blank::Encoded },
                    ..NegativeSettings::default()
                },
                ..vocabulary.settings
            };
            words.push(Words {
                json: vocabulary.json,
                settings,
            });
        }
        Ok(Self {
            wiring,
            scheduler,
            defaults,
            words,
            notes,
        })
    }

    /// The weights that are made smaller, in the order of the graphs' names.
    pub fn smaller(&self) -> impl Iterator<Item = &Packing> {
        let graphs = self.wiring.graphs.values();
        graphs.flat_map(|wired| wired.graph.external.values().filter_map(External::smaller))
    }

    /// Whether the negative prompt has an effect.
    pub fn takes_negative(&self) -> bool {
        self.wiring.guidance.is_free()
    }
}

/// The `license` of the front matter of the folder's README.md, as the hub keeps it.
pub(super) fn license(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("README.md")).ok()?;
    let matter = text.strip_prefix("---")?.split_once("\n---")?.0;
    let value = |key: &str| {
        let line = matter
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let value = line.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    match value("license")?.as_str() {
        "other" => value("license_name"),
        license => Some(license.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_licence_is_read_of_the_front_matter() {
        let dir = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            fs::write(dir.path().join("README.md"), text).unwrap();
            license(dir.path())
        };
        assert_eq!(
            read("---\ntags:\n- x\nlicense: mit\n---\n# A").as_deref(),
            Some("mit")
        );
        let other = "---\nlicense: other\nlicense_name: \"own-license\"\n---\n";
        assert_eq!(read(other).as_deref(), Some("own-license"));
        assert_eq!(read("license: mit\n"), None);
        assert_eq!(read("---\nlicense:\n---\n"), None);
    }
}
