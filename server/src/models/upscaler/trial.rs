//! A picture made larger with a new package: by every engine, whole and in parts, with its weights and with those of 16 bits.

use std::io::Write;

use anyhow::{Context, ensure};
use diffusion::upscale::manifest::{MAX_OVERLAP, Stated};
use diffusion::{Cancel, CpuEngine, Engine, Picture, TOLERANCE, Upscaler};
use futures::executor::block_on;
use protocol::psnr;

use super::{Network, package};
use crate::models::add::trial::engines;

/// Pixels a side of the picture.
const SIDE: u32 = 64;
/// Pixels a side of what engines are compared by: a software GPU takes its time.
const SMALL: u32 = 16;
/// Pixels a side of its parts.
const CORE: usize = 16;
/// Overlaps that are tried where a pixel reaches farther, the narrowest first.
const OVERLAPS: [usize; 8] = [8, 12, 16, 24, 32, 48, 64, MAX_OVERLAP];
/// Of so many bytes one at most may be another where parts are seen; that byte is off by one.
const SAME: usize = 2000;
/// Mean square of what the larger picture, made smaller again, is off by: 20 dB.
const LARGEST_ERROR: f64 = 255.0 * 255.0 / 100.0;

/// What is to be tried.
pub(super) struct Trial<'n> {
    stated: &'n Stated,
    network: &'n Network,
    white: f32,
    picture: Picture,
}

/// What was found.
pub(super) struct Tried {
    /// Pixels by which parts have to overlap.
    pub overlap: usize,
    /// Mean square of the differences from the picture by weights of 16 bits.
    pub mean_square_error: f64,
}

impl<'n> Trial<'n> {
    pub fn new(stated: &'n Stated, network: &'n Network, white: f32) -> Self {
        Self {
            stated,
            network,
            white,
            picture: shapes(SIDE),
        }
    }

    /// # Errors
    /// When an engine does not run it, two of them do not agree, what is made is not the picture made larger, or no overlap is wide
    /// enough.
    pub fn run(&self, report: &mut dyn Write) -> anyhow::Result<Tried> {
        let factor = self.network.factor;
        let processor = CpuEngine::new();
        let whole = self.larger(&processor, &self.picture, 0, None)?;
        let again = shrunk(&whole, factor.times());
        let error = again.mean_square_error(&self.picture);
        let error = error.context("the picture has another size")?;
        ensure!(
            error <= LARGEST_ERROR,
            "a picture made {factor} times as large and small again is not what it was ({}); is white {}? --white says it",
            psnr(error),
            self.white
        );
        let small = shapes(SMALL);
        let expected = self.larger(&processor, &small, 0, None)?;
        for engine in engines(report)? {
            let made = self.larger(&*engine, &small, 0, None)?;
            let difference = made.max_difference(&expected);
            ensure!(
                difference.is_some_and(|difference| difference <= TOLERANCE),
                "{} and {} make two pictures",
                engine.backend(),
                processor.backend()
            );
        }
        let halved = package(
            self.stated,
            self.network,
            &self.network.halved,
            self.white,
            0,
        )?;
        let halved = block_on(Upscaler::load(&halved, factor, &processor))?;
        let halved = run(&halved, &self.picture, None)?;
        let mean_square_error = whole.mean_square_error(&halved);
        Ok(Tried {
            overlap: self.overlap(&processor, &whole)?,
            mean_square_error: mean_square_error.context("the pictures have two sizes")?,
        })
    }

    /// The narrowest overlap by which parts make the picture that is made at once.
    fn overlap(&self, engine: &dyn Engine, whole: &Picture) -> anyhow::Result<usize> {
        let reach = self.network.built.reach;
        for overlap in OVERLAPS.into_iter().filter(|overlap| *overlap < reach) {
            let parts = self.larger(engine, &self.picture, overlap, Some(CORE))?;
            let bytes = parts.rgb.iter().zip(&whole.rgb);
            let others = bytes.filter(|(one, other)| one != other).count();
            let close = parts.max_difference(whole).is_some_and(|most| most <= 1);
            if close && others * SAME <= whole.rgb.len() {
                return Ok(overlap);
            }
        }
        ensure!(
            reach <= MAX_OVERLAP,
            "each of its pixels depends on those {reach} pixels away, and parts that overlap by {MAX_OVERLAP} show seams"
        );
        Ok(reach)
    }

    fn larger(
        &self,
        engine: &dyn Engine,
        picture: &Picture,
        overlap: usize,
        core: Option<usize>,
    ) -> anyhow::Result<Picture> {
        let built = &self.network.built;
        let package = package(self.stated, self.network, built, self.white, overlap)?;
        let failed = || format!("{} does not run it", engine.backend());
        let upscaler = block_on(Upscaler::load(&package, self.network.factor, engine));
        run(&upscaler.with_context(failed)?, picture, core).with_context(failed)
    }
}

fn run(upscaler: &Upscaler, picture: &Picture, core: Option<usize>) -> anyhow::Result<Picture> {
    let (mut report, cancel) = (|_| (), Cancel::default());
    Ok(block_on(upscaler.run(picture, core, &mut report, &cancel))?)
}

/// Edges, slopes and fine lines in several colours.
fn shapes(side: u32) -> Picture {
    let mut rgb = Vec::with_capacity(side as usize * side as usize * 3);
    for y in 0..side {
        for x in 0..side {
            let slope = |at: u32| (at * 255 / side) as u8;
            let (across, down) = (2 * x as i64 - side as i64, 2 * y as i64 - side as i64);
            let inside = across * across + down * down < (side as i64 * side as i64) / 2;
            let line = (x / 3 + y / 5) % 4 == 0;
            rgb.extend(match (inside, line) {
                (true, true) => [230, 60, 40],
                (true, false) => [slope(x), 200, slope(y)],
                (false, true) => [20, 30, 90],
                (false, false) => [240, slope(y), slope(x)],
            });
        }
    }
    Picture {
        width: side,
        height: side,
        rgb,
    }
}

/// The picture with the mean of `times` by `times` pixels for each.
fn shrunk(picture: &Picture, times: u32) -> Picture {
    let [width, height] = [picture.width / times, picture.height / times];
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let pixels = (0..times * times).map(|at| {
                    let (y, x) = (y * times + at / times, x * times + at % times);
                    let at = 3 * (y as usize * picture.width as usize + x as usize) + channel;
                    u32::from(picture.rgb[at])
                });
                rgb.push((pixels.sum::<u32>() / (times * times)) as u8);
            }
        }
    }
    Picture { width, height, rgb }
}
