//! From latents to the picture, at once or in tiles.

use super::tiles::{Blender, Tile, Tiles, cut, tile_sides};
use super::{pause, run};
use crate::cancel::Cancel;
use crate::engine::{Model, Stepper, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Dim, ImageSize, Manifest, Port};
use crate::picture::Picture;
use crate::tensor::Tensor;

/// When to decode in tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    /// In tiles of this side, in latents, whatever the device offers.
    pub side: Option<usize>,
    /// Also where tiles only take less memory.
    pub sparing: bool,
}

/// A decoder about to make a picture.
#[derive(Clone, Copy)]
pub(super) struct Decoding<'d> {
    pub manifest: &'d Manifest,
    pub decoder: &'d dyn Model,
    pub size: ImageSize,
}

#[derive(Clone, Copy)]
struct Ports<'m> {
    /// `[1, c, h, w]`
    input: &'m Port,
    /// `[1, 3, height, width]`
    output: &'m Port,
}

impl<'d> Decoding<'d> {
    /// Decodes `latents`, in tiles if `tiling` asks for it or if the engine's device does not offer what
    /// the decoder needs for the whole picture. Before each tile `cancel` is looked at.
    pub async fn decode(
        self,
        stepper: &dyn Stepper,
        latents: &Value,
        tiling: Tiling,
        cancel: &Cancel,
    ) -> Result<Picture> {
        let coder = &self.manifest.decoder;
        let graph = self.manifest.graph(&coder.graph)?;
        let (Some(input), Some(output)) = (graph.inputs.first(), graph.outputs.first()) else {
            return Err(Error::package("the decoder has no ports"));
        };
        let ports = Ports { input, output };
        let latents = if coder.shift == 0.0 {
            stepper.scale(latents, 1.0 / coder.scale, 1).await?
        } else {
            let shape = latents.shape().to_vec();
            let values = latents.clone().into_tensor().await?.into_f32()?;
            let own = values.into_iter().map(|x| x / coder.scale + coder.shift);
            stepper.upload(Tensor::f32(&shape, own.collect())?).await?
        };
        if let Some(tiles) = self.choose(input, tiling)? {
            let latents = latents.into_tensor().await?.into_f32()?;
            return self.in_tiles(ports, &tiles, &latents, cancel).await;
        }
        let bindings = self.manifest.bindings(self.size, 1, 0);
        let inputs = vec![(&*input.name, latents)];
        let image = one(run(self.decoder, inputs, &[output], &bindings).await?)?;
        let image = image.into_tensor().await?.into_f32()?;
        Picture::from_planar(self.size.width, self.size.height, &image)
    }

    /// The side of the tiles that the picture is decoded in, in latents, if not at once.
    pub fn tile(self, tiling: Tiling) -> Result<Option<usize>> {
        let graph = self.manifest.graph(&self.manifest.decoder.graph)?;
        let Some(input) = graph.inputs.first() else {
            return Err(Error::package("the decoder has no ports"));
        };
        Ok(self.choose(input, tiling)?.map(|tiles| tiles.side()))
    }

    /// The tiles to decode in, if not at once.
    fn choose(self, input: &Port, tiling: Tiling) -> Result<Option<Tiles>> {
        let [c, h, w] = self.manifest.latents_of(self.size);
        let shape = |[height, width]: [usize; 2]| [1, c, height, width];
        let takes = |tiles: &Tiles| self.decoder.takes(&input.name, &shape(tiles.largest()));
        if let Some(side) = tiling.side {
            let tiles = Tiles::new(side, [h, w], self.size)?;
            if !takes(&tiles) {
                let message = "the decoder takes latents of one size, so it cannot be run on tiles";
                return Err(Error::new(ErrorKind::InvalidRequest, message));
            }
            return Ok(Some(tiles).filter(|tiles| !tiles.is_one()));
        }
        let candidates: Vec<Tiles> = tile_sides([h, w])
            .into_iter()
            .filter_map(|side| Tiles::new(side, [h, w], self.size).ok())
            .filter(takes)
            .collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        let memory = |size| self.decoder.memory(&[(&input.name, &shape(size))]);
        let Some(whole) = memory([h, w])? else {
            return Ok(None);
        };
        if whole.fits && !tiling.sparing {
            return Ok(None);
        }
        // A graph that declares open sizes and cannot be planned for others is run whole, as one of fixed sizes.
        let smaller = |tiles: &Tiles| match memory(tiles.largest()) {
            Ok(Some(part)) => part.fits && (!whole.fits || part.bytes < whole.bytes),
            Ok(None) | Err(_) => false,
        };
        Ok(candidates.into_iter().find(smaller))
    }

    async fn in_tiles(
        self,
        ports: Ports<'_>,
        tiles: &Tiles,
        latents: &[f32],
        cancel: &Cancel,
    ) -> Result<Picture> {
        let shape @ [c, ..] = self.manifest.latents_of(self.size);
        let mut picture = Picture::black(self.size.width, self.size.height);
        let mut blender = Blender::new(tiles);
        let mut planned = None;
        for row in tiles.rows() {
            for (index, column) in tiles.columns().into_iter().enumerate() {
                pause(cancel).await?;
                let part = [row.length, column.length];
                // Tiles at the edges have plans of their own; all of them together may take more than the whole picture.
                if planned.replace(part) != Some(part) {
                    self.decoder.trim();
                }
                let [height, width] = tiles.pixels(part);
                let output = Port {
                    shape: [1, 3, height, width].map(Dim::Is).to_vec(),
                    ..ports.output.clone()
                };
                let latents = cut(latents, shape, row, column);
                let latents = Tensor::f32(&[1, c, row.length, column.length], latents)?;
                let inputs = vec![(&*ports.input.name, latents.into())];
                let bindings = self.manifest.bindings(self.size, 1, 0);
                let image = one(run(self.decoder, inputs, &[&output], &bindings).await?)?;
                let tile = Tile {
                    height,
                    width,
                    planes: image.into_tensor().await?.into_f32()?,
                };
                let tile = blender.blend(index, tile);
                let corner = tiles.pixels([row.start, column.start]);
                picture.put(corner, [tile.height, tile.width], &tile.planes)?;
            }
        }
        Ok(picture)
    }
}

fn one(values: Vec<Value>) -> Result<Value> {
    let first = values.into_iter().next();
    first.ok_or_else(|| Error::engine("the decoder gave no picture"))
}
