//! A checkpoint: which networks its tensors make.

use std::collections::BTreeMap;

use super::facts::{Facts, Family};
use super::names::Names;
use crate::error::{Error, Result};
use crate::weights::{Header, Stored, Weights};

/// A network of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The text encoder, or the first of two.
    TextEncoder,
    /// The second text encoder.
    TextEncoder2,
    /// The denoiser.
    Unet,
    /// The autoencoder.
    Vae,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::TextEncoder, Self::TextEncoder2, Self::Unet, Self::Vae];

    /// The folder that diffusers keeps it in.
    pub fn folder(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::TextEncoder2 => "text_encoder_2",
            Self::Unet => "unet",
            Self::Vae => "vae",
        }
    }
}

/// Whose code a text encoder is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kit {
    /// transformers', whose names are those that are wanted.
    Transformers,
    OpenClip,
}

/// What the names of a network begin with.
const DENOISER: &str = "model.diffusion_model.";
const AUTOENCODERS: [&str; 2] = ["first_stage_model.", "vae."];
/// Text encoders of the families.
const ENCODERS: [(&str, Component, Kit, Family); 4] = [
    (
        "conditioner.embedders.0.transformer.",
        Component::TextEncoder,
        Kit::Transformers,
        Family::Xl,
    ),
    (
        "conditioner.embedders.1.model.",
        Component::TextEncoder2,
        Kit::OpenClip,
        Family::Xl,
    ),
    (
        "cond_stage_model.transformer.",
        Component::TextEncoder,
        Kit::Transformers,
        Family::First,
    ),
    (
        "cond_stage_model.model.",
        Component::TextEncoder,
        Kit::OpenClip,
        Family::Second,
    ),
];

/// What is known and of no use for making pictures: copies of weights that training averages, textual inversion's state, a loss.
const IDLE: [&str; 3] = [
    "model_ema.",
    "embedding_manager.",
    "first_stage_model.loss.",
];
/// The same, in full: the noise of the training, which the scheduler says, and what CLIP compares texts and pictures with.
const IDLE_TENSORS: [&str; 23] = [
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "betas",
    "cond_stage_model.logit_scale",
    "cond_stage_model.model.attn_mask",
    "cond_stage_model.model.logit_scale",
    "cond_stage_model.text_projection",
    "conditioner.embedders.0.logit_scale",
    "conditioner.embedders.0.text_projection",
    "conditioner.embedders.1.model.attn_mask",
    "conditioner.embedders.1.model.logit_scale",
    "denoiser.log_sigmas",
    "denoiser.sigmas",
    "log_one_minus_alphas_cumprod",
    "logvar",
    "lvlb_weights",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "posterior_variance",
    "scale_factor",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
];
/// Ends of the names of others.
const IDLE_ENDS: [&str; 4] = [
    // Numbers from zero on.
    "embeddings.position_ids",
    ".transformer.text_projection.weight",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
];

/// Beginnings by which files are known that are something else, what they are, and what to do instead.
const OTHERS: [(&[&str], &str); 8] = [
    (
        &["lora_", "lora.", "base_model.model."],
        "it is a LoRA, which changes a model and is none",
    ),
    (
        &["joint_blocks.", "model.diffusion_model.joint_blocks."],
        "it is of Stable Diffusion 3, which is read of the folder that its author publishes for diffusers alone",
    ),
    (
        &["double_blocks.", "model.diffusion_model.double_blocks."],
        "it is of FLUX, which is read of the folder that its author publishes for diffusers alone",
    ),
    (
        &["conditioner.embedders.0.model."],
        "it is SDXL's refiner, which takes a picture and a score; it cannot be packed",
    ),
    (
        &["control_model."],
        "it is a ControlNet, which steers a model and is none",
    ),
    (
        &["edm_"],
        "its denoiser was trained in another way (EDM), which is read of the folder that its author publishes for diffusers alone",
    ),
    (
        &["down_blocks.", "mid_block.", "conv_in."],
        "it is one network with the names of diffusers; the folder with its config.json and the pipeline's other networks is read",
    ),
    (
        &["encoder.down.", "decoder.up."],
        "it is an autoencoder alone, which goes with a model and is none",
    ),
];

/// Most levels, and layers of one, that are looked for.
const MOST: usize = 16;
/// Layers of OpenCLIP's encoder in Stable Diffusion 2, of which the last one is not read; some files do not have it.
const READ_OF_SECOND: usize = 23;

/// The networks of a checkpoint.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    file: String,
    facts: Facts,
    networks: BTreeMap<Component, BTreeMap<String, Stored>>,
}

impl Checkpoint {
    /// Finds the networks of a file by its header.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that is something else, or lacks a network; [`Error::Unused`] for tensors that none has.
    pub fn read(file: &str, header: &Header) -> Result<Self> {
        let wrong = |problem: &str| Error::Checkpoint {
            file: file.to_owned(),
            problem: problem.to_owned(),
        };
        let names = || header.tensors().keys().map(String::as_str);
        let begins = |start: &str| names().any(|name| name.starts_with(start));
        for (beginnings, what) in OTHERS {
            if beginnings.iter().any(|beginning| begins(beginning)) {
                return Err(wrong(what));
            }
        }
        if !begins(DENOISER) {
            return Err(wrong(
                "no name of its tensors begins with model.diffusion_model: it is no checkpoint of Stable Diffusion",
            ));
        }
        let found = ENCODERS.iter().find(|(start, ..)| begins(start));
        let Some(&(_, _, _, family)) = found else {
            return Err(wrong(
                "it has no text encoder (cond_stage_model or conditioner)",
            ));
        };
        let inputs = header
            .tensors()
            .get("model.diffusion_model.input_blocks.0.0.weight");
        let inputs = inputs.and_then(|stored| stored.shape.get(1).copied());
        let inpainting = match inputs {
            Some(4) => false,
            Some(9) => true,
            Some(5) => {
                return Err(wrong(
                    "its denoiser is given a picture's depth; it cannot be packed",
                ));
            }
            Some(7) => {
                return Err(wrong(
                    "it is an upscaler, which is given a small picture; it cannot be packed",
                ));
            }
            Some(8) => {
                return Err(wrong(
                    "it changes pictures as it is told (InstructPix2Pix); it cannot be packed",
                ));
            }
            Some(other) => {
                return Err(wrong(&format!(
                    "its denoiser takes {other} channels; 4 and 9 are known"
                )));
            }
            None => {
                return Err(wrong(
                    "it lacks model.diffusion_model.input_blocks.0.0.weight",
                ));
            }
        };
        if family != Family::Xl && begins("model.diffusion_model.label_emb.") {
            return Err(wrong(
                "its denoiser is told more than the text (unCLIP); it cannot be packed",
            ));
        }
        let facts = Facts::read(
            family,
            inpainting,
            |name| header.tensors().contains_key(name),
            header.metadata(),
        );
        let mut reading = Reading::new(file, header, family);
        let mut unknown = Vec::new();
        for (name, stored) in header.tensors() {
            if !is_idle(name) && !Facts::is_marker(name) && !reading.take(name, stored)? {
                unknown.push(name.clone());
            }
        }
        if !unknown.is_empty() {
            return Err(Error::Unused(unknown));
        }
        let networks = reading.networks;
        let wanted = Component::ALL
            .into_iter()
            .filter(|component| family == Family::Xl || *component != Component::TextEncoder2);
        for component in wanted {
            if !networks.contains_key(&component) {
                let folder = component.folder();
                return Err(wrong(&format!(
                    "it has no {folder}, as files do that were made small for programs that have one already; the whole one is wanted"
                )));
            }
        }
        Ok(Self {
            file: file.to_owned(),
            facts,
            networks,
        })
    }

    /// What the file says of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its networks.
    pub fn components(&self) -> impl Iterator<Item = Component> {
        self.networks.keys().copied()
    }

    /// The weights of a network under the names that its builder reads, where they lie in the file.
    pub fn weights(&self, component: Component) -> Weights {
        Weights::of(&self.file, self.tensors(component).clone())
    }

    pub(super) fn tensors(&self, component: Component) -> &BTreeMap<String, Stored> {
        const NONE: &BTreeMap<String, Stored> = &BTreeMap::new();
        self.networks.get(&component).unwrap_or(NONE)
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }
}

fn is_idle(name: &str) -> bool {
    IDLE.iter().any(|start| name.starts_with(start))
        || IDLE_TENSORS.contains(&name)
        || IDLE_ENDS.iter().any(|end| name.ends_with(end))
}

/// A checkpoint while its tensors are given to its networks.
struct Reading<'h> {
    file: &'h str,
    family: Family,
    unet: Names,
    vae: Names,
    open_clip: Names,
    /// Layers of OpenCLIP's encoder that are read.
    layers: usize,
    networks: BTreeMap<Component, BTreeMap<String, Stored>>,
}

impl<'h> Reading<'h> {
    fn new(file: &'h str, header: &Header, family: Family) -> Self {
        let has = |name: String| header.tensors().contains_key(&name);
        // Both networks have as many layers at every size; the table is made of what the names show.
        let halving = |block: &usize| has(format!("{DENOISER}input_blocks.{block}.0.op.weight"));
        let layers = (1..=MOST).find(halving).map_or(MOST, |block| block - 1);
        let levels = (1..=MOST).take_while(|level| halving(&(level * (layers + 1))));
        let unet = Names::unet(levels.count() + 1, layers);
        let picture = |name: &str| {
            AUTOENCODERS
                .iter()
                .any(|start| has(format!("{start}{name}")))
        };
        let levels = (0..MOST)
            .take_while(|level| picture(&format!("encoder.down.{level}.block.0.conv1.weight")));
        let layers = (0..MOST)
            .take_while(|layer| picture(&format!("encoder.down.0.block.{layer}.conv1.weight")));
        let vae = Names::autoencoder(levels.count().max(1), layers.count());
        let (prefix, ..) = ENCODERS
            .into_iter()
            .find(|(_, _, kit, of)| *kit == Kit::OpenClip && *of == family)
            .unwrap_or(ENCODERS[1]);
        let layers = (0..4 * MOST)
            .take_while(|layer| has(format!("{prefix}transformer.resblocks.{layer}.ln_1.weight")))
            .count();
        Self {
            file,
            family,
            unet,
            vae,
            open_clip: Names::open_clip(layers),
            // diffusers' text encoder of Stable Diffusion 2 ends where its pipeline reads.
            layers: match family {
                Family::Second if layers != READ_OF_SECOND => layers.saturating_sub(1),
                _ => layers,
            },
            networks: BTreeMap::new(),
        }
    }

    /// Gives a tensor to its network; false for one that none has.
    fn take(&mut self, name: &str, stored: &Stored) -> Result<bool> {
        let under = |starts: &[&str]| {
            let mut rests = starts.iter().filter_map(|start| name.strip_prefix(start));
            rests.next().map(str::to_owned)
        };
        if let Some(rest) = under(&[DENOISER]) {
            let renamed = self.unet.diffusers(&rest);
            return self.keep(Component::Unet, renamed, stored.clone());
        }
        if let Some(rest) = under(&AUTOENCODERS) {
            let renamed = self.vae.diffusers(&rest);
            return self.keep(Component::Vae, renamed, stored.clone());
        }
        for (start, component, kit, family) in ENCODERS {
            let Some(rest) = name.strip_prefix(start).filter(|_| family == self.family) else {
                continue;
            };
            return match kit {
                Kit::Transformers => self.keep(component, Some(rest.to_owned()), stored.clone()),
                Kit::OpenClip => self.open_clip(component, rest, stored),
            };
        }
        Ok(false)
    }

    fn open_clip(&mut self, component: Component, rest: &str, stored: &Stored) -> Result<bool> {
        let layer = rest.strip_prefix("transformer.resblocks.");
        let layer = layer.and_then(|rest| rest.split_once('.')?.0.parse::<usize>().ok());
        let known = |layers: usize| layers < self.open_clip_layers();
        if layer.is_some_and(|layer| layer >= self.layers && known(layer)) {
            return Ok(true);
        }
        if rest == "text_projection" && self.family == Family::Second {
            return Ok(true);
        }
        for kind in ["weight", "bias"] {
            let Some(module) = rest.strip_suffix(&format!(".attn.in_proj_{kind}")) else {
                continue;
            };
            let Some(layer) =
                layer.filter(|layer| module == format!("transformer.resblocks.{layer}"))
            else {
                return Ok(false);
            };
            for (index, part) in ["q", "k", "v"].into_iter().enumerate() {
                let name =
                    format!("text_model.encoder.layers.{layer}.self_attn.{part}_proj.{kind}");
                let third = third(rest, stored, index)?;
                self.keep(component, Some(name), third)?;
            }
            return Ok(true);
        }
        let renamed = self.open_clip.diffusers(rest);
        self.keep(component, renamed, stored.clone())
    }

    fn open_clip_layers(&self) -> usize {
        let layer = |name: &str| name.strip_suffix(".ln_1").is_some();
        self.open_clip
            .modules()
            .filter(|(name, _)| layer(name))
            .count()
    }

    fn keep(&mut self, component: Component, name: Option<String>, stored: Stored) -> Result<bool> {
        let Some(name) = name else {
            return Ok(false);
        };
        let network = self.networks.entry(component).or_default();
        if network.contains_key(&name) {
            return Err(Error::Checkpoint {
                file: self.file.to_owned(),
                problem: format!("two of its tensors are {}'s {name}", component.folder()),
            });
        }
        network.insert(name, stored);
        Ok(true)
    }
}

/// Rows of queries, keys or values of a tensor that holds all three.
fn third(name: &str, stored: &Stored, index: usize) -> Result<Stored> {
    let (rows, rest) = match stored.shape.split_first() {
        Some((rows, rest)) if rows.is_multiple_of(3) => (rows / 3, rest),
        _ => {
            return Err(Error::Shape {
                name: name.to_owned(),
                found: stored.shape.clone(),
                wanted: vec![3],
            });
        }
    };
    let length = stored.length / 3;
    Ok(Stored {
        element: stored.element,
        shape: [&[rows], rest].concat(),
        offset: stored.offset + index as u64 * length,
        length,
    })
}
