//! Where weights come from, and how they reach the device without passing through main memory as a whole.
//!
//! A model's graph is parsed without its raw data. Constants of up to [`MAX_HOST_BYTES`] are read into main memory, where
//! shapes and attributes are computed from them; every other constant is read in chunks of [`CHUNK`] bytes straight into its
//! buffer on the device and kept there as it lies in the file: 16-bit floats stay 16 bits wide, quantised integers stay packed.
//! While a model loads, main memory holds the graph, the small constants and at most two chunks; nothing of that grows with
//! the size of a weight. In Chromium 1.14 GB of 16-bit weights pass through a wasm heap of 5.7 MB
//! (`end2end/tests/weights.spec.ts`, which refuses 256 MB).

mod bytes;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
#[cfg(target_arch = "wasm32")]
mod http;
mod packing;
mod skeleton;
mod small;

use std::borrow::Cow;
use std::pin::Pin;

pub use bytes::Bytes;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::Folder;
#[cfg(target_arch = "wasm32")]
pub use http::HttpRanges;
pub(crate) use packing::device_chunk;
pub use skeleton::skeleton;
pub(crate) use small::{Constants, read_small};

use crate::error::Result;
use crate::gpu::{Buffer, Uploader};
use crate::proto::{Contents, Initializer, Location, Storage};
pub use crate::tensor::Packing;
use crate::tensor::{DType, Tensor};

/// Largest constant that is kept in main memory, in bytes; integers, which describe shapes, may be sixteen times as large.
pub const MAX_HOST_BYTES: u64 = 64 << 10;
/// Bytes of a weight that are read at a time.
pub const CHUNK: usize = 4 << 20;

/// What a [`WeightSource`] promises; futures are `Send` except in a browser.
#[cfg(not(target_arch = "wasm32"))]
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
/// What a [`WeightSource`] promises; futures are `Send` except in a browser.
#[cfg(target_arch = "wasm32")]
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// Files that can be read by ranges: the model's folder on a disk, on a web server or in memory.
///
/// Paths are relative, use `/`, and never leave the folder: the parser refuses a model that asks for such a path.
pub trait WeightSource: wgpu::WasmNotSendSync {
    /// Size of a file in bytes.
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64>;

    /// Exactly `length` bytes from `offset` on; a file that ends before is an error.
    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>>;
}

/// A graph's own bytes and the files beside it.
pub(crate) struct Origin<'a> {
    pub graph: &'a [u8],
    pub files: &'a dyn WeightSource,
}

impl<'a> Origin<'a> {
    /// `length` bytes of a location from `skip` on.
    pub async fn read(
        &self,
        location: &'a Location,
        skip: u64,
        length: usize,
    ) -> Result<Cow<'a, [u8]>> {
        let offset = location.offset + skip;
        match &location.file {
            None => bytes::slice(self.graph, "the model", offset, length).map(Cow::Borrowed),
            Some(file) => {
                let data = self.files.read(file, offset, length).await?;
                if data.len() == length {
                    Ok(data)
                } else {
                    Err(ended(file, offset, length))
                }
            }
        }
    }
}

fn ended(file: &str, offset: u64, length: usize) -> crate::Error {
    crate::Error::new(
        crate::ErrorKind::Io,
        format!("{file} ends before the {length} bytes at {offset}"),
    )
}

/// A constant that lives on the device only.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    pub shape: Vec<usize>,
    pub dtype: DType,
    pub packing: Packing,
    contents: Initializer,
}

impl Weight {
    pub fn new(contents: Initializer) -> Self {
        // A parsed tensor has the computing type already.
        let packing = match &contents.contents {
            Contents::Known(_) => packing::of_tensor(contents.storage),
            Contents::Stored(_) => packing::of_file(contents.storage),
        };
        Self {
            shape: contents.shape.clone(),
            dtype: contents.storage.dtype(),
            packing,
            contents,
        }
    }

    /// Drops the elements, where main memory holds them.
    pub fn forget(&mut self) {
        if let Contents::Known(_) = self.contents.contents {
            self.contents.contents = Contents::Stored(Location {
                file: None,
                offset: 0,
                length: 0,
            });
        }
    }

    /// Whether the elements are in a file, to be read at any time.
    pub fn is_in_file(&self) -> bool {
        matches!(self.contents.contents, Contents::Stored(_))
    }

    /// Whether single rows can be read from its file: of floats, entries of the first axis.
    pub fn has_rows(&self) -> bool {
        let floats = matches!(
            self.contents.storage,
            Storage::F32 | Storage::F16 | Storage::BF16
        );
        floats && self.is_in_file() && !self.shape.is_empty()
    }

    /// Bytes in the file.
    pub fn file_bytes(&self) -> u64 {
        self.contents.bytes()
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.packing.bytes(self.contents.elements())
    }

    /// Position in the files, for reading in order.
    pub fn location(&self) -> Option<(&Option<String>, u64)> {
        match &self.contents.contents {
            Contents::Known(_) => None,
            Contents::Stored(location) => Some((&location.file, location.offset)),
        }
    }

    /// The rows at `places`, one behind the other in 32-bit words. Each is read once, neighbours together.
    ///
    /// # Errors
    /// Whatever the source reports.
    pub async fn rows(&self, origin: &Origin<'_>, places: &[usize]) -> Result<Vec<u8>> {
        let name = &self.contents.name;
        let fail = |e: crate::Error| e.about(format_args!("table '{name}'"));
        let Contents::Stored(location) = &self.contents.contents else {
            return Err(crate::error::invalid_model("a table is in no file"));
        };
        let width: usize = self.shape.iter().skip(1).product();
        let storage = self.contents.storage;
        let row = storage.bytes(width)? as usize;
        // Where each row goes, in the order of the file.
        let mut wanted: Vec<(usize, usize)> = places.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut raw = vec![0; row * places.len()];
        let mut rest = wanted.as_slice();
        while let Some(&(first, _)) = rest.first() {
            let most = first.saturating_add((CHUNK / row.max(1)).max(1));
            let mut end = first;
            let near = |(place, _): &&(usize, usize)| {
                let near = *place <= end && *place < most;
                end = end.max(place + 1);
                near
            };
            let count = rest.iter().take_while(near).count();
            let (run, behind) = rest.split_at(count);
            let last = run.last().map_or(first, |(place, _)| *place);
            let length = row * (last + 1 - first);
            let bytes = origin.read(location, (first * row) as u64, length).await;
            let bytes = bytes.map_err(fail)?;
            for (place, index) in run {
                let from = (place - first) * row;
                raw[index * row..][..row].copy_from_slice(&bytes[from..from + row]);
            }
            rest = behind;
        }
        let tensor = storage.tensor(&[places.len(), width], &raw)?;
        tensor.to_gpu_bytes()
    }

    /// Reads the elements into `buffer`, chunk by chunk.
    ///
    /// # Errors
    /// Whatever the source or the device reports, [`crate::ErrorKind::Limit`] for an int64 beyond 32 bits.
    pub async fn load(
        &self,
        origin: &Origin<'_>,
        buffer: &Buffer,
        uploader: &mut Uploader,
    ) -> Result<()> {
        let name = &self.contents.name;
        let fail = |e: crate::Error| e.about(format_args!("weight '{name}'"));
        let location = match &self.contents.contents {
            Contents::Known(tensor) => {
                let data = known(tensor)?;
                return uploader.write(buffer, 0, &data).await.map_err(fail);
            }
            Contents::Stored(location) => location,
        };
        let (mut at, mut to) = (0, 0);
        while at < location.length {
            let length = (location.length - at).min(CHUNK as u64) as usize;
            let raw = origin.read(location, at, length).await.map_err(fail)?;
            let data = device_chunk(self.contents.storage, raw).map_err(fail)?;
            uploader.write(buffer, to, &data).await.map_err(fail)?;
            at += length as u64;
            to += data.len() as u64;
        }
        Ok(())
    }
}

/// A tensor in main memory as [`packing::of_tensor`] says.
fn known(tensor: &Tensor) -> Result<Cow<'_, [u8]>> {
    use crate::tensor::Data;
    Ok(match tensor.data() {
        Data::F32(v) => Cow::Borrowed(bytemuck::cast_slice(v)),
        Data::F16(v) => Cow::Borrowed(bytemuck::cast_slice(v)),
        Data::BF16(v) => Cow::Borrowed(bytemuck::cast_slice(v)),
        _ => Cow::Owned(tensor.to_gpu_bytes()?),
    })
}
