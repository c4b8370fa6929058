//! Pictures made larger by a network, in parts that fit any device.
//!
//! A network is given parts of the picture that overlap, and of each answer what lies far enough from the part's ends is kept, so that
//! the whole is what the network would make of the whole picture at once: nothing is blended, and there is no seam. How far is far
//! enough is [`Enlargement::overlap`], which is measured when a package is made. Memory is that of one part, and of the two pictures.

pub mod manifest;
mod windows;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use protocol::{MAX_UPSCALED_SIDE, Progress, UpscaleFactor};

use crate::cancel::Cancel;
use crate::engine::{Engine, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::files::Files;
use crate::package;
use crate::picture::Picture;
use crate::tensor::Tensor;
use crate::yielding::yield_now;

pub use manifest::{Enlargement, UpscalerManifest};
use windows::{Span, spans};

/// Pixels a side of a part without its overlaps, the first that the device offers memory for.
const CORES: [usize; 4] = [160, 96, 48, 16];
/// Most device memory that a part may take where a smaller one takes less.
const PART_BYTES: u64 = 512 << 20;

/// A verified package of the kind `upscaler`.
pub struct UpscalerPackage {
    /// The checked manifest.
    pub manifest: UpscalerManifest,
    files: Arc<dyn Files>,
}

impl fmt::Debug for UpscalerPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UpscalerPackage")
            .field(&self.manifest.id)
            .finish()
    }
}

impl UpscalerPackage {
    /// Takes fetched files by name, as [`crate::Package::from_files`] does.
    ///
    /// # Errors
    /// Those of [`crate::Package::from_files`].
    pub fn from_files(manifest_json: &[u8], files: HashMap<String, Vec<u8>>) -> Result<Self> {
        let manifest = UpscalerManifest::parse(manifest_json)?;
        let files = package::in_memory(manifest.files.iter(), files)?;
        Ok(Self { manifest, files })
    }

    /// A package whose files `files` answers for: it vouches that their bytes are those that the manifest names.
    pub fn from_source(manifest: UpscalerManifest, files: Box<dyn Files>) -> Self {
        let files = files.into();
        Self { manifest, files }
    }

    /// Opens a folder, as [`crate::Package::from_dir`] does.
    ///
    /// # Errors
    /// Those of [`crate::Package::from_dir`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_dir(dir: &std::path::Path) -> Result<Self> {
        let manifest = UpscalerManifest::parse(&package::manifest_in(dir)?)?;
        let files = package::in_folder(dir, manifest.files.iter())?;
        Ok(Self { manifest, files })
    }
}

/// A network on an engine.
pub struct Upscaler {
    model: Box<dyn Model>,
    enlargement: Enlargement,
    backend: String,
    adapter: String,
}

impl fmt::Debug for Upscaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upscaler")
            .field(&self.enlargement.file)
            .finish()
    }
}

impl Upscaler {
    /// Loads the network that makes pictures `factor` times as large.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a factor that the package does not have; as [`Engine::load_graph`].
    pub async fn load(
        package: &UpscalerPackage,
        factor: UpscaleFactor,
        engine: &dyn Engine,
    ) -> Result<Self> {
        let enlargement = package.manifest.enlargement(factor)?.clone();
        let (component, graph) = (format!("enlargement by {factor}"), enlargement.graph());
        let model = engine
            .load_graph(&component, &graph, &package.files, None)
            .await?;
        Ok(Self {
            model,
            enlargement,
            backend: engine.backend(),
            adapter: engine.adapter(),
        })
    }

    /// See [`Engine::backend`].
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// See [`Engine::adapter`].
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// Makes a picture larger, part by part; after each, `report` is told how many are done, and before each, `cancel` is looked
    /// at. A part is so many pixels a side as `core` says, its overlaps not counted; without it as many as the device offers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a picture without pixels, one that would have more than [`MAX_UPSCALED_SIDE`] a side, and a
    /// core of 0; [`ErrorKind::Cancelled`]; [`ErrorKind::NotFinite`] for an answer that is none; as [`Model::run`].
    pub async fn run(
        &self,
        picture: &Picture,
        core: Option<usize>,
        report: &mut dyn FnMut(Progress),
        cancel: &Cancel,
    ) -> Result<Picture> {
        let size = [picture.height as usize, picture.width as usize];
        let (width, height) = self.size_of(picture)?;
        let window = self.window(size, core)?;
        let [rows, columns] = size.map(|length| spans(length, window, self.enlargement.overlap));
        let total = rows.len() * columns.len();
        let mut larger = Picture::black(width, height);
        let mut progress = Progress {
            step: 0,
            total_steps: u32::try_from(total).unwrap_or(u32::MAX),
        };
        for row in &rows {
            for column in &columns {
                cancel.check()?;
                yield_now().await;
                cancel.check()?;
                self.part(picture, [row, column], &mut larger).await?;
                progress.step += 1;
                report(progress);
            }
        }
        Ok(larger)
    }

    fn size_of(&self, picture: &Picture) -> Result<(u32, u32)> {
        let Picture { width, height, .. } = *picture;
        let factor = self.enlargement.factor;
        let pixels = (width as usize).checked_mul(height as usize);
        let bytes = pixels.and_then(|pixels| pixels.checked_mul(3));
        let whole = width > 0 && height > 0 && bytes == Some(picture.rgb.len());
        let larger = factor.of(width, height).filter(|_| whole);
        larger.ok_or_else(|| {
            let message = format!(
                "a picture of {width} x {height} pixels cannot be made {factor} times as large: it has a pixel at least, and no \
                 side becomes longer than {MAX_UPSCALED_SIDE}"
            );
            Error::new(ErrorKind::InvalidRequest, message)
        })
    }

    /// Pixels a side of what the network sees at a time.
    fn window(&self, size: [usize; 2], core: Option<usize>) -> Result<usize> {
        let around = |core: usize| core.saturating_add(2 * self.enlargement.overlap);
        match core {
            Some(0) => {
                let message = "a part of a picture has a pixel at least";
                return Err(Error::new(ErrorKind::InvalidRequest, message));
            }
            Some(core) => return Ok(around(core)),
            None => {}
        }
        let mut smallest = around(CORES[0]);
        for core in CORES {
            smallest = around(core);
            let [h, w] = size.map(|length| length.min(smallest));
            let shape = [1, 3, h, w];
            match self.model.memory(&[(&*self.enlargement.input, &shape)])? {
                Some(memory) if !memory.fits || memory.bytes > PART_BYTES => {}
                Some(_) | None => break,
            }
        }
        Ok(smallest)
    }

    /// Makes a part and puts what is kept of it into its place.
    async fn part(
        &self,
        picture: &Picture,
        [row, column]: [&Span; 2],
        larger: &mut Picture,
    ) -> Result<()> {
        let one = &self.enlargement;
        let times = one.factor.times() as usize;
        let shape = [1, 3, row.seen.len(), column.seen.len()];
        let planes = planes(picture, &row.seen, &column.seen, one.white);
        let inputs = vec![(&*one.input, Tensor::f32(&shape, planes)?)];
        let outputs = self.model.run(inputs).await?;
        let answer = outputs.into_iter().find(|(name, _)| *name == one.output);
        let (_, answer) = answer
            .ok_or_else(|| Error::engine(format!("the network gave no output {:?}", one.output)))?;
        let wanted = [1, 3, times * row.seen.len(), times * column.seen.len()];
        if answer.shape() != wanted {
            let message = format!(
                "the network gave {:?} instead of {wanted:?}",
                answer.shape()
            );
            return Err(Error::engine(message));
        }
        let answer = answer.into_f32()?;
        let scaled = |range: &Range<usize>| times * range.start..times * range.end;
        let within = |span: &Span| {
            scaled(&(span.kept.start - span.seen.start..span.kept.end - span.seen.start))
        };
        let [_, _, height, width] = wanted;
        let (rows, columns) = (within(row), within(column));
        let mut kept = Vec::with_capacity(3 * rows.len() * columns.len());
        for plane in answer.chunks_exact(height * width) {
            for line in plane.chunks_exact(width).take(rows.end).skip(rows.start) {
                // As a decoder gives pictures: from -1 to 1.
                kept.extend(
                    line[columns.clone()]
                        .iter()
                        .map(|x| x / one.white * 2.0 - 1.0),
                );
            }
        }
        let corner = [times * row.kept.start, times * column.kept.start];
        larger.put(corner, [rows.len(), columns.len()], &kept)
    }
}

/// A part of a picture as `[3, height, width]`, from 0 to `white`.
fn planes(picture: &Picture, rows: &Range<usize>, columns: &Range<usize>, white: f32) -> Vec<f32> {
    let width = picture.width as usize;
    let mut planes = Vec::with_capacity(3 * rows.len() * columns.len());
    for channel in 0..3 {
        for y in rows.clone() {
            let line = &picture.rgb[3 * (y * width + columns.start)..3 * (y * width + columns.end)];
            let values = line.iter().skip(channel).step_by(3);
            planes.extend(values.map(|byte| f32::from(*byte) / 255.0 * white));
        }
    }
    planes
}
