//! Options of `demo-hub models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use diffusion::manifest::Interval;

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
    /// A folder with `model_index.json`, or the id of a model on the hub, `owner/name`.
    pub source: String,

    /// Id of the package, `owner/name`; default: the hub's. A folder needs one.
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

    /// What the latents are divided by before they are decoded, for a folder without the autoencoder's configuration.
    #[arg(long, env = "DEMO_HUB_ADD_LATENT_SCALE")]
    pub latent_scale: Option<f32>,

    /// Size of pictures where a request leaves it open, such as 512x512; default: what the folder says.
    #[arg(long, env = "DEMO_HUB_ADD_SIZE")]
    pub size: Option<String>,

    /// Prompt of a sample picture to be made and kept with the package; without one, two steps are tried.
    #[arg(long, env = "DEMO_HUB_ADD_SAMPLE_PROMPT")]
    pub sample_prompt: Option<String>,

    /// The packages.
    #[command(flatten)]
    pub packages: PackagesConfig,

    /// The hub.
    #[command(flatten)]
    pub hub: HubConfig,
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
