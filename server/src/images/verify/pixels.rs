//! The zlib stream of the pixels, walked to its end (PNG specification, third edition, sections 7.2, 8 and 10).
//!
//! Decoders stop when they have the last row; whatever a stream or its chunks hold beyond would be stored and served.

use flate2::{Decompress, FlushDecompress, Status};

use super::NotAPicture;

/// What zlib's `compressBound` adds to the raw bytes at most, as a share and in bytes, for the worst of encoders.
const STORED_SHARE: u64 = 256;
const STORED_BYTES: u64 = 64;
/// First column and row, and steps, of the passes of an interlaced picture (8.2, Adam7).
const PASSES: [(u32, u32, u32, u32); 7] = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
];

/// Size and form of the pixels.
#[derive(Debug)]
pub struct Header {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    bits_per_pixel: u64,
    interlaced: bool,
}

impl Header {
    /// Reads the data of `IHDR` (11.2.1). `None` where it is no such data.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&width, rest) = data.split_first_chunk::<4>()?;
        let (&height, rest) = rest.split_first_chunk::<4>()?;
        let &[depth, color, 0, 0, interlace] = rest else {
            return None;
        };
        let channels = match color {
            0 | 3 => 1,
            2 => 3,
            4 => 2,
            6 => 4,
            _ => return None,
        };
        Some(Self {
            width: u32::from_be_bytes(width),
            height: u32::from_be_bytes(height),
            bits_per_pixel: channels * u64::from(depth),
            interlaced: interlace == 1,
        })
    }

    /// Bytes of all rows, each with its filter.
    fn raw_bytes(&self) -> u64 {
        let rows = |width: u32, height: u32| {
            let row = 1 + (u64::from(width) * self.bits_per_pixel).div_ceil(8);
            if width == 0 {
                0
            } else {
                u64::from(height) * row
            }
        };
        if !self.interlaced {
            return rows(self.width, self.height);
        }
        let part = |side: u32, first: u32, step: u32| side.saturating_sub(first).div_ceil(step);
        PASSES
            .iter()
            .map(|&(x, y, dx, dy)| rows(part(self.width, x, dx), part(self.height, y, dy)))
            .sum()
    }
}

/// Decompresses the stream, which is cut into `parts`: it must hold exactly the rows, and end with the last part.
pub fn walk(header: &Header, parts: &[&[u8]]) -> Result<(), NotAPicture> {
    let raw = header.raw_bytes();
    let compressed: u64 = parts.iter().map(|part| part.len() as u64).sum();
    if compressed > raw + raw / STORED_SHARE + STORED_BYTES {
        return Err(NotAPicture::Hidden(
            "its pixels take more room than without compression",
        ));
    }
    let mut stream = Decompress::new(true);
    let mut rows = vec![0; 32 << 10];
    for (i, part) in parts.iter().enumerate() {
        let mut rest = *part;
        while !rest.is_empty() {
            let (before, made) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(rest, &mut rows, FlushDecompress::None)
                .map_err(|error| NotAPicture::Undecodable(format!("its pixels: {error}")))?;
            if stream.total_out() > raw {
                return Err(NotAPicture::Hidden(
                    "there are more rows than the picture has",
                ));
            }
            let read = usize::try_from(stream.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(read..).unwrap_or_default();
            if status == Status::StreamEnd {
                let last = rest.is_empty() && i + 1 == parts.len();
                return match (last, stream.total_out() == raw) {
                    (false, _) => Err(NotAPicture::Hidden("something follows the pixels")),
                    (true, false) => {
                        Err(NotAPicture::Undecodable("it has too few rows".to_owned()))
                    }
                    (true, true) => Ok(()),
                };
            }
            if read == 0 && stream.total_out() == made {
                return Err(NotAPicture::Undecodable(
                    "its pixels do not go on".to_owned(),
                ));
            }
        }
    }
    // The last bytes may only fill the window.
    drain(&mut stream, &mut rows, raw)
}

/// Takes what is still in the stream's window; it must come to its end by that.
fn drain(stream: &mut Decompress, rows: &mut [u8], raw: u64) -> Result<(), NotAPicture> {
    loop {
        let made = stream.total_out();
        let status = stream
            .decompress(&[], rows, FlushDecompress::None)
            .map_err(|error| NotAPicture::Undecodable(format!("its pixels: {error}")))?;
        if stream.total_out() > raw {
            return Err(NotAPicture::Hidden(
                "there are more rows than the picture has",
            ));
        }
        if status == Status::StreamEnd && stream.total_out() == raw {
            return Ok(());
        }
        if stream.total_out() == made {
            return Err(NotAPicture::Undecodable(
                "its pixels are cut off".to_owned(),
            ));
        }
    }
}
