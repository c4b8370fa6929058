//! A picture in overlapping tiles: where they lie, and how they become one.
//!
//! The scheme is that of `AutoencoderKL.tiled_decode` of [diffusers](https://github.com/huggingface/diffusers), 0.42: every
//! tile repeats a quarter of its neighbours above and to the left, and there goes over from them linearly.

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::ImageSize;

/// A quarter of a tile overlaps the next one.
const OVERLAP: usize = 4;

/// Sides of tiles, in latents, that latents of a height and width are decoded in where they cannot be at once: a half
/// and a quarter of the longer one, in whole quarters, the larger first.
pub fn tile_sides([height, width]: [usize; 2]) -> Vec<usize> {
    let longer = height.max(width);
    let mut sides = [2, 4].map(|part| longer.div_ceil(part).next_multiple_of(OVERLAP));
    sides.sort_unstable_by(|a, b| b.cmp(a));
    let mut sides = sides.to_vec();
    sides.dedup();
    sides.retain(|&side| side < longer);
    sides
}

/// Part of an axis, in latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub length: usize,
}

/// Square tiles over latents; those at the right and at the bottom are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    side: usize,
    latents: [usize; 2],
    /// Pixels per latent, down and across.
    scale: [usize; 2],
}

impl Tiles {
    /// Tiles of `side` latents.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a side that is not in whole quarters, or a picture that is not in whole pixels per
    /// latent.
    pub fn new(side: usize, latents: [usize; 2], image: ImageSize) -> Result<Self> {
        let invalid = |message| Err(Error::new(ErrorKind::InvalidRequest, message));
        if side == 0 || !side.is_multiple_of(OVERLAP) {
            return invalid(format!(
                "a tile has {OVERLAP}, {}, … latents a side, not {side}",
                2 * OVERLAP
            ));
        }
        let pixels = [image.height as usize, image.width as usize];
        let axes = || latents.iter().zip(pixels);
        if axes().any(|(&n, pixels)| !pixels.is_multiple_of(n)) {
            return invalid(format!(
                "{pixels:?} pixels are no multiple of {latents:?} latents"
            ));
        }
        let [h, w] = latents;
        Ok(Self {
            side,
            latents,
            scale: [pixels[0] / h, pixels[1] / w],
        })
    }

    /// Latents along a side of a tile.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Whether one tile is all.
    pub fn is_one(&self) -> bool {
        self.latents.iter().all(|&n| n <= self.side)
    }

    /// Rows of tiles, from the top.
    pub fn rows(&self) -> Vec<Span> {
        self.spans(self.latents[0])
    }

    /// Columns of tiles, from the left.
    pub fn columns(&self) -> Vec<Span> {
        self.spans(self.latents[1])
    }

    fn spans(&self, size: usize) -> Vec<Span> {
        let span = |start| Span {
            start,
            length: self.side.min(size - start),
        };
        (0..size).step_by(self.stride()).map(span).collect()
    }

    fn stride(&self) -> usize {
        self.side - self.side / OVERLAP
    }

    /// Height and width of the largest tile, in latents.
    pub fn largest(&self) -> [usize; 2] {
        self.latents.map(|n| n.min(self.side))
    }

    /// Pixels of so many latents, down and across.
    pub fn pixels(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        [height * self.scale[0], width * self.scale[1]]
    }
}

/// The part of `latents`, `[channels, height, width]`, below one tile.
pub(super) fn cut(
    latents: &[f32],
    [_, height, width]: [usize; 3],
    row: Span,
    column: Span,
) -> Vec<f32> {
    let planes = latents.chunks_exact(height * width);
    planes
        .flat_map(|plane| plane.chunks_exact(width).skip(row.start).take(row.length))
        .flat_map(|line| &line[column.start..column.start + column.length])
        .copied()
        .collect()
}

/// Pixels, `[channels, height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tile {
    pub height: usize,
    pub width: usize,
    pub planes: Vec<f32>,
}

impl Tile {
    fn lines(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let lines = self.planes.chunks_exact(self.width).enumerate();
        lines.map(|(i, line)| (i % self.height, line))
    }

    /// The part from `top` and `left` on, of at most `height` and `width`.
    fn part(&self, [top, left]: [usize; 2], [height, width]: [usize; 2]) -> Self {
        let height = height.min(self.height - top);
        let width = width.min(self.width - left);
        let lines = self
            .lines()
            .filter(|(y, _)| (top..top + height).contains(y));
        Self {
            height,
            width,
            planes: lines
                .flat_map(|(_, line)| &line[left..left + width])
                .copied()
                .collect(),
        }
    }

    /// Goes over from the last lines of `above` within the first `extent` lines.
    fn blend_down(&mut self, above: &Self, extent: usize) {
        let extent = extent.min(above.height).min(self.height);
        let channels = above
            .planes
            .chunks_exact(above.height * above.width)
            .zip(self.planes.chunks_exact_mut(self.height * self.width));
        for (above, own) in channels {
            let last = &above[above.len() - extent * self.width..];
            for (i, (above, own)) in last.iter().zip(own).enumerate() {
                *own = mix(*above, *own, i / self.width, extent);
            }
        }
    }

    /// Goes over from the last columns of `left` within the first `extent` columns.
    fn blend_across(&mut self, left: &Self, extent: usize) {
        let extent = extent.min(left.width).min(self.width);
        let lines = left
            .planes
            .chunks_exact(left.width)
            .zip(self.planes.chunks_exact_mut(self.width));
        for (left, own) in lines {
            let last = &left[left.len() - extent..];
            for (x, (left, own)) in last.iter().zip(own).enumerate() {
                *own = mix(*left, *own, x, extent);
            }
        }
    }
}

/// This form of the mean leaves what is equal as it is.
fn mix(before: f32, own: f32, at: usize, extent: usize) -> f32 {
    before + (own - before) * (at as f32 / extent as f32)
}

/// Joins tiles, given from left to right and from top to bottom. It keeps the edges that the next ones go over from.
pub(super) struct Blender {
    overlap: [usize; 2],
    limit: [usize; 2],
    above: Vec<Tile>,
    below: Vec<Tile>,
    left: Option<Tile>,
}

impl Blender {
    /// For one picture in `tiles`.
    pub fn new(tiles: &Tiles) -> Self {
        Self {
            overlap: tiles.pixels([tiles.side / OVERLAP; 2]),
            limit: tiles.pixels([tiles.stride(); 2]),
            above: Vec::new(),
            below: Vec::new(),
            left: None,
        }
    }

    /// The picture's pixels from this tile's upper left corner up to the next tiles.
    pub fn blend(&mut self, column: usize, mut tile: Tile) -> Tile {
        if column == 0 {
            self.above = std::mem::take(&mut self.below);
            self.left = None;
        }
        let [down, across] = self.overlap;
        if let Some(above) = self.above.get(column) {
            tile.blend_down(above, down);
        }
        if let Some(left) = &self.left {
            tile.blend_across(left, across);
        }
        let (height, width) = (tile.height, tile.width);
        let all = [usize::MAX; 2];
        self.below
            .push(tile.part([height.saturating_sub(down), 0], all));
        self.left = Some(tile.part([0, width.saturating_sub(across)], all));
        tile.part([0, 0], self.limit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    fn tiles(side: usize, latents: [usize; 2], scale: [usize; 2]) -> Tiles {
        let image = ImageSize {
            height: (latents[0] * scale[0]) as u32,
            width: (latents[1] * scale[1]) as u32,
        };
        Tiles::new(side, latents, image).unwrap()
    }

    /// The picture of `decode`, which turns a tile of latents `[channels, h, w]` into pixels; `None` where nothing was put.
    fn join(
        tiles: &Tiles,
        latents: &[f32],
        channels: usize,
        mut decode: impl FnMut(&[f32], [usize; 2]) -> Vec<f32>,
    ) -> Vec<Option<f32>> {
        let [h, w] = tiles.latents;
        let [height, width] = tiles.pixels([h, w]);
        let mut picture = vec![None; channels * height * width];
        let mut blender = Blender::new(tiles);
        for row in tiles.rows() {
            for (index, column) in tiles.columns().into_iter().enumerate() {
                let size = [row.length, column.length];
                let part = cut(latents, [channels, h, w], row, column);
                let [tile_height, tile_width] = tiles.pixels(size);
                let tile = Tile {
                    height: tile_height,
                    width: tile_width,
                    planes: decode(&part, size),
                };
                let tile = blender.blend(index, tile);
                let [top, left] = tiles.pixels([row.start, column.start]);
                for (i, &x) in tile.planes.iter().enumerate() {
                    let (line, at) = (i / tile.width, i % tile.width);
                    let (channel, y) = (line / tile.height, line % tile.height);
                    let to = (channel * height + top + y) * width + left + at;
                    assert_eq!(picture[to].replace(x), None, "a pixel is put twice");
                }
            }
        }
        picture
    }

    fn nearest(latents: &[f32], [_, w]: [usize; 2], [down, across]: [usize; 2]) -> Vec<f32> {
        let lines = latents.chunks_exact(w).flat_map(|line| {
            let wide = line.iter().flat_map(|&x| std::iter::repeat_n(x, across));
            std::iter::repeat_n(wide.collect::<Vec<_>>(), down)
        });
        lines.flatten().collect()
    }

    proptest! {
        /// A decoder whose pixels depend on their own latent alone does not see that there are tiles.
        #[test]
        fn nearest_neighbours_come_out_exactly(
            quarters in 1usize..6, h in 1usize..40, w in 1usize..40, down in 1usize..5, across in 1usize..5, seed in any::<u64>()
        ) {
            let tiles = tiles(4 * quarters, [h, w], [down, across]);
            let latents = crate::noise::randn(seed, 0, 2 * h * w);
            let scale = [down, across];
            let joined = join(&tiles, &latents, 2, |part, size| nearest(part, size, scale));
            let whole = nearest(&latents, [h, w], scale);
            prop_assert_eq!(joined, whole.into_iter().map(Some).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_overlap_is_a_straight_line_from_one_tile_to_the_next() {
        // Tiles of 8 latents start at 0 and 6; the first one is 0 and the second one is 1.
        let across = tiles(8, [1, 14], [1, 2]);
        let mut value = -1.0;
        let joined = join(&across, &[0.0; 14], 1, |_, [_, w]| {
            value += 1.0;
            vec![value; 2 * w]
        });
        let joined: Vec<f32> = joined.into_iter().map(Option::unwrap).collect();
        assert_eq!(across.columns().len(), 3);
        assert_eq!(joined[..12], [0.0; 12]);
        assert_eq!(joined[12..16], [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(joined[16..24], [1.0; 8]);
        assert_eq!(joined[24..], [1.0, 1.25, 1.5, 1.75]);

        let down = tiles(8, [14, 1], [2, 1]);
        let mut value = -1.0;
        let turned = join(&down, &[0.0; 14], 1, |_, [h, _]| {
            value += 1.0;
            vec![value; 2 * h]
        });
        let turned: Vec<f32> = turned.into_iter().map(Option::unwrap).collect();
        assert_eq!(turned, joined);
    }

    #[test]
    fn a_corner_goes_over_from_what_was_blended_above() {
        let tiles = tiles(4, [4, 4], [1, 1]);
        let mut value = -1.0;
        let joined = join(&tiles, &[0.0; 16], 1, |_, [h, w]| {
            value += 1.0;
            vec![value; h * w]
        });
        // Four tiles, starting at 0 and 3; with an overlap of one latent each is all that of its neighbours there.
        assert!(joined.iter().all(|x| *x == Some(0.0)));
    }

    #[test]
    fn spans_overlap_by_a_quarter_and_end_with_the_axis() {
        let spans = |side, size| -> Vec<(usize, usize)> {
            let rows = tiles(side, [size, 1], [1, 1]).rows();
            rows.iter().map(|span| (span.start, span.length)).collect()
        };
        assert_eq!(spans(64, 128), [(0, 64), (48, 64), (96, 32)]);
        assert_eq!(spans(8, 20), [(0, 8), (6, 8), (12, 8), (18, 2)]);
        assert_eq!(spans(8, 13), [(0, 8), (6, 7), (12, 1)]);
        assert_eq!(spans(8, 6), [(0, 6)]);
    }

    #[test]
    fn sides_are_a_half_and_a_quarter_of_the_longer_side() {
        assert_eq!(tile_sides([64, 64]), [32, 16]);
        assert_eq!(tile_sides([128, 96]), [64, 32]);
        assert_eq!(tile_sides([20, 28]), [16, 8]);
        assert_eq!(tile_sides([8, 8]), [4]);
        assert_eq!(tile_sides([4, 3]), [] as [usize; 0]);
    }

    #[test]
    fn what_cannot_be_cut_evenly_is_refused() {
        let image = ImageSize {
            width: 32,
            height: 24,
        };
        for (side, latents) in [(0, [3, 4]), (6, [3, 4]), (4, [5, 4]), (4, [3, 5])] {
            let error = Tiles::new(side, latents, image).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidRequest);
        }
        let tiles = Tiles::new(4, [3, 4], image).unwrap();
        assert!(tiles.is_one());
        assert_eq!(tiles.pixels(tiles.largest()), [24, 32]);
    }
}
