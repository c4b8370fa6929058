//! Where the files of a model are: in the folders of diffusers, or all in one as demos in browsers have them.

use std::collections::BTreeSet;

use anyhow::{Context, bail};

use super::network::Network;
use super::pipeline::Pipeline;

/// Names of a graph in the folder of its part, the first that is there.
const GRAPHS: [&str; 3] = ["model.onnx", "model_fp32.onnx", "model_fp16.onnx"];

/// Files of a tokenizer.
const TOKENIZER: [&str; 8] = [
    "tokenizer.json",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
];

/// Most tokenizers of a model.
const TOKENIZERS: usize = 3;

/// A part of a model that is a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    TextEncoder,
    TextEncoder2,
    TextEncoder3,
    Unet,
    VaeDecoder,
    VaeEncoder,
}

impl Part {
    pub const ALL: [Self; 6] = [
        Self::TextEncoder,
        Self::TextEncoder2,
        Self::TextEncoder3,
        Self::Unet,
        Self::VaeDecoder,
        Self::VaeEncoder,
    ];

    /// Name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::TextEncoder2 => "text_encoder_2",
            Self::TextEncoder3 => "text_encoder_3",
            Self::Unet => "unet",
            Self::VaeDecoder => "vae_decoder",
            Self::VaeEncoder => "vae_encoder",
        }
    }

    /// Whether it is in the folder of that name, as weights or as a graph.
    pub fn is_in(self, folder: &str) -> bool {
        self.name() == folder || self.folders().contains(&folder)
    }

    /// Folders where its author may keep weights.
    fn folders(self) -> &'static [&'static str] {
        match self {
            Self::VaeDecoder | Self::VaeEncoder => &["vae"],
            Self::Unet => &["unet", "transformer"],
            Self::TextEncoder => &["text_encoder"],
            Self::TextEncoder2 => &["text_encoder_2"],
            Self::TextEncoder3 => &["text_encoder_3"],
        }
    }

    /// Folders and names of its configuration, the first that is there.
    fn configs(self) -> Vec<String> {
        let name = self.name();
        let mut places = vec![
            format!("{name}/config.json"),
            format!("{name}_config.json"),
            format!("{name}.json"),
        ];
        if matches!(self, Self::VaeDecoder | Self::VaeEncoder) {
            places.push("vae/config.json".to_owned());
            places.push("vae_config.json".to_owned());
        }
        if self == Self::Unet {
            places.push("transformer/config.json".to_owned());
        }
        places
    }
}

/// What a part is there as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The graph at this path.
    Graph(String),
    /// Weights, of which the graph is built.
    Network(Network),
}

/// The paths of a model, relative to its folder, with `/` between their parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    paths: BTreeSet<String>,
    checkpoint: Option<Whole>,
}

/// A checkpoint in one file that holds networks.
#[derive(Clone, Debug)]
struct Whole {
    path: String,
    folders: Vec<&'static str>,
}

impl Layout {
    /// Of these paths.
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            checkpoint: None,
        }
    }

    /// The same, with the weights of the networks in `folders` in a checkpoint at `path`.
    pub fn over(self, path: &str, folders: Vec<&'static str>) -> Self {
        let path = path.to_owned();
        Self {
            checkpoint: Some(Whole { path, folders }),
            ..self
        }
    }

    fn first(&self, places: impl IntoIterator<Item = String>) -> Option<String> {
        places.into_iter().find(|place| self.paths.contains(place))
    }

    /// `model_index.json`.
    pub fn index(&self) -> Option<String> {
        self.first(["model_index.json".to_owned()])
    }

    /// The scheduler's configuration.
    pub fn scheduler(&self) -> Option<String> {
        self.first(["scheduler/scheduler_config.json", "scheduler_config.json"].map(str::to_owned))
    }

    /// The configuration of a part.
    pub fn config(&self, part: Part) -> Option<String> {
        self.first(part.configs())
    }

    /// The graph of a part, if there is one.
    ///
    /// # Errors
    /// When its folder holds several, none of which has a name that says so.
    pub fn graph(&self, part: Part) -> anyhow::Result<Option<String>> {
        let name = part.name();
        let usual = GRAPHS.map(|file| format!("{name}/{file}"));
        if let Some(path) = self.first(usual) {
            return Ok(Some(path));
        }
        let within = format!("{name}/");
        let inside = |path: &&String| {
            path.strip_prefix(&within)
                .is_some_and(|file| file.ends_with(".onnx") && !file.contains('/'))
        };
        let found: Vec<&String> = self.paths.iter().filter(inside).collect();
        match &found[..] {
            [] => {}
            [one] => return Ok(Some((*one).clone())),
            several => bail!(
                "{name} holds {} graphs: {}; rename the one to take to {}",
                several.len(),
                several
                    .iter()
                    .map(|path| path.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                GRAPHS[0]
            ),
        }
        let short = name.strip_prefix("vae_");
        let in_vae = short.map(|short| format!("vae/{short}.onnx"));
        let flat = [Some(format!("{name}.onnx")), in_vae];
        Ok(self.first(flat.into_iter().flatten()))
    }

    /// A part, as its graph or else as its author's weights.
    ///
    /// # Errors
    /// When there are several, or those that are there are not read.
    pub fn part(&self, part: Part) -> anyhow::Result<Option<Found>> {
        if let Some(path) = self.graph(part)? {
            return Ok(Some(Found::Graph(path)));
        }
        // Where the decoder is a graph, whoever made it left the encoder out.
        if part == Part::VaeEncoder && self.graph(Part::VaeDecoder)?.is_some() {
            return Ok(None);
        }
        for folder in part.folders() {
            if let Some(whole) = self
                .checkpoint
                .as_ref()
                .filter(|w| w.folders.contains(folder))
            {
                let network = Network::of_checkpoint(folder, &whole.path);
                return Ok(Some(Found::Network(network)));
            }
            let within = format!("{folder}/");
            let files: Vec<&str> = self
                .paths
                .iter()
                .filter_map(|path| path.strip_prefix(&within))
                .filter(|file| !file.contains('/'))
                .collect();
            if let Some(network) = Network::find(folder, &files)? {
                return Ok(Some(Found::Network(network)));
            }
        }
        Ok(None)
    }

    /// Whether the components that were asked for, by their folders, leave T5 out of a pipeline that can do without it; none: all are.
    ///
    /// # Errors
    /// For names that the pipeline has no component of, and where one is left out that it cannot do without.
    pub fn leaves_t5_out(&self, wanted: &[String], pipeline: Pipeline) -> anyhow::Result<bool> {
        if wanted.is_empty() {
            return Ok(false);
        }
        let unknown = |name: &&String| !pipeline.parts().any(|part| part.is_in(name));
        if let Some(name) = wanted.iter().find(unknown) {
            bail!(
                "--components names {name:?}, which {} has none of",
                pipeline.name()
            );
        }
        let mut without = false;
        for part in pipeline.parts() {
            if wanted.iter().any(|name| part.is_in(name)) {
                continue;
            }
            if part == Part::TextEncoder3 {
                without = true;
            } else if self.part(part)?.is_some() {
                bail!(
                    "--components leaves {} out, which {} cannot do without",
                    part.folders().join(" or "),
                    pipeline.name()
                );
            }
        }
        Ok(without)
    }

    /// [`Self::part`] of one that has to be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn needed(&self, part: Part) -> anyhow::Result<Found> {
        let (name, folder) = (part.name(), part.folders().join(" or "));
        self.part(part)?.with_context(|| {
            format!("{name}/{} is missing, and {folder} has no safetensors of which the graph could be built", GRAPHS[0])
        })
    }

    /// The files of the tokenizer of a text encoder, by their plain names; the first encoder is 0.
    pub fn tokenizer(&self, encoder: usize) -> Vec<(&'static str, String)> {
        let folder = match encoder {
            0 => "tokenizer".to_owned(),
            other => format!("tokenizer_{}", other + 1),
        };
        let within = |prefix: &str| -> Vec<(&'static str, String)> {
            TOKENIZER
                .map(|file| (file, format!("{prefix}{file}")))
                .into_iter()
                .filter(|(_, path)| self.paths.contains(path))
                .collect()
        };
        let own = within(&format!("{folder}/"));
        if own.is_empty() && encoder == 0 {
            within("")
        } else {
            own
        }
    }

    /// Every small file that a package may be made of.
    pub fn small(&self) -> Vec<String> {
        let configs = Part::ALL.into_iter().filter_map(|part| self.config(part));
        let networks = Part::ALL
            .into_iter()
            .filter_map(|part| match self.part(part) {
                Ok(Some(Found::Network(network))) => Some(network.small()),
                _ => None,
            });
        let words = (0..TOKENIZERS).flat_map(|encoder| self.tokenizer(encoder));
        let mut paths: Vec<String> = self
            .index()
            .into_iter()
            .chain(self.scheduler())
            .chain(self.first(["README.md".to_owned()]))
            .chain(configs)
            .chain(networks.flatten())
            .chain(words.map(|(_, path)| path))
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn layout(paths: &[&str]) -> Layout {
        Layout::new(paths.iter().map(|path| (*path).to_owned()))
    }

    #[test]
    fn graphs_are_found_in_every_layout_in_use() {
        for (path, part) in [
            ("unet/model.onnx", Part::Unet),
            ("unet/model_fp16.onnx", Part::Unet),
            ("unet/sd15_unet.onnx", Part::Unet),
            ("unet.onnx", Part::Unet),
            ("vae/decoder.onnx", Part::VaeDecoder),
            ("vae_encoder.onnx", Part::VaeEncoder),
            ("text_encoder_2/model.onnx", Part::TextEncoder2),
        ] {
            let found = layout(&[path, "README.md"]).graph(part).unwrap();
            assert_eq!(found.as_deref(), Some(path));
        }
        let both = layout(&["unet/model.onnx", "unet/model_fp16.onnx"]);
        let graph = Found::Graph("unet/model.onnx".to_owned());
        assert_eq!(both.needed(Part::Unet).unwrap(), graph);
        assert!(both.graph(Part::VaeDecoder).unwrap().is_none());
    }

    #[test]
    fn what_is_missing_or_not_clear_is_said() {
        let error = |paths: &[&str]| layout(paths).needed(Part::Unet).unwrap_err().to_string();
        assert!(error(&["unet/a.onnx", "unet/b.onnx"]).contains("unet/b.onnx"));
        assert!(error(&["unet/x/model.onnx"]).contains("is missing"));
        assert!(error(&["unet/config.json"]).contains("no safetensors"));
        assert!(
            error(&["unet/config.json", "unet/diffusion_pytorch_model.bin"]).contains("a pickle")
        );
    }

    #[test]
    fn weights_stand_in_for_graphs_that_are_not_there() {
        let weights = [
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
        ];
        let is_network =
            |layout: &Layout, part| matches!(layout.part(part).unwrap(), Some(Found::Network(_)));
        let author = layout(&weights);
        for part in [Part::Unet, Part::VaeDecoder, Part::VaeEncoder] {
            assert!(is_network(&author, part), "{part:?}");
        }
        assert_eq!(author.part(Part::TextEncoder).unwrap(), None);
        let exported =
            layout(&[&weights[..], &["unet/model.onnx", "vae_decoder/model.onnx"]].concat());
        for part in [Part::Unet, Part::VaeDecoder] {
            assert!(
                matches!(exported.part(part).unwrap(), Some(Found::Graph(_))),
                "{part:?}"
            );
        }
        assert_eq!(exported.part(Part::VaeEncoder).unwrap(), None);
    }

    #[test]
    fn components_that_are_asked_for_are_those_that_there_are() {
        let of = |component: &str| {
            [
                format!("{component}/config.json"),
                format!("{component}/model.safetensors"),
            ]
        };
        let all = [
            "text_encoder",
            "text_encoder_2",
            "text_encoder_3",
            "transformer",
            "vae",
        ];
        let author = Layout::new(all.into_iter().flat_map(of));
        let asked = |wanted: &[&str], class: &str| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let pipeline = Pipeline::of(class).unwrap();
            let found = author.leaves_t5_out(&wanted, pipeline);
            found.map_err(|error| error.to_string())
        };
        let sd3 = "StableDiffusion3Pipeline";
        assert_eq!(asked(&[], sd3), Ok(false));
        assert_eq!(asked(&all, sd3), Ok(false));
        let small = ["text_encoder", "text_encoder_2", "transformer", "vae"];
        assert_eq!(asked(&small, sd3), Ok(true));
        assert_eq!(asked(&small, "FluxPipeline"), Ok(false));
        assert!(
            asked(&small[1..], sd3)
                .unwrap_err()
                .contains("leaves text_encoder out")
        );
        let error = asked(&["text_encoder", "vea"], sd3).unwrap_err();
        assert!(error.contains("\"vea\""), "{error}");
        let error = asked(&all, "FluxPipeline").unwrap_err();
        assert!(error.contains("text_encoder_3"), "{error}");
    }

    #[test]
    fn tokenizers_lie_in_folders_or_beside_the_graphs() {
        let names = |paths: &[&str], encoder| -> Vec<String> {
            let found = layout(paths).tokenizer(encoder);
            found.into_iter().map(|(_, path)| path).collect()
        };
        assert_eq!(names(&["vocab.json", "unet.onnx"], 0), ["vocab.json"]);
        let folders = [
            "tokenizer/vocab.json",
            "tokenizer_2/vocab.json",
            "vocab.json",
        ];
        assert_eq!(names(&folders, 0), ["tokenizer/vocab.json"]);
        assert_eq!(names(&folders, 1), ["tokenizer_2/vocab.json"]);
        assert_eq!(names(&["vocab.json"], 1), [] as [&str; 0]);
        let third = ["tokenizer_3/spiece.model", "tokenizer/vocab.json"];
        assert_eq!(names(&third, 2), ["tokenizer_3/spiece.model"]);
    }
}
