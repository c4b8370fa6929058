//! Weights of bfloat16 and quantised blocks that rten does not know, as 32-bit floats when a graph is loaded. Nothing of a bfloat16 is
//! rounded: it is the upper half of such a float. What is widened lies beside the weights until rten has read them.
//!
//! Numbers of the fields are those of [onnx.proto](https://onnx.ai/onnx/api/classes.html).

mod blocks;

use super::{Error, ErrorKind, Result};
use blocks::{Constants, Product};

/// Location of the widened weights; rten takes no other ending.
pub(super) const LOCATION: &str = "widened.data";

/// ONNX's numbers of element types.
const FLOAT: u64 = 1;
const BFLOAT16: u64 = 16;

/// Fields of `ModelProto` and `GraphProto` on the way to the weights, and those of `TensorProto`.
const GRAPH: u64 = 7;
const NODE: u64 = 1;
const INITIALIZER: u64 = 5;
const DATA_TYPE: u64 = 2;
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

/// A graph without what rten does not know.
pub(super) struct Widened {
    pub onnx: Vec<u8>,
    /// The file at [`LOCATION`].
    pub floats: Vec<u8>,
}

/// Widens the weights of a graph, whose data may lie in `external`; nothing where rten knows all of them.
///
/// # Errors
/// [`ErrorKind::InvalidModel`] for what is no graph, or whose data are not where it says.
pub(super) fn widen(
    component: &str,
    onnx: &[u8],
    external: &[(&str, Vec<u8>)],
) -> Result<Option<Widened>> {
    let fail = |problem: &str| {
        Error::new(
            ErrorKind::InvalidModel {
                component: component.to_owned(),
            },
            format!("{component} is not a graph that can be widened: {problem}"),
        )
    };
    let mut widening = Widening {
        external,
        floats: Vec::new(),
        any: false,
    };
    let model = widening.model(onnx).map_err(fail)?;
    Ok(widening.any.then_some(Widened {
        onnx: model,
        floats: widening.floats,
    }))
}

struct Widening<'e> {
    external: &'e [(&'e str, Vec<u8>)],
    floats: Vec<u8>,
    any: bool,
}

type Read<T> = std::result::Result<T, &'static str>;

impl Widening<'_> {
    fn model(&mut self, bytes: &[u8]) -> Read<Vec<u8>> {
        let mut out = Vec::with_capacity(bytes.len());
        for field in fields(bytes) {
            match field? {
                (GRAPH, Payload::Bytes(graph), _) => put(&mut out, GRAPH, &self.graph(graph)?),
                (.., whole) => out.extend_from_slice(whole),
            }
        }
        Ok(out)
    }

    fn graph(&mut self, bytes: &[u8]) -> Read<Vec<u8>> {
        let constants = Constants::of(bytes)?;
        let mut out = Vec::with_capacity(bytes.len());
        for field in fields(bytes) {
            match field? {
                (NODE, Payload::Bytes(node), whole) => match Product::of(node)? {
                    Some(product) => self.product(&product, &constants, &mut out)?,
                    None => out.extend_from_slice(whole),
                },
                (INITIALIZER, Payload::Bytes(tensor), _) if data_type(tensor)? == BFLOAT16 => {
                    self.any = true;
                    put(&mut out, INITIALIZER, &self.tensor(tensor)?);
                }
                (.., whole) => out.extend_from_slice(whole),
            }
        }
        Ok(out)
    }

    /// A product with a matrix of floats in the place of one with blocks.
    fn product(
        &mut self,
        product: &Product<'_>,
        constants: &Constants<'_>,
        out: &mut Vec<u8>,
    ) -> Read<()> {
        self.any = true;
        let matrix = product.matrix(constants, self.external)?;
        let offset = self.floats.len();
        self.floats
            .extend(matrix.iter().flat_map(|x| x.to_le_bytes()));
        let mut tensor = product.tensor();
        located(&mut tensor, offset, matrix.len());
        put(out, INITIALIZER, &tensor);
        for node in product.nodes() {
            put(out, NODE, &node);
        }
        Ok(())
    }

    /// The same tensor of floats, whose data lie at [`LOCATION`].
    fn tensor(&mut self, bytes: &[u8]) -> Read<Vec<u8>> {
        let mut out = Vec::new();
        let (mut raw, mut entries) = (None, Vec::new());
        for field in fields(bytes) {
            match field? {
                (RAW_DATA, Payload::Bytes(data), _) => raw = Some(data),
                (EXTERNAL_DATA, Payload::Bytes(pair), _) => entries.push(entry(pair)?),
                (DATA_TYPE | DATA_LOCATION, Payload::Number(_), _) => {}
                (.., whole) => out.extend_from_slice(whole),
            }
        }
        let data = match raw {
            Some(raw) => raw,
            None => stored(self.external, &entries)?,
        };
        let (offset, count) = (self.floats.len(), data.len() / 2);
        for half in data.as_chunks::<2>().0 {
            self.floats.extend([0, 0, half[0], half[1]]);
        }
        number(&mut out, DATA_TYPE << 3);
        number(&mut out, FLOAT);
        located(&mut out, offset, count);
        Ok(out)
    }
}

/// Says of a tensor that its data are so many floats at [`LOCATION`].
fn located(tensor: &mut Vec<u8>, offset: usize, count: usize) {
    for (key, value) in [
        ("location", LOCATION),
        ("offset", &offset.to_string()),
        ("length", &(4 * count).to_string()),
    ] {
        let mut pair = Vec::new();
        put(&mut pair, 1, key.as_bytes());
        put(&mut pair, 2, value.as_bytes());
        put(tensor, EXTERNAL_DATA, &pair);
    }
    number(tensor, DATA_LOCATION << 3);
    number(tensor, 1);
}

/// The bytes that the entries of external data name.
fn stored<'e>(external: &'e [(&str, Vec<u8>)], entries: &[(&str, &str)]) -> Read<&'e [u8]> {
    let text = |key: &str| entries.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let location = text("location").ok_or("a weight has no data")?;
    let file = external.iter().find(|(name, _)| *name == location);
    let (_, file) = file.ok_or("a file of its weights is missing")?;
    let offset = text("offset").unwrap_or("0").parse::<usize>();
    let offset = offset.map_err(|_| "an offset is no number")?;
    let length = text("length").map_or(Ok(file.len().saturating_sub(offset)), str::parse);
    let length = length.map_err(|_| "a length is no number")?;
    let end = offset.checked_add(length).ok_or("an offset is too large")?;
    file.get(offset..end)
        .ok_or("a file of its weights ends before them")
}

enum Payload<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Fixed,
}

/// Number, payload and all bytes of each field of a message.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Read<(u64, Payload<'_>, &[u8])>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let read = field(rest);
        rest = match &read {
            Ok((.., whole)) => rest.get(whole.len()..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(read)
    })
}

fn field(bytes: &[u8]) -> Read<(u64, Payload<'_>, &[u8])> {
    const ENDS: &str = "it ends within a field";
    let mut rest = bytes;
    let tag = varint(&mut rest)?;
    let (payload, length) = match tag & 7 {
        0 => (Payload::Number(varint(&mut rest)?), 0),
        1 => (Payload::Fixed, 8),
        2 => {
            let length = usize::try_from(varint(&mut rest)?).map_err(|_| ENDS)?;
            (Payload::Bytes(rest.get(..length).ok_or(ENDS)?), length)
        }
        5 => (Payload::Fixed, 4),
        _ => return Err("it has fields of an unknown kind"),
    };
    let left = rest.get(length..).ok_or(ENDS)?.len();
    let whole = bytes.get(..bytes.len() - left).ok_or(ENDS)?;
    Ok((tag >> 3, payload, whole))
}

fn varint(rest: &mut &[u8]) -> Read<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or("it ends within a number")?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is longer than 64 bits")
}

fn data_type(tensor: &[u8]) -> Read<u64> {
    let mut found = 0;
    for field in fields(tensor) {
        if let (DATA_TYPE, Payload::Number(code), _) = field? {
            found = code;
        }
    }
    Ok(found)
}

/// `StringStringEntryProto`.
fn entry(pair: &[u8]) -> Read<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    for field in fields(pair) {
        let (number, payload, _) = field?;
        if let Payload::Bytes(bytes) = payload {
            let text = std::str::from_utf8(bytes).map_err(|_| "a name is no text")?;
            match number {
                1 => key = text,
                2 => value = text,
                _ => {}
            }
        }
    }
    Ok((key, value))
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put(out: &mut Vec<u8>, field: u64, payload: &[u8]) {
    number(out, field << 3 | 2);
    number(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::Engine;
    use crate::{CpuEngine, Tensor};
    use pollster::block_on;

    pub(super) fn message(fields: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (field, payload) in fields {
            put(&mut out, *field, payload);
        }
        out
    }

    pub(super) fn with_number(mut message: Vec<u8>, field: u64, value: u64) -> Vec<u8> {
        number(&mut message, field << 3);
        number(&mut message, value);
        message
    }

    fn tensor(name: &str, code: u64, data: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut out = with_number(with_number(Vec::new(), 1, 3), DATA_TYPE, code);
        put(&mut out, 8, name.as_bytes());
        for (field, payload) in data {
            put(&mut out, *field, payload);
        }
        out
    }

    fn place(offset: usize) -> Vec<(u64, Vec<u8>)> {
        let entries = [
            ("location", "w"),
            ("offset", &*offset.to_string()),
            ("length", "6"),
        ];
        let pair = |(k, v): (&str, &str)| {
            (
                EXTERNAL_DATA,
                message(&[(1, k.as_bytes()), (2, v.as_bytes())]),
            )
        };
        entries.into_iter().map(pair).collect()
    }

    /// `y = x + float(a) + float(b)`; `a` is in the graph, `b` in a file.
    fn graph(a: &[u8], offset: usize) -> Vec<u8> {
        let node = |op: &str, inputs: &[&str], output: &str| {
            let mut out = Vec::new();
            inputs
                .iter()
                .for_each(|input| put(&mut out, 1, input.as_bytes()));
            put(&mut out, 2, output.as_bytes());
            put(&mut out, 4, op.as_bytes());
            if op == "Cast" {
                let to = with_number(message(&[(1, b"to")]), 3, FLOAT);
                put(&mut out, 5, &with_number(to, 20, 2));
            }
            out
        };
        let info = |name: &str| {
            let shape = message(&[(1, &with_number(Vec::new(), 1, 3))]);
            let kind = with_number(Vec::new(), 1, FLOAT);
            let kind = [kind, message(&[(2, &shape)])].concat();
            message(&[(1, name.as_bytes()), (2, &message(&[(1, &kind)]))])
        };
        let external = with_number(tensor("b", BFLOAT16, &place(offset)), DATA_LOCATION, 1);
        let graph = message(&[
            (1, &node("Cast", &["a"], "p")),
            (1, &node("Cast", &["b"], "q")),
            (1, &node("Add", &["x", "p"], "s")),
            (1, &node("Add", &["s", "q"], "y")),
            (
                INITIALIZER,
                &tensor("a", BFLOAT16, &[(RAW_DATA, a.to_vec())]),
            ),
            (INITIALIZER, &external),
            (11, &info("x")),
            (12, &info("y")),
        ]);
        let opset = with_number(Vec::new(), 2, 21);
        with_number(message(&[(GRAPH, &graph), (8, &opset)]), 1, 10)
    }

    /// 0x3f80 is 1, 0xc000 is -2, 0x40a0 is 5, 0x3dcd is 0.10009765625 by the bits of IEEE 754.
    const A: [u8; 6] = [0x80, 0x3f, 0x00, 0xc0, 0xcd, 0x3d];
    const B: [u8; 8] = [9, 9, 0xa0, 0x40, 0x80, 0x3f, 0x00, 0xc0];

    #[test]
    fn bfloat16_becomes_the_float_that_it_is_the_upper_half_of() {
        let (onnx, files) = (graph(&A, 2), [("w", B.to_vec())]);
        let widened = widen("unet", &onnx, &files).unwrap().unwrap();
        let floats: Vec<f32> = widened
            .floats
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        assert_eq!(floats, [1.0, -2.0, 0.100_097_656, 5.0, 1.0, -2.0]);
        let model = super::super::load("unet", &onnx, files.to_vec()).unwrap();
        let x = Tensor::f32(&[3], vec![10.0, 20.0, 30.0]).unwrap();
        let outputs = block_on(model.run(vec![("x", x)])).unwrap();
        assert_eq!(
            outputs[0].1.clone().into_f32().unwrap(),
            [16.0, 19.0, 28.100_098]
        );
    }

    #[test]
    fn other_graphs_are_left_alone_and_broken_ones_refused() {
        assert!(widen("unet", &[], &[]).unwrap().is_none());
        for (onnx, files) in [
            (graph(&A, 4), vec![("w", B.to_vec())]),
            (graph(&A, 2), Vec::new()),
            (graph(&A, 2)[..90].to_vec(), vec![("w", B.to_vec())]),
        ] {
            let error = widen("unet", &onnx, &files).err().unwrap();
            assert!(
                matches!(error.kind(), ErrorKind::InvalidModel { .. }),
                "{error}"
            );
        }
        let error = block_on(CpuEngine::new().load("unet", &graph(&A, 2)))
            .err()
            .unwrap();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
