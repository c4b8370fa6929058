//! Chooses tiles by measuring them on the adapter.

use super::clock::Clock;
use super::{Buffer, Gpu, Recording};
use crate::error::Result;
use crate::kernels::conv2d::{Conv2d, Residual, conv2d};
use crate::kernels::matmul::{MatMul, matmul};
use crate::kernels::{Activation, AdapterClass, Extent, Format, Launch, Tile, Tiles};

/// Where measured tables are kept: a file, the local storage of a page.
pub trait TileStore: wgpu::WasmNotSendSync {
    /// What [`TileStore::save`] kept last under this key.
    fn load(&self, key: &str) -> Option<String>;

    /// Keeps a table under a key.
    ///
    /// # Errors
    /// Whatever keeps it from being kept.
    fn save(&self, key: &str, tiles: &str) -> Result<()>;
}

/// Version of the shaders and of what they are measured on: tables of another one are not used.
const VERSION: u32 = 1;
/// Runs of one candidate after the first.
const RUNS: usize = 3;
/// How much slower than the best so far a first run may be to be repeated.
const HOPELESS: f64 = 2.0;

impl Gpu {
    /// Sets the table of tiles for plans that are made from now on to the one that `store` has for this adapter, or else to the
    /// fastest tiles, measured in some seconds and stored.
    ///
    /// # Errors
    /// Whatever the device or the store reports. A stored text that is no table counts as none.
    pub async fn tune(&self, store: &dyn TileStore) -> Result<Tiles> {
        let key = self.tuning_key();
        let known = store.load(&key).and_then(|text| text.parse::<Tiles>().ok());
        let tiles = match known.filter(|tiles| tiles.class() == self.class()) {
            Some(tiles) => tiles,
            None => {
                let tiles = self.fastest_tiles(|_| {}).await?;
                store.save(&key, &tiles.to_string())?;
                tiles
            }
        };
        self.set_tiles(tiles);
        Ok(tiles)
    }

    /// What a table is stored under: everything that its numbers depend on.
    pub fn tuning_key(&self) -> String {
        let info = self.info();
        format!(
            "{VERSION} {} {:x} {} {}",
            info.backend, info.vendor, info.name, info.driver
        )
    }

    /// The fastest tile for products and convolutions of each extent; `report` sees every measurement.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn fastest_tiles(&self, mut report: impl FnMut(&TileTime)) -> Result<Tiles> {
        let mut tiles = Tiles::from(self.class());
        for convolution in [false, true] {
            for extent in Extent::ALL {
                let mut best: Option<TileTime> = None;
                for tile in candidates(extent, convolution) {
                    let trial = if convolution {
                        tiles.with_convolution(extent, tile)
                    } else {
                        tiles.with_product(extent, tile)
                    };
                    let (launch, sizes) = probe(extent, convolution, &trial)?;
                    let limit = best
                        .as_ref()
                        .map_or(f64::INFINITY, |b| b.seconds * HOPELESS);
                    let time = TileTime {
                        convolution,
                        extent,
                        tile,
                        flops: launch.flops,
                        seconds: self.seconds(launch, &sizes, limit).await?,
                    };
                    report(&time);
                    if best.as_ref().is_none_or(|b| time.seconds < b.seconds) {
                        best = Some(time);
                        tiles = trial;
                    }
                }
            }
        }
        Ok(tiles)
    }

    /// The shortest of a few runs; of one if that took longer than `limit`.
    async fn seconds(&self, launch: Launch, sizes: &[usize], limit: f64) -> Result<f64> {
        let mut buffers: Vec<Buffer> = Vec::with_capacity(sizes.len());
        for &size in sizes {
            buffers.push(self.allocate(size as u64 * 4, "tuning").await?);
        }
        let recording = Recording::new(self, &[(launch, buffers)]).await?;
        recording.execute().await?;
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            let start = Clock::start();
            recording.execute().await?;
            best = best.min(start.seconds());
            if best > limit {
                break;
            }
        }
        Ok(best)
    }
}

/// What one tile took.
#[derive(Clone, Debug)]
pub struct TileTime {
    /// Whether it was measured on a convolution, else on a product.
    pub convolution: bool,
    /// The extent of what was computed.
    pub extent: Extent,
    /// The tile.
    pub tile: Tile,
    /// Operations.
    pub flops: u64,
    /// The shortest run.
    pub seconds: f64,
}

fn candidates(extent: Extent, convolution: bool) -> impl Iterator<Item = Tile> {
    Tile::ALL.into_iter().filter(move |tile| match *tile {
        Tile::Direct { columns: 128, .. } if convolution => false,
        Tile::Direct { rows, .. } => match extent {
            Extent::Row => rows == 1,
            Extent::Few => (4..=8).contains(&rows),
            Extent::Small | Extent::Large => rows >= 4,
        },
        Tile::Shared { .. } => matches!(extent, Extent::Small | Extent::Large),
    })
}

/// A launch of an extent with the elements of its buffers. Less work where it takes long.
fn probe(extent: Extent, convolution: bool, tiles: &Tiles) -> Result<(Launch, Vec<usize>)> {
    let hardware = tiles.class() == AdapterClass::Hardware;
    if !convolution {
        let (m, n, k) = match (extent, hardware) {
            (Extent::Row, _) => (1, 1280, 1280),
            (Extent::Few, _) => (8, 640, 640),
            (Extent::Small, _) => (64, 640, 640),
            (Extent::Large, false) => (256, 1280, 160),
            (Extent::Large, true) => (1024, 1280, 1280),
        };
        let launch = matmul(&MatMul::new(m, n, k), *tiles)?;
        return Ok((launch, vec![m * k, k * n, m * n]));
    }
    let (from, to, size) = match (extent, hardware) {
        (Extent::Row, _) => (32, 1, 64),
        (Extent::Few, _) => (64, 4, 64),
        (Extent::Small, _) => (160, 160, 16),
        (Extent::Large, false) => (32, 80, 64),
        (Extent::Large, true) => (320, 320, 64),
    };
    let geometry = Conv2d {
        batch: 1,
        in_channels: from,
        in_h: size,
        in_w: size,
        out_channels: to,
        kernel: [3; 2],
        strides: [1; 2],
        pads: [1; 4],
        dilations: [1; 2],
        groups: 1,
        bias: false,
        residual: Residual::None,
        upsample: false,
        activation: Activation::None,
        weights: Format::F32,
    };
    let pixels = size * size;
    let sizes = vec![from * pixels, to * from * 9, to * pixels];
    Ok((conv2d(&geometry, *tiles)?, sizes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_probe_is_of_its_extent_and_uses_the_tile_under_test() {
        for class in [AdapterClass::Software, AdapterClass::Hardware] {
            for convolution in [false, true] {
                for extent in Extent::ALL {
                    let mut keys = std::collections::HashSet::new();
                    for tile in candidates(extent, convolution) {
                        let tiles = Tiles::from(class);
                        let tiles = if convolution {
                            tiles.with_convolution(extent, tile)
                        } else {
                            tiles.with_product(extent, tile)
                        };
                        let (launch, sizes) = probe(extent, convolution, &tiles).unwrap();
                        assert!(launch.key.contains(&tile.to_string()), "{}", launch.key);
                        assert_eq!(sizes.len(), launch.bindings);
                        assert!(keys.insert(launch.key), "{tile} is measured twice");
                    }
                    assert!(keys.len() > usize::from(!convolution));
                }
            }
        }
    }
}
