//! `demo-hub models add-upscaler`: a package of networks that make pictures larger, of the folders in which TensorFlow.js keeps them.

mod trial;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use architectures::Kind;
use architectures::layers::{self, Enlarging, Layers};
use diffusion::manifest::FileEntry;
use diffusion::upscale::manifest::{Enlargement, FORMAT, KIND, Stated};
use diffusion::{UpscalerManifest, UpscalerPackage};
use protocol::{SmallerWeights, UpscaleFactor, psnr};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::add::claim::{Claim, Unnamed, sweep};
use super::pretty;
use crate::catalog::MANIFEST;
use crate::catalog::card_file::{CARD, CardFile};
use crate::catalog::hub::is_name;
use crate::config::AddUpscalerConfig;
use trial::Trial;

/// Largest `model.json` and largest shard that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// What the card says that the model does.
const TAG: &str = "image-upscaling";

/// A network in the package.
struct Network {
    factor: UpscaleFactor,
    built: Enlarging,
    /// The same with weights of 16 bits, which fewer bits are measured against.
    halved: Enlarging,
}

/// Makes the package and says on `report` what is in it.
///
/// # Errors
/// A sentence on what is wrong with the folders, or why the package cannot be written; no package is there then.
pub(super) fn add(config: &AddUpscalerConfig, report: &mut dyn Write) -> anyhow::Result<()> {
    let id = config.id.split_once('/');
    let named = id.filter(|(owner, name)| is_name(owner) && is_name(name));
    let (creator, name) =
        named.with_context(|| format!("{:?} is no id of the form owner/name", config.id))?;
    ensure!(
        config.white.is_finite() && config.white > 0.0,
        "--white is {}; it is a number above 0",
        config.white
    );
    let folders = config.folders.iter();
    let networks: Vec<Network> = folders
        .map(|folder| {
            let failed = || format!("{} cannot be made a package", folder.display());
            read(folder, config.weights).with_context(failed)
        })
        .collect::<anyhow::Result<_>>()?;
    let models_dir = &config.packages.models_dir;
    let _claim = Claim::take(models_dir, &config.id)?;
    sweep(models_dir, &config.id)?;
    let folder = Unnamed::new(models_dir, &config.id)?;
    let mut stated = Stated {
        format: FORMAT,
        kind: KIND.to_owned(),
        id: config.id.clone(),
        name: config.name.clone().unwrap_or_else(|| name.to_owned()),
        creator: creator.to_owned(),
        version: config.version.clone(),
        summary: config.summary.clone(),
        license: config.license.clone(),
        paper: None,
        enlargements: Vec::new(),
        files: Vec::new(),
    };
    let mut card = CardFile {
        id: config.id.clone(),
        tags: vec![TAG.to_owned()],
        ..CardFile::default()
    };
    for network in networks {
        let (one, files) = described(&network, &network.built, config.white);
        let tried = Trial::new(&stated, &network, config.white).run(report)?;
        let overlap = tried.overlap;
        for (name, bytes) in &files {
            let path = folder.path().join(name);
            fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
            stated.files.push(entry(name, bytes));
        }
        writeln!(
            report,
            "×{}: {} numbers in {:.1} MB; parts overlap by {overlap} pixels of at most {}; {} from weights of 16 bits",
            network.factor,
            network.built.parameters,
            files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() as f64 / 1e6,
            network.built.reach,
            psnr(tried.mean_square_error),
        )?;
        let weights = SmallerWeights {
            kind: config.weights.name().to_owned(),
            bytes_before: 4 * network.built.parameters,
            mean_square_error: Some(tried.mean_square_error),
        };
        card.weights.insert(format!("x{}", network.factor), weights);
        stated.enlargements.push(Enlargement { overlap, ..one });
    }
    let json = pretty(&stated)?;
    UpscalerManifest::parse(&json)?;
    fs::write(folder.path().join(MANIFEST), json)?;
    fs::write(folder.path().join(CARD), pretty(&card)?)?;
    let target = folder.finish()?;
    writeln!(report, "{} is in {}", config.id, target.display())?;
    Ok(())
}

/// Reads the network in a folder.
fn read(folder: &Path, kind: Kind) -> anyhow::Result<Network> {
    let json = bounded(&folder.join("model.json"))?;
    let json: Value = serde_json::from_slice(&json).context("model.json is no JSON")?;
    let mut shards = BTreeMap::new();
    for name in layers::shards(&json)? {
        ensure!(
            is_name(&name),
            "model.json names {name:?}, which is no file beside it"
        );
        let bytes = bounded(&folder.join(&name))?;
        shards.insert(name, bytes);
    }
    let mut shard = |name: &str| Ok(shards.remove(name).unwrap_or_default());
    let layers = Layers::read(&json, &mut shard)?;
    // The factor is known once it is built.
    let halved = layers.build("halved", Kind::F16)?;
    let times = u32::try_from(halved.factor).unwrap_or_default();
    let factor = UpscaleFactor::try_from(times)
        .with_context(|| format!("it makes pictures {times} times as large"))?;
    let built = layers.build(&format!("x{factor}"), kind)?;
    Ok(Network {
        factor,
        built,
        halved,
    })
}

fn bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("reading {}", path.display());
    let bytes = fs::metadata(path).with_context(failed)?.len();
    ensure!(
        bytes <= MAX_FILE_BYTES,
        "{} has {bytes} bytes, more than {MAX_FILE_BYTES}",
        path.display()
    );
    fs::read(path).with_context(failed)
}

/// How a network stands in the manifest, and its files.
fn described<'n>(
    network: &Network,
    built: &'n Enlarging,
    white: f32,
) -> (Enlargement, [(String, &'n [u8]); 2]) {
    let file = format!("x{}.onnx", network.factor);
    let external = BTreeMap::from([(built.location.clone(), built.location.clone())]);
    let one = Enlargement {
        factor: network.factor,
        file: file.clone(),
        external,
        input: layers::INPUT.to_owned(),
        output: layers::OUTPUT.to_owned(),
        white,
        overlap: 0,
    };
    let files = [
        (file, &*built.graph),
        (built.location.clone(), &*built.weights),
    ];
    (one, files)
}

fn entry(name: &str, bytes: &[u8]) -> FileEntry {
    FileEntry {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}

/// A package of one network, in memory.
fn package(
    stated: &Stated,
    network: &Network,
    built: &Enlarging,
    white: f32,
    overlap: usize,
) -> anyhow::Result<UpscalerPackage> {
    let (one, files) = described(network, built, white);
    let entries = files.iter().map(|(name, bytes)| entry(name, bytes));
    let stated = Stated {
        files: entries.collect(),
        enlargements: vec![Enlargement { overlap, ..one }],
        ..stated.clone()
    };
    let files = files.map(|(name, bytes)| (name, bytes.to_vec()));
    let json = pretty(&stated)?;
    Ok(UpscalerPackage::from_files(&json, HashMap::from(files))?)
}

#[cfg(test)]
mod tests;
