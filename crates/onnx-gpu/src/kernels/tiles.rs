//! How products and convolutions are cut into workgroups: a small table per adapter class, which measurements on the adapter
//! itself may replace ([`crate::Gpu::tune`]).

use std::fmt;
use std::str::FromStr;

use super::AdapterClass;
use crate::{Error, ErrorKind, Result};

/// The part of an output that one workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// Without workgroup memory: 16 invocations, each `rows` rows of 4 or 8 columns that lie 16 apart.
    Direct {
        /// 1, 4, 8 or 16.
        rows: usize,
        /// 64 or 128; a convolution takes 64.
        columns: usize,
    },
    /// Through workgroup memory: a square of 32 or 64 rows and columns, 4 by 4 of them per invocation.
    Shared {
        /// 32 or 64.
        side: usize,
    },
}

impl Tile {
    /// Every tile that there are shaders for.
    pub const ALL: [Self; 10] = [
        direct(1, 64),
        direct(1, 128),
        direct(4, 64),
        direct(4, 128),
        direct(8, 64),
        direct(8, 128),
        direct(16, 64),
        direct(16, 128),
        Self::Shared { side: 32 },
        Self::Shared { side: 64 },
    ];

    /// Rows of the output in one workgroup.
    pub fn rows(self) -> usize {
        match self {
            Self::Direct { rows, .. } => rows,
            Self::Shared { side } => side,
        }
    }

    /// Turns of an invocation for a sum of `length` products: one for each, or of 16 at a time one for each, those that load them
    /// and the ends of both loops.
    pub(super) fn turns(self, length: usize) -> usize {
        match self {
            Self::Direct { .. } => length.saturating_add(32),
            Self::Shared { .. } => length.div_ceil(16).saturating_mul(24),
        }
    }

    /// Columns of the output in one workgroup.
    pub fn columns(self) -> usize {
        match self {
            Self::Direct { columns, .. } => columns,
            Self::Shared { side } => side,
        }
    }
}

const fn direct(rows: usize, columns: usize) -> Tile {
    Tile::Direct { rows, columns }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { rows, columns } => write!(f, "direct{rows}x{columns}"),
            Self::Shared { side } => write!(f, "tiled{side}x{side}"),
        }
    }
}

/// What tiles are chosen by: rows are those of the product or the output channels, columns those or the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// One row: a vector times a matrix, a depthwise convolution.
    Row,
    /// Up to eight rows.
    Few,
    /// Too little output to keep a processor busy with large tiles.
    Small,
    /// The rest.
    Large,
}

/// Elements of an output that 64 tiles of 64 by 64 hold.
const SMALL: usize = 64 * 64 * 64;

impl Extent {
    /// In the order of the table.
    pub const ALL: [Self; 4] = [Self::Row, Self::Few, Self::Small, Self::Large];

    /// Of an output matrix, `count` times over.
    pub fn of(rows: usize, columns: usize, count: usize) -> Self {
        match rows {
            0..=1 => Self::Row,
            2..=8 => Self::Few,
            _ if rows < 16 || rows.saturating_mul(columns).saturating_mul(count) <= SMALL => {
                Self::Small
            }
            _ => Self::Large,
        }
    }
}

/// A tile per extent for products and for convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    class: AdapterClass,
    products: [Tile; 4],
    convolutions: [Tile; 4],
}

impl From<AdapterClass> for Tiles {
    fn from(class: AdapterClass) -> Self {
        let (products, convolutions) = match class {
            // Barriers are what costs, and registers hold a tile of any size.
            AdapterClass::Software => (
                [
                    direct(1, 64),
                    direct(4, 128),
                    direct(16, 128),
                    direct(16, 128),
                ],
                [direct(1, 64), direct(4, 64), direct(16, 64), direct(16, 64)],
            ),
            AdapterClass::Hardware => (
                [
                    direct(1, 64),
                    direct(4, 64),
                    Tile::Shared { side: 32 },
                    Tile::Shared { side: 64 },
                ],
                [
                    direct(1, 64),
                    direct(4, 64),
                    Tile::Shared { side: 32 },
                    Tile::Shared { side: 64 },
                ],
            ),
        };
        Self {
            class,
            products,
            convolutions,
        }
    }
}

impl Tiles {
    /// The class of the adapter, which other kernels are chosen by.
    pub fn class(&self) -> AdapterClass {
        self.class
    }

    /// The tile of `count` products of `rows` by `columns`.
    pub fn product(&self, rows: usize, columns: usize, count: usize) -> Tile {
        match self.products[Extent::of(rows, columns, count) as usize] {
            Tile::Direct { rows, .. } if columns <= 64 => direct(rows, 64),
            tile => tile,
        }
    }

    /// The tile of a convolution to `channels` channels of `pixels` pixels, for each of `count` images and groups.
    pub fn convolution(&self, channels: usize, pixels: usize, count: usize) -> Tile {
        self.convolutions[Extent::of(channels, pixels, count) as usize]
    }

    /// With another tile for products of an extent.
    #[must_use]
    pub fn with_product(mut self, extent: Extent, tile: Tile) -> Self {
        self.products[extent as usize] = tile;
        self
    }

    /// With another tile for convolutions of an extent, of 64 columns if it is [`Tile::Direct`].
    #[must_use]
    pub fn with_convolution(mut self, extent: Extent, tile: Tile) -> Self {
        self.convolutions[extent as usize] = match tile {
            Tile::Direct { rows, .. } => direct(rows, 64),
            shared @ Tile::Shared { .. } => shared,
        };
        self
    }
}

impl fmt::Display for Tiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.class)?;
        self.products
            .iter()
            .chain(&self.convolutions)
            .try_for_each(|tile| write!(f, " {tile}"))
    }
}

impl FromStr for Tiles {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::new(ErrorKind::Parse, format!("'{text}' is no table of tiles"));
        let mut words = text.split_ascii_whitespace();
        let class = match words.next() {
            Some("Software") => AdapterClass::Software,
            Some("Hardware") => AdapterClass::Hardware,
            _ => return Err(refuse()),
        };
        let mut tiles = Self::from(class);
        for products in [true, false] {
            for extent in Extent::ALL {
                let word = words.next().ok_or_else(refuse)?;
                let tile = Tile::ALL
                    .into_iter()
                    .find(|tile| tile.to_string() == word)
                    .ok_or_else(refuse)?;
                tiles = if products {
                    tiles.with_product(extent, tile)
                } else {
                    tiles.with_convolution(extent, tile)
                };
            }
        }
        match words.next() {
            None => Ok(tiles),
            Some(_) => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table_is_read_back_as_it_was_written() {
        for class in [AdapterClass::Software, AdapterClass::Hardware] {
            let tiles = Tiles::from(class)
                .with_product(Extent::Few, direct(8, 128))
                .with_convolution(Extent::Large, Tile::Shared { side: 32 });
            assert_eq!(tiles.to_string().parse::<Tiles>().unwrap(), tiles);
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let good = Tiles::from(AdapterClass::Software).to_string();
        for text in [
            "",
            "Software",
            "Toaster direct1x64",
            &good.replace("direct4x128", "direct4096x64"),
            &format!("{good} direct1x64"),
            good.trim_end_matches(" direct16x64"),
        ] {
            let error = text.parse::<Tiles>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Parse, "{text}");
        }
    }

    #[test]
    fn outputs_have_extents() {
        assert_eq!(Extent::of(1, 1 << 20, 1), Extent::Row);
        assert_eq!(Extent::of(8, 1 << 20, 1), Extent::Few);
        assert_eq!(Extent::of(64, 64, 1), Extent::Small);
        assert_eq!(Extent::of(64, 64, 65), Extent::Large);
        assert_eq!(Extent::of(usize::MAX, 2, 2), Extent::Large);
    }
}
