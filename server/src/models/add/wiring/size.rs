//! Sizes of latents and pictures, and the ports that have them.

use anyhow::{Context, ensure};
use diffusion::manifest::{ImageSize, Latents, Symbol};
use onnx_gpu::proto::ValueInfo;
use protocol::ModelSizes;
use serde_json::Value;

use super::super::graph::{Graph, Place, Wired, fixed, port};
use super::super::layout::Part;
use super::super::pipeline::Family;
use super::super::sizes;
use super::{Reader, number};

/// Levels of a denoiser without a configuration, as Stable Diffusion's has them.
const LEVELS: usize = 4;
/// Sizes that SDXL was trained on, by `[width, height]` (Podell et al., arXiv:2307.01952, appendix I), those in use.
const XL_BUCKETS: [[u32; 2]; 9] = [
    [1024, 1024],
    [1152, 896],
    [896, 1152],
    [1216, 832],
    [832, 1216],
    [1344, 768],
    [768, 1344],
    [1536, 640],
    [640, 1536],
];

impl Reader<'_> {
    /// Pixels per latent: the autoencoder halves a picture between its blocks.
    pub(in super::super) fn stride(&self) -> anyhow::Result<usize> {
        let config = self.config(Part::VaeDecoder)?;
        let blocks = config
            .get("block_out_channels")
            .or_else(|| config.get("decoder_block_out_channels"))
            .and_then(Value::as_array);
        Ok(1 << blocks.map_or(3, |blocks| blocks.len().saturating_sub(1).min(6)))
    }

    /// Channels of the latents and the size of the picture.
    pub(super) fn size_of(
        &self,
        unet: &Graph,
        decoder: &Graph,
        stride: usize,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<(usize, ImageSize)> {
        let config = self.config(Part::Unet)?;
        let sample = unet.input("the latents", &["sample", "latents"])?;
        let answer = unet.output("the answer", &["out_sample", "sample"])?;
        let z = decoder.input("the latents", &["latent_sample", "latents", "z"])?;
        let by_pipeline = self.pipeline.fixed();
        // 4 is the default of UNet2DConditionModel, where it has a configuration at all.
        let stated = number(&config, "out_channels")
            .or(config.is_object().then_some(4))
            .or(by_pipeline.map(|fixed| fixed.channels));
        let channels = fixed(z, 1).or_else(|| fixed(answer, 1)).or(stated);
        let channels = channels
            .context("neither graphs nor unet/config.json say the channels of the latents")?;
        let takes = seen(sample, &config, channels);
        ensure!(
            takes == channels || takes == 2 * channels + 1,
            "the denoiser takes {takes} channels and gives {channels}: only a mask and a picture can be given beside the latents"
        );
        let declared = sizes::stated(&config, self.pipeline)?;
        let pixels = |place: usize, side: Option<usize>| -> anyhow::Result<u32> {
            let side = fixed(sample, place).or(side).with_context(|| {
                "neither the graph nor unet/config.json says the size of the latents: --size says that of the picture".to_owned()
            })?;
            Ok(u32::try_from(side * stride)?)
        };
        if let Some(size) = self.size {
            return Ok((channels, size));
        }
        let [height, width] = match (declared, by_pipeline) {
            (Some(stated), _) => stated.sides.map(Some),
            (None, Some(fixed)) => [Some(fixed.side); 2],
            (None, None) => [None; 2],
        };
        if fixed(sample, 2).is_none() {
            notes.extend(declared.and_then(|stated| stated.note(self.pipeline)));
        }
        let size = ImageSize {
            height: pixels(2, height)?,
            width: pixels(3, width)?,
        };
        Ok((channels, size))
    }

    /// Sizes beside the default one: a denoiser halves the latents between its blocks, and sides have to stand that.
    pub(super) fn other_sizes(
        &self,
        default: ImageSize,
        stride: usize,
    ) -> anyhow::Result<ModelSizes> {
        let config = self.config(Part::Unet)?;
        let blocks = config.get("block_out_channels").and_then(Value::as_array);
        let levels = blocks.map_or(LEVELS, Vec::len).clamp(1, 6);
        let multiple_of = u32::try_from(stride << (levels - 1))?;
        let ImageSize { width, height } = default;
        let longer = width.max(height);
        let xl = self.pipeline.family == Family::StableDiffusionXl && longer == 1024;
        let sizes = ModelSizes {
            multiple_of,
            min_side: multiple_of.max(longer / 4).next_multiple_of(multiple_of),
            max_side: (2 * longer).next_multiple_of(multiple_of),
            max_pixels: 2 * u64::from(width) * u64::from(height),
            buckets: if xl { XL_BUCKETS.to_vec() } else { Vec::new() },
        };
        ensure!(
            sizes.allows(width, height),
            "pictures of {width} x {height} pixels are no multiple of {multiple_of}, which the denoiser's {levels} levels need"
        );
        Ok(sizes)
    }
}

/// Channels that the denoiser takes.
pub(super) fn seen(sample: &ValueInfo, config: &Value, channels: usize) -> usize {
    let stated = fixed(sample, 1).or(number(config, "in_channels"));
    stated.unwrap_or(channels)
}

/// Sizes of pictures and latents.
pub(in super::super) struct Spatial<'l> {
    pub latents: &'l Latents,
    pub size: ImageSize,
}

impl Spatial<'_> {
    pub fn latents(&self) -> [Place; 4] {
        let [channels, height, width] = self.latents.shape(self.size);
        [
            Place::Rows,
            Place::Is(channels),
            Place::Varies(Symbol::Height, height),
            Place::Varies(Symbol::Width, width),
        ]
    }

    pub fn image(&self) -> [Place; 4] {
        let [height, width] = self.size.pixels();
        [
            Place::Rows,
            Place::Is(3),
            Place::Varies(Symbol::PixelHeight, height),
            Place::Varies(Symbol::PixelWidth, width),
        ]
    }

    pub fn decoder(&self, graph: Graph) -> anyhow::Result<Wired> {
        let input = graph.input("the latents", &["latent_sample", "latents", "z"])?;
        let output = graph.output("the picture", &["sample", "image"])?;
        graph.has_only(&[&input.name])?;
        Ok(Wired {
            inputs: vec![port(&graph, input, &self.latents())?],
            outputs: vec![port(&graph, output, &self.image())?],
            graph,
        })
    }

    /// Gives latents, or their mean and the logarithm of their variance one behind the other.
    pub fn encoder(&self, graph: Graph) -> anyhow::Result<Wired> {
        let input = graph.input("the picture", &["sample", "image"])?;
        let wanted = ["latent_parameters", "latent_sample", "latents"];
        let output = graph.output("the latents", &wanted)?;
        graph.has_only(&[&input.name])?;
        let mut latents = self.latents();
        if output.name == wanted[0] {
            latents[1] = Place::Is(2 * self.latents.channels);
        }
        Ok(Wired {
            inputs: vec![port(&graph, input, &self.image())?],
            outputs: vec![port(&graph, output, &latents)?],
            graph,
        })
    }
}
