//! What a picture of a package costs, counted from its graphs.

use std::borrow::Cow;
use std::path::Path;

use anyhow::Context;
use diffusion::Manifest;
use diffusion::manifest::{Bindings, Graph, ImageSize, Port, TextRun};
use diffusion::tokenizer::TextSettings;
use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::weights::{Folder, Reading, WeightSource};
use onnx_gpu::{Cost, dry_cost_within};
use protocol::{ModelWork, Work};

/// A graph of a package on a disk.
#[derive(Clone, Copy)]
pub(crate) struct OnDisk<'p> {
    pub dir: &'p Path,
    pub manifest: &'p Manifest,
    pub graph: &'p Graph,
}

impl OnDisk<'_> {
    /// The bytes of its file, without those of its external data.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        let file = &self.graph.file;
        std::fs::read(self.dir.join(file)).with_context(|| format!("reading {file}"))
    }

    /// The symbols of its ports for a picture of this size, with texts as long as they get.
    pub fn bindings(&self, size: ImageSize) -> Bindings {
        let rows = self.graph.inputs.first().map_or(1, Port::rows);
        let runs = self.manifest.conditioning.iter();
        let mut own = runs.clone().filter(|run| {
            self.manifest
                .graph(&run.graph)
                .is_ok_and(|g| g == self.graph)
        });
        // An encoder reads whole texts; others are given what is kept of them.
        let text = |run: &TextRun| self.manifest.texts.get(&run.text);
        let tokens = match own.next() {
            Some(run) => text(run).map_or(1, |text| text.length),
            None => runs
                .clone()
                .next()
                .and_then(text)
                .map_or(1, TextSettings::kept),
        };
        self.manifest.bindings(size, rows, tokens)
    }

    /// What a run costs.
    ///
    /// # Errors
    /// When the graph cannot be read or planned.
    pub fn cost(&self, bindings: &Bindings) -> anyhow::Result<Cost> {
        self.planned(None, &self.open(bindings))
    }

    /// What a run costs whose open dimensions `open` gives, by input and place.
    ///
    /// # Errors
    /// As [`Self::cost`].
    pub fn cost_with(&self, open: &dyn Fn(&str, usize) -> usize) -> anyhow::Result<Cost> {
        self.planned(None, open)
    }

    /// [`Self::cost`] with at most so many bytes of its weights on the device.
    ///
    /// # Errors
    /// As [`Self::cost`].
    pub fn cost_within(&self, bindings: &Bindings, weights: u64) -> anyhow::Result<Cost> {
        self.planned(Some(weights), &self.open(bindings))
    }

    fn open<'a>(&'a self, bindings: &'a Bindings) -> impl Fn(&str, usize) -> usize + 'a {
        move |name: &str, place: usize| {
            let shape = self.graph.input(name).map(|port| bindings.shape(port));
            shape
                .and_then(|shape| shape.get(place).copied())
                .unwrap_or(1)
        }
    }

    fn planned(
        &self,
        weights_budget: Option<u64>,
        open: &dyn Fn(&str, usize) -> usize,
    ) -> anyhow::Result<Cost> {
        let files = Located {
            folder: Folder::new(self.dir),
            dir: self.dir,
            graph: self.graph,
        };
        let bytes = self.bytes()?;
        let class = AdapterClass::Hardware;
        dry_cost_within(&bytes, &files, class, weights_budget, open)
            .with_context(|| format!("planning {}", self.graph.file))
    }
}

/// External data by the locations that a graph names.
struct Located<'g> {
    folder: Folder,
    dir: &'g Path,
    graph: &'g Graph,
}

impl Located<'_> {
    fn file<'a>(&'a self, location: &'a str) -> &'a str {
        let file = self.graph.external.get(location);
        file.map_or(location, String::as_str)
    }
}

impl Located<'_> {
    /// Whether a file is elsewhere: what it holds is not looked at then.
    fn is_absent(&self, file: &str) -> bool {
        !self.dir.join(self.file(file)).exists()
    }
}

impl WeightSource for Located<'_> {
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        if self.is_absent(file) {
            return Box::pin(std::future::ready(Ok(u64::MAX)));
        }
        self.folder.size(self.file(file))
    }

    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        if self.is_absent(file) {
            let zeros = Cow::Owned(vec![0; length]);
            return Box::pin(std::future::ready(Ok(zeros)));
        }
        self.folder.read(self.file(file), offset, length)
    }
}

/// Plans every graph for a GPU, without one, and adds up what its dispatches compute for a picture of the default size and
/// guidance.
///
/// # Errors
/// When a graph cannot be read or planned.
pub fn count(dir: &Path, manifest: &Manifest) -> anyhow::Result<ModelWork> {
    let size = manifest.sizes.default;
    let of = |name: &str| -> anyhow::Result<(Work, usize)> {
        let graph = manifest.graph(name)?;
        let on_disk = OnDisk {
            dir,
            manifest,
            graph,
        };
        let bindings = on_disk.bindings(size);
        let cost = on_disk.cost(&bindings)?;
        let work = Work {
            flops: cost.flops,
            dispatches: cost.dispatches as u64,
        };
        Ok((work, bindings.rows))
    };
    let add = |sum: &mut Work, work: Work, times: u64| {
        sum.flops += times * work.flops;
        sum.dispatches += times * work.dispatches;
    };
    let prompts = |rows: usize| runs(manifest, rows);
    let mut work = ModelWork::default();
    for run in &manifest.conditioning {
        let (encoder, rows) = of(&run.graph)?;
        add(&mut work.once, encoder, prompts(rows));
    }
    add(&mut work.once, of(&manifest.decoder.graph)?.0, 1);
    let (denoiser, rows) = of(&manifest.denoiser.graph)?;
    add(&mut work.per_step, denoiser, prompts(rows));
    Ok(work)
}

/// Runs of a graph that takes `rows` prompts at once, for a picture at the default guidance.
pub(crate) fn runs(manifest: &Manifest, rows: usize) -> u64 {
    let guided = manifest.guidance.is_free()
        && manifest.guidance.factor(manifest.defaults.guidance_scale) > 1.0;
    if guided && rows < 2 { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    /// A decoder of convolutions that takes any height and width.
    const TILES: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/diffusion/tests/data/tiles"
    );

    fn flops(side: usize) -> u64 {
        let glyph = include_bytes!("../../../models/glyph/manifest.json");
        let port =
            json!({"name": "latent_sample", "dtype": "float32", "shape": [1, 4, side, side]});
        let graph = json!({"file": "decoder.onnx", "inputs": [port], "outputs": []});
        let on_disk = OnDisk {
            dir: TILES.as_ref(),
            manifest: &Manifest::parse(glyph).unwrap(),
            graph: &serde_json::from_value(graph).unwrap(),
        };
        let size = on_disk.manifest.sizes.default;
        on_disk.cost(&on_disk.bindings(size)).unwrap().flops
    }

    #[test]
    fn a_side_twice_as_long_costs_four_times_as_much() {
        let ratio = flops(32) as f64 / flops(16) as f64;
        assert!((3.9..16.0).contains(&ratio), "{ratio}");
    }
}
