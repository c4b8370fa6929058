//! Options of `demo-hub models`.

use std::path::PathBuf;

use architectures::Kind;
use clap::{Args, Subcommand, ValueEnum};
use diffusion::manifest::Interval;
use protocol::MAX_LORA_WEIGHT;

use super::HubConfig;

/// Options of `demo-hub models`.
#[derive(Args, Clone, Debug)]
pub struct ModelsConfig {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What can be done to the packages.
#[derive(Subcommand, Clone, Debug)]
pub enum ModelsCommand {
    /// Make a package of the folder of a pipeline: its author's own, or an ONNX export.
    Add(Box<AddConfig>),
    /// Make a package of networks that make pictures larger, as TensorFlow.js keeps them.
    AddUpscaler(AddUpscalerConfig),
    /// List the packages.
    List(PackagesConfig),
    /// Check size and SHA-256 of every file of packages.
    Verify(SelectConfig),
    /// Count anew what a picture takes on a GPU, and write it into the manifests of packages.
    Needs(SelectConfig),
    /// Remove a package with its files.
    Remove(RemoveConfig),
}

/// Where the packages are.
#[derive(Args, Clone, Debug)]
pub struct PackagesConfig {
    /// Folder whose subfolders are model packages.
    #[arg(long, env = "DEMO_HUB_MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,
}

/// Which packages.
#[derive(Args, Clone, Debug)]
pub struct SelectConfig {
    /// Ids, `owner/name`; none: all.
    pub ids: Vec<String>,

    /// The packages.
    #[command(flatten)]
    pub packages: PackagesConfig,
}

/// Which package to remove.
#[derive(Args, Clone, Debug)]
pub struct RemoveConfig {
    /// Its id, `owner/name`.
    pub id: String,

    /// The packages.
    #[command(flatten)]
    pub packages: PackagesConfig,
}

/// Options of `demo-hub models add`.
#[derive(Args, Clone, Debug)]
pub struct AddConfig {
    /// A folder with `model_index.json`, a checkpoint of Stable Diffusion in one `.safetensors` file, or the id of a model on the hub,
    /// `owner/name`; of a checkpoint there `owner/name:file.safetensors`.
    pub source: String,

    /// Revision on the hub: a commit, a tag or a branch; default: the newest of the main branch.
    #[arg(long, env = "DEMO_HUB_ADD_REVISION")]
    pub revision: Option<String>,

    /// Id of the package, `owner/name`; default: the hub's. What is on this disk needs one.
    #[arg(long, env = "DEMO_HUB_ADD_ID")]
    pub id: Option<String>,

    /// Human name; default: the name in the id.
    #[arg(long, env = "DEMO_HUB_ADD_NAME")]
    pub name: Option<String>,

    /// One sentence for lists.
    #[arg(long, env = "DEMO_HUB_ADD_SUMMARY", default_value = "")]
    pub summary: String,

    /// Licence of the weights, an SPDX or hub identifier; default: what the hub or the folder's README.md states.
    #[arg(long, env = "DEMO_HUB_ADD_LICENSE")]
    pub license: Option<String>,

    /// Denoising steps where a request leaves them open; default: by the kind of model.
    #[arg(long, env = "DEMO_HUB_ADD_STEPS", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub steps: Option<u32>,

    /// Guidance scale where a request leaves it open; default: by the kind of model.
    #[arg(long, env = "DEMO_HUB_ADD_GUIDANCE", allow_hyphen_values = true)]
    pub guidance: Option<f32>,

    /// Part of the steps at which guidance acts, as shares of their number, such as 0.1-0.8; default: all of them. The other
    /// steps ask the denoiser once instead of twice.
    #[arg(long, env = "DEMO_HUB_ADD_GUIDANCE_INTERVAL", value_parser = interval)]
    pub guidance_interval: Option<Interval>,

    /// Class of the pipeline, for a folder without model_index.json, such as StableDiffusionPipeline.
    #[arg(long, env = "DEMO_HUB_ADD_PIPELINE")]
    pub pipeline: Option<String>,

    /// For a checkpoint in one file, a folder of diffusers or a model of the hub with the same networks: its configurations, tokenizers and
    /// scheduler are taken, none of its weights; default: those of Stable Diffusion 1, 2 or SDXL.
    #[arg(long, env = "DEMO_HUB_ADD_LIKE", value_name = "FOLDER|OWNER/NAME")]
    pub like: Option<String>,

    /// What the denoiser of a checkpoint in one file answers with; default: what the file says, or all models of its family do.
    #[arg(long, env = "DEMO_HUB_ADD_PREDICTION", value_enum)]
    pub prediction: Option<Predicts>,

    /// What the latents are divided by before they are decoded, for a folder without the autoencoder's configuration.
    #[arg(long, env = "DEMO_HUB_ADD_LATENT_SCALE")]
    pub latent_scale: Option<f32>,

    /// Size of pictures where a request leaves it open, such as 512x512; default: what the folder says.
    #[arg(long, env = "DEMO_HUB_ADD_SIZE")]
    pub size: Option<String>,

    /// In how many bits the author's weights are kept: kept (as they are, the default), f16, int8 or int4; autoencoders have 16 bits in
    /// the last two. For a component by its folder: text_encoder=int4. Several, with commas or the option again, go together.
    #[arg(long, env = "DEMO_HUB_ADD_WEIGHTS", value_delimiter = ',', value_parser = weights, value_name = "[COMPONENT=]KIND")]
    pub weights: Vec<WeightsOf>,

    /// Components to take, by their folders, with commas between them; default: all that the model has. What a model can do without is
    /// text_encoder_3 of Stable Diffusion 3, T5, most of its bytes: text_encoder,text_encoder_2,transformer,vae.
    #[arg(long, env = "DEMO_HUB_ADD_COMPONENTS", value_delimiter = ',')]
    pub components: Vec<String>,

    /// A LoRA to give the package, a safetensors file for this model, such as style.safetensors@0.8. Prompts choose it by the name of
    /// its file, <lora:style:0.8>. With a weight behind the @, from -10 to 10, it is in every picture whose prompt does not name it;
    /// without one, in those alone whose prompt does. The option can be given again.
    #[arg(long = "lora", value_parser = lora, value_name = "FILE[@WEIGHT]")]
    pub loras: Vec<LoraOf>,

    /// Name the hub's own addresses of the author's files, which browsers then fetch there (serve's --weights-first): `kept` keeps them here
    /// as well, `only` removes them once the trial picture is made, so that the model runs in browsers alone.
    #[arg(long, env = "DEMO_HUB_ADD_FROM_HUB", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "kept")]
    pub from_hub: Option<FromHub>,

    /// Prompt of a sample picture to be made and kept with the package; without one, two steps are tried.
    #[arg(long, env = "DEMO_HUB_ADD_SAMPLE_PROMPT")]
    pub sample_prompt: Option<String>,

    /// Only look at a model of the hub: say its size, its classes and what a package of it would take of a GPU, or why it
    /// cannot be added. Nothing large is fetched.
    #[arg(long, env = "DEMO_HUB_ADD_LOOK")]
    pub look: bool,

    /// How progress is told.
    #[arg(long, env = "DEMO_HUB_ADD_PROGRESS", default_value = "sentences")]
    pub progress: ProgressForm,

    /// The packages.
    #[command(flatten)]
    pub packages: PackagesConfig,

    /// The hub.
    #[command(flatten)]
    pub hub: HubConfig,
}

/// Options of `demo-hub models add-upscaler`.
#[derive(Args, Clone, Debug)]
pub struct AddUpscalerConfig {
    /// Folders with a `model.json` and its shards of weights, one for each factor that pictures are made larger by: 2, 4 or both.
    #[arg(required = true)]
    pub folders: Vec<PathBuf>,

    /// Id of the package, `owner/name`.
    #[arg(long, env = "DEMO_HUB_ADD_ID")]
    pub id: String,

    /// Licence of the weights, an SPDX identifier.
    #[arg(long, env = "DEMO_HUB_ADD_LICENSE")]
    pub license: String,

    /// Human name; default: the name in the id.
    #[arg(long, env = "DEMO_HUB_ADD_NAME")]
    pub name: Option<String>,

    /// One sentence for lists.
    #[arg(long, env = "DEMO_HUB_ADD_SUMMARY", default_value = "")]
    pub summary: String,

    /// Version of the weights.
    #[arg(
        long = "weights-version",
        env = "DEMO_HUB_ADD_WEIGHTS_VERSION",
        default_value = "1"
    )]
    pub version: String,

    /// What the networks call white: 1, or 255 of those that are given bytes.
    #[arg(long, env = "DEMO_HUB_ADD_WHITE", default_value_t = 1.0)]
    pub white: f32,

    /// In how many bits the weights are kept: f16, or int8 with a step for each channel.
    #[arg(long, env = "DEMO_HUB_ADD_WEIGHTS", default_value = "int8", value_parser = upscaler_weights)]
    pub weights: Kind,

    /// The packages.
    #[command(flatten)]
    pub packages: PackagesConfig,
}

/// Convolutions have no blocks of four bits.
fn upscaler_weights(text: &str) -> Result<Kind, String> {
    let known = text.parse().ok().filter(|kind| *kind != Kind::Int4);
    known.ok_or_else(|| format!("{text:?} is neither f16 nor int8"))
}

/// How the progress of an addition is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressForm {
    /// In sentences.
    Sentences,
    /// As lines of JSON, for a program that watches: the run ends when its standard input does, and waits for another run at the
    /// same model.
    Json,
}

/// What becomes of files that browsers can fetch from the hub.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromHub {
    /// They are here too.
    Kept,
    /// They are there alone.
    Only,
}

/// What a denoiser answers with, as diffusers calls it.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicts {
    /// The noise.
    #[value(name = "epsilon")]
    Epsilon,
    /// A velocity, of noise and picture together.
    #[value(name = "v_prediction")]
    VPrediction,
}

/// In how many bits weights are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsOf {
    /// Folder of the component; none: of all that are not named.
    pub component: Option<String>,
    /// How; none: as their author has them.
    pub kind: Option<Kind>,
}

/// A LoRA for a package.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraOf {
    /// Its file.
    pub file: PathBuf,
    /// Weight in pictures whose prompt does not name it; none: it is in no such picture.
    pub weight: Option<f32>,
}

/// Reads `FILE[@WEIGHT]`.
fn lora(text: &str) -> Result<LoraOf, String> {
    let weighed = text.rsplit_once('@');
    let weighed = weighed.and_then(|(file, weight)| Some((file, weight.parse::<f32>().ok()?)));
    let (file, weight) = match weighed {
        Some((file, weight)) => (file, Some(weight)),
        None => (text, None),
    };
    let fits = |weight: f32| weight.abs() <= MAX_LORA_WEIGHT;
    if let Some(weight) = weight.filter(|weight| !fits(*weight)) {
        return Err(format!(
            "the weight is {weight}; it is from -{MAX_LORA_WEIGHT} to {MAX_LORA_WEIGHT}"
        ));
    }
    if file.is_empty() {
        return Err("the name of a file stands before the @".to_owned());
    }
    Ok(LoraOf {
        file: file.into(),
        weight,
    })
}

/// Name of [`WeightsOf::kind`] where there is none.
const KEPT: &str = "kept";

/// Reads `[COMPONENT=]KIND`.
fn weights(text: &str) -> Result<WeightsOf, String> {
    let (component, kind) = match text.split_once('=') {
        Some((component, kind)) => (Some(component), kind),
        None => (None, text),
    };
    let known = match kind {
        KEPT => Ok(None),
        other => other.parse().map(Some),
    };
    let kind = known.map_err(|()| {
        let kinds = Kind::ALL.map(Kind::name).join(", ");
        format!("{kind:?} is no kind of weights; there are {KEPT}, {kinds}")
    })?;
    if component == Some("") {
        return Err("the name of a component stands before the =".to_owned());
    }
    let component = component.map(str::to_owned);
    Ok(WeightsOf { component, kind })
}

/// Reads `START-STOP`.
fn interval(text: &str) -> Result<Interval, String> {
    let shares = text.split_once('-');
    let shares = shares.and_then(|(start, stop)| Some((start.parse().ok()?, stop.parse().ok()?)));
    let interval = shares.map(|(start, stop)| Interval { start, stop });
    interval
        .filter(|interval| interval.is_sound())
        .ok_or_else(|| "two shares from 0 to 1 are wanted, the smaller one first".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_named_with_or_without_a_component() {
        let of = |component: Option<&str>, kind| {
            let component = component.map(str::to_owned);
            Ok(WeightsOf { component, kind })
        };
        assert_eq!(weights("int8"), of(None, Some(Kind::Int8)));
        assert_eq!(weights("kept"), of(None, None));
        assert_eq!(weights("vae=f16"), of(Some("vae"), Some(Kind::F16)));
        for bad in ["", "int3", "INT8", "vae", "vae=", "=int8", "vae=int8=int4"] {
            assert!(weights(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_weight_may_stand_behind_a_lora() {
        let of = |file: &str, weight| {
            let file = file.into();
            Ok(LoraOf { file, weight })
        };
        assert_eq!(lora("a/b.safetensors"), of("a/b.safetensors", None));
        assert_eq!(lora("b.safetensors@0.8"), of("b.safetensors", Some(0.8)));
        assert_eq!(
            lora("x@2/b.safetensors@-1"),
            of("x@2/b.safetensors", Some(-1.0))
        );
        assert_eq!(lora("x@2/b.safetensors"), of("x@2/b.safetensors", None));
        for bad in ["", "@1", "a@11", "a@nan", "a@inf"] {
            assert!(lora(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_interval_is_a_part_of_the_steps() {
        let read = interval("0.1-0.8");
        assert_eq!(
            read,
            Ok(Interval {
                start: 0.1,
                stop: 0.8
            })
        );
        for bad in [
            "", "-", "0.5", "0.8-0.1", "0-0", "-0.1-1", "0-1.1", "nan-1", "0-inf",
        ] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
