//! `Transformer2DModel` of diffusers on planes: blocks of attention to the picture itself and to a text (Rombach et al.,
//! arXiv:2112.10752).

use super::{Activation, Groups, Heads, Window};
use crate::error::Result;
use crate::network::{Scope, Value};

/// The text that a picture attends to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Text {
    pub rows: Value,
    pub width: usize,
}

/// One of these networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Transformer {
    pub channels: usize,
    pub heads: usize,
    pub blocks: usize,
    pub groups: usize,
    /// Whether the layers around the blocks are products of rows, not convolutions of planes: a matter of shapes alone.
    pub linear: bool,
    /// Whether the first attention of a block goes to the text as well.
    pub only_text: bool,
    pub text: Text,
}

/// Of the norms around and in the blocks, whatever the network has elsewhere.
const GROUP_EPSILON: f32 = 1e-6;
const EPSILON: f32 = 1e-5;
/// How much wider than a block its inner layer is.
const INNER: usize = 4;

impl Scope<'_, '_> {
    /// Planes to planes.
    pub fn transformer(&mut self, x: Value, kind: &Transformer) -> Result<Value> {
        let square = [kind.channels; 2];
        let groups = Groups {
            count: kind.groups,
            epsilon: GROUP_EPSILON,
        };
        let normal = self.at("norm").group_norm(x, kind.channels, groups)?;
        let mut rows = if kind.linear {
            let rows = self.rows_of_planes(normal, kind.channels);
            self.at("proj_in").linear(rows, square, true)?
        } else {
            let planes = self
                .at("proj_in")
                .convolution(normal, square, Window::centred(1))?;
            self.rows_of_planes(planes, kind.channels)
        };
        for block in 0..kind.blocks {
            rows = self
                .at(format_args!("transformer_blocks.{block}"))
                .transformer_block(rows, kind)?;
        }
        let planes = if kind.linear {
            let rows = self.at("proj_out").linear(rows, square, true)?;
            self.planes_of_rows(rows, kind.channels, x)
        } else {
            let planes = self.planes_of_rows(rows, kind.channels, x);
            self.at("proj_out")
                .convolution(planes, square, Window::centred(1))?
        };
        Ok(self.add(planes, x))
    }

    fn transformer_block(&mut self, rows: Value, kind: &Transformer) -> Result<Value> {
        let width = kind.channels;
        let heads = Heads::of(kind.heads, width);
        let normal = self.at("norm1").layer_norm(rows, width, EPSILON)?;
        let own = Text {
            rows: normal,
            width,
        };
        let first = if kind.only_text { kind.text } else { own };
        let seen = self.at("attn1").attended(normal, width, first, heads)?;
        let rows = self.add(seen, rows);
        let normal = self.at("norm2").layer_norm(rows, width, EPSILON)?;
        let seen = self.at("attn2").attended(normal, width, kind.text, heads)?;
        let rows = self.add(seen, rows);
        let normal = self.at("norm3").layer_norm(rows, width, EPSILON)?;
        // Two products, of which each has half the columns: together they are larger than what many devices bind.
        let inner = INNER * width;
        let columns = [width, 2 * inner];
        let mut both = self.at("ff.net.0.proj");
        let value = both.linear_part(normal, columns, 0..inner)?;
        let gate = both.linear_part(normal, columns, inner..2 * inner)?;
        let gate = both.activated(gate, Activation::Gelu);
        let product = both.multiply(value, gate);
        let out = self.at("ff.net.2").linear(product, [inner, width], true)?;
        Ok(self.add(out, rows))
    }

    /// `Attention` of diffusers from rows to those of `other`.
    fn attended(&mut self, rows: Value, width: usize, other: Text, heads: Heads) -> Result<Value> {
        let q = self.at("to_q").linear(rows, [width; 2], false)?;
        let k = self
            .at("to_k")
            .linear(other.rows, [other.width, width], false)?;
        let v = self
            .at("to_v")
            .linear(other.rows, [other.width, width], false)?;
        let seen = self.attention([q, k, v], heads);
        self.at("to_out.0").linear(seen, [width; 2], true)
    }
}
