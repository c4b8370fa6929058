//! Products with a matrix of quantised blocks that rten 0.27 does not compute: it knows blocks of four bits without zero points and
//! bias. The others are widened to a product with a matrix of floats.

use std::collections::HashMap;

use half::{bf16, f16};

use super::{
    BFLOAT16, DATA_TYPE, EXTERNAL_DATA, FLOAT, Payload, RAW_DATA, Read, data_type, entry, fields,
    number, put, stored,
};

/// Fields of `NodeProto`, `AttributeProto` and `TensorProto`.
const INPUT: u64 = 1;
const OUTPUT: u64 = 2;
const NAME: u64 = 3;
const OP_TYPE: u64 = 4;
const ATTRIBUTE: u64 = 5;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_INT: u64 = 3;
const TENSOR_DIMS: u64 = 1;
const TENSOR_NAME: u64 = 8;
/// ONNX's numbers of element types.
const UINT8: u64 = 2;
const FLOAT16: u64 = 10;

/// The constants of a graph by name, and what its casts make of which value.
pub(super) struct Constants<'g> {
    tensors: HashMap<&'g str, &'g [u8]>,
    casts: HashMap<&'g str, &'g str>,
}

/// One of these products.
pub(super) struct Product<'g> {
    inputs: Vec<&'g str>,
    output: &'g str,
    /// Length of the sums, and columns of the product.
    k: usize,
    n: usize,
    bits: usize,
    block: usize,
}

fn text(bytes: &[u8]) -> Read<&str> {
    std::str::from_utf8(bytes).map_err(|_| "a name is no text")
}

/// Inputs, outputs and operator of a node.
fn node(bytes: &[u8]) -> Read<(Vec<&str>, Vec<&str>, &str)> {
    let (mut inputs, mut outputs, mut op) = (Vec::new(), Vec::new(), "");
    for field in fields(bytes) {
        match field? {
            (INPUT, Payload::Bytes(name), _) => inputs.push(text(name)?),
            (OUTPUT, Payload::Bytes(name), _) => outputs.push(text(name)?),
            (OP_TYPE, Payload::Bytes(name), _) => op = text(name)?,
            _ => {}
        }
    }
    Ok((inputs, outputs, op))
}

impl<'g> Constants<'g> {
    /// Of a `GraphProto`.
    pub fn of(graph: &'g [u8]) -> Read<Self> {
        let mut found = Self {
            tensors: HashMap::new(),
            casts: HashMap::new(),
        };
        for field in fields(graph) {
            match field? {
                (super::NODE, Payload::Bytes(bytes), _) => {
                    if let (inputs, outputs, "Cast") = node(bytes)?
                        && let ([from], [to]) = (&inputs[..], &outputs[..])
                    {
                        found.casts.insert(to, from);
                    }
                }
                (super::INITIALIZER, Payload::Bytes(tensor), _) => {
                    for field in fields(tensor) {
                        if let (TENSOR_NAME, Payload::Bytes(name), _) = field? {
                            found.tensors.insert(text(name)?, tensor);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Element type and bytes of a constant.
    fn raw<'e>(&self, name: &str, external: &'e [(&str, Vec<u8>)]) -> Read<(u64, &'e [u8])>
    where
        'g: 'e,
    {
        let name = self.casts.get(name).copied().unwrap_or(name);
        let tensor = *self.tensors.get(name).ok_or("blocks are no constants")?;
        let (mut raw, mut entries) = (None, Vec::new());
        for field in fields(tensor) {
            match field? {
                (RAW_DATA, Payload::Bytes(data), _) => raw = Some(data),
                (EXTERNAL_DATA, Payload::Bytes(pair), _) => entries.push(entry(pair)?),
                _ => {}
            }
        }
        let data = match raw {
            Some(raw) => raw,
            None => stored(external, &entries)?,
        };
        Ok((data_type(tensor)?, data))
    }

    fn floats(&self, name: &str, external: &[(&str, Vec<u8>)]) -> Read<Vec<f32>> {
        let (code, data) = self.raw(name, external)?;
        let pairs = data.as_chunks::<2>().0.iter().copied();
        Ok(match code {
            FLOAT => data
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
            FLOAT16 => pairs
                .map(|bytes| f16::from_le_bytes(bytes).to_f32())
                .collect(),
            BFLOAT16 => pairs
                .map(|bytes| bf16::from_le_bytes(bytes).to_f32())
                .collect(),
            _ => return Err("scales are no floats"),
        })
    }
}

impl<'g> Product<'g> {
    /// The product that a node is, if rten does not compute it.
    pub fn of(bytes: &'g [u8]) -> Read<Option<Self>> {
        let (mut inputs, outputs, op) = node(bytes)?;
        if op != "MatMulNBits" {
            return Ok(None);
        }
        // rten counts inputs that are left out at the end as well.
        let short = inputs.len() <= 3;
        while inputs.last() == Some(&"") {
            inputs.pop();
        }
        let [mut k, mut n, mut bits, mut block] = [0, 0, 4, 0];
        for field in fields(bytes) {
            let (ATTRIBUTE, Payload::Bytes(attribute), _) = field? else {
                continue;
            };
            let (mut name, mut value) = ("", 0);
            for field in fields(attribute) {
                match field? {
                    (ATTRIBUTE_NAME, Payload::Bytes(bytes), _) => name = text(bytes)?,
                    (ATTRIBUTE_INT, Payload::Number(number), _) => value = number,
                    _ => {}
                }
            }
            let value = usize::try_from(value).map_err(|_| "a size is too large")?;
            match name {
                "K" => k = value,
                "N" => n = value,
                "bits" => bits = value,
                "block_size" => block = value,
                _ => {}
            }
        }
        let taken = bits == 4 && short && block > 0 && k.is_multiple_of(block);
        let known = matches!(bits, 4 | 8) && block > 0 && block.is_multiple_of(2) && k > 0;
        let (false, true, Some(&output)) = (taken, known, outputs.first()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            inputs,
            output,
            k,
            n,
            bits,
            block,
        }))
    }

    fn input(&self, index: usize) -> Option<&'g str> {
        let given = self.inputs.get(index).copied();
        given.filter(|name| !name.is_empty())
    }

    /// The matrix `[k, n]`.
    pub fn matrix(
        &self,
        constants: &Constants<'_>,
        external: &[(&str, Vec<u8>)],
    ) -> Read<Vec<f32>> {
        const OTHER: &str = "blocks, scales and zero points are of several sizes";
        let per_row = self.k.div_ceil(self.block);
        let [whole, scales] =
            [1, 2].map(|index| self.input(index).ok_or("a product has no matrix"));
        let (code, whole) = constants.raw(whole?, external)?;
        let scales = constants.floats(scales?, external)?;
        let blob = self.block * self.bits / 8;
        let blocks = self.n.checked_mul(per_row).ok_or(OTHER)?;
        let zeros = match self.input(3) {
            None => Zeros::Middle((1u32 << (self.bits - 1)) as f32),
            Some(name) => match constants.raw(name, external)? {
                (UINT8, bytes) => Zeros::Bytes(bytes, (per_row * self.bits).div_ceil(8)),
                _ => Zeros::Floats(constants.floats(name, external)?),
            },
        };
        let zeros_fit = match &zeros {
            Zeros::Middle(_) => true,
            Zeros::Bytes(bytes, row) => Some(bytes.len()) == self.n.checked_mul(*row),
            Zeros::Floats(floats) => floats.len() == blocks,
        };
        let sizes_fit = Some(whole.len()) == blocks.checked_mul(blob) && scales.len() == blocks;
        if code != UINT8 || !sizes_fit || !zeros_fit || self.input(4).is_some() {
            return Err(OTHER);
        }
        let mut matrix = vec![0.0; self.k.checked_mul(self.n).ok_or(OTHER)?];
        for (block, (bytes, scale)) in whole.chunks_exact(blob).zip(&scales).enumerate() {
            let (row, column) = (block / per_row, block % per_row);
            let zero = zeros.of(block, [row, column], self.bits);
            for i in 0..self.block.min(self.k - column * self.block) {
                let q = element(bytes, i, self.bits);
                matrix[(column * self.block + i) * self.n + row] = (f32::from(q) - zero) * scale;
            }
        }
        Ok(matrix)
    }

    /// Name of the matrix.
    pub fn matrix_name(&self) -> String {
        format!("{}.widened", self.output)
    }

    /// The matrix's tensor, but for where its data are.
    pub fn tensor(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for size in [self.k, self.n] {
            number(&mut out, TENSOR_DIMS << 3);
            number(&mut out, size as u64);
        }
        number(&mut out, DATA_TYPE << 3);
        number(&mut out, FLOAT);
        put(&mut out, TENSOR_NAME, self.matrix_name().as_bytes());
        out
    }

    /// The nodes in its place.
    pub fn nodes(&self) -> Vec<Vec<u8>> {
        let node = |op: &str, inputs: [&str; 2], output: &str| {
            let mut out = Vec::new();
            for input in inputs {
                put(&mut out, INPUT, input.as_bytes());
            }
            put(&mut out, OUTPUT, output.as_bytes());
            put(&mut out, NAME, output.as_bytes());
            put(&mut out, OP_TYPE, op.as_bytes());
            out
        };
        let rows = self.input(0).unwrap_or_default();
        let matrix = self.matrix_name();
        match self.input(5) {
            None => vec![node("MatMul", [rows, &matrix], self.output)],
            Some(bias) => {
                let product = format!("{}.product", self.output);
                vec![
                    node("MatMul", [rows, &matrix], &product),
                    node("Add", [&product, bias], self.output),
                ]
            }
        }
    }
}

/// Zero points of the blocks.
enum Zeros<'z> {
    Middle(f32),
    /// Packed as elements are, and bytes of a row.
    Bytes(&'z [u8], usize),
    Floats(Vec<f32>),
}

impl Zeros<'_> {
    fn of(&self, block: usize, [row, column]: [usize; 2], bits: usize) -> f32 {
        match self {
            Self::Middle(middle) => *middle,
            Self::Bytes(bytes, length) => f32::from(element(&bytes[row * length..], column, bits)),
            Self::Floats(floats) => floats[block],
        }
    }
}

/// A whole number; of two of four bits the first one is the lower half of a byte.
fn element(bytes: &[u8], at: usize, bits: usize) -> u8 {
    match bits {
        8 => bytes[at],
        _ => bytes[at / 2] >> (at % 2 * 4) & 0xf,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{message, with_number};
    use super::super::{DATA_LOCATION, GRAPH, INITIALIZER, NODE, widen};
    use super::*;
    use crate::{ErrorKind, Tensor};
    use pollster::block_on;

    fn tensor(name: &str, code: u64, dims: &[u64], data: &[u8]) -> Vec<u8> {
        let mut out = message(&[(TENSOR_NAME, name.as_bytes()), (RAW_DATA, data)]);
        for &dim in dims {
            out = with_number(out, TENSOR_DIMS, dim);
        }
        with_number(out, DATA_TYPE, code)
    }

    fn int(name: &str, value: u64) -> Vec<u8> {
        let named = message(&[(ATTRIBUTE_NAME, name.as_bytes())]);
        with_number(with_number(named, ATTRIBUTE_INT, value), 20, 2)
    }

    fn port(name: &str, sizes: [u64; 2]) -> Vec<u8> {
        let dims = sizes.map(|size| message(&[(1, &with_number(Vec::new(), 1, size))]));
        let kind = with_number(Vec::new(), 1, FLOAT);
        let kind = [kind, message(&[(2, &dims.concat())])].concat();
        message(&[(1, name.as_bytes()), (2, &message(&[(1, &kind)]))])
    }

    /// `y` of a product of `x` `[1, k]` with `n` columns.
    fn graph([k, n, bits]: [u64; 3], inputs: &[&str], tensors: &[Vec<u8>]) -> Vec<u8> {
        let attributes = [
            int("K", k),
            int("N", n),
            int("bits", bits),
            int("block_size", 16),
        ];
        let mut product = Vec::new();
        inputs
            .iter()
            .for_each(|input| put(&mut product, INPUT, input.as_bytes()));
        put(&mut product, OUTPUT, b"y");
        put(&mut product, OP_TYPE, b"MatMulNBits");
        attributes
            .iter()
            .for_each(|attribute| put(&mut product, ATTRIBUTE, attribute));
        put(&mut product, 7, b"com.microsoft");
        let cast = with_number(message(&[(1, b"to")]), ATTRIBUTE_INT, FLOAT);
        let cast = message(&[
            (INPUT, b"half"),
            (OUTPUT, b"s"),
            (OP_TYPE, b"Cast"),
            (ATTRIBUTE, &with_number(cast, 20, 2)),
        ]);
        let mut fields: Vec<(u64, &[u8])> = vec![(NODE, &cast), (NODE, &product)];
        fields.extend(tensors.iter().map(|tensor| (INITIALIZER, &tensor[..])));
        let ports = [port("x", [1, k]), port("y", [1, n])];
        fields.extend([(11, &ports[0][..]), (12, &ports[1][..])]);
        let graph = message(&fields);
        let own = with_number(message(&[(1, b"com.microsoft")]), 2, 1);
        let opsets = [with_number(Vec::new(), 2, 21), own];
        with_number(
            message(&[(GRAPH, &graph), (8, &opsets[0]), (8, &opsets[1])]),
            1,
            10,
        )
    }

    fn run(onnx: &[u8], x: Vec<f32>) -> Vec<f32> {
        let model = super::super::super::load("unet", onnx, Vec::new()).unwrap();
        let x = Tensor::f32(&[1, x.len()], x).unwrap();
        let outputs = block_on(model.run(vec![("x", x)])).unwrap();
        outputs[0].1.clone().into_f32().unwrap()
    }

    /// Halves 0x3800 and 0x3c00 are a half and 1, by the bits of IEEE 754.
    const HALVES: [u8; 4] = [0x00, 0x38, 0x00, 0x3c];

    #[test]
    fn blocks_of_eight_bits_are_widened() {
        // The first column's numbers are 0 to 15 less 128, the second's all 130.
        let whole: Vec<u8> = (0..16).chain([130; 16]).collect();
        let tensors = [
            tensor("q", UINT8, &[2, 1, 16], &whole),
            tensor("half", FLOAT16, &[2, 1], &HALVES),
        ];
        let onnx = graph([16, 2, 8], &["x", "q", "s"], &tensors);
        assert!(widen("unet", &onnx, &[]).unwrap().is_some());
        let mut x = vec![0.0; 16];
        (x[0], x[15]) = (1.0, 10.0);
        // (0 - 128 + 10 (15 - 128)) / 2, and 11 · 2.
        assert_eq!(run(&onnx, x), [-629.0, 22.0]);
    }

    #[test]
    fn zero_points_and_a_bias_are_widened_and_rows_end_within_a_block() {
        // Twenty numbers in two blocks of sixteen, all 7, in one column.
        let tensors = [
            tensor("q", UINT8, &[1, 2, 8], &[0x77; 16]),
            tensor("half", FLOAT16, &[1, 2], &HALVES),
            // 3 for the first block, 9 for the second.
            tensor("z", UINT8, &[1], &[0x93]),
            tensor("b", FLOAT, &[1], &100f32.to_le_bytes()),
        ];
        let onnx = graph([20, 1, 4], &["x", "q", "s", "z", "", "b"], &tensors);
        // 16 · (7 - 3) / 2 + 4 · (7 - 9) + 100.
        assert_eq!(run(&onnx, vec![1.0; 20]), [124.0]);
    }

    #[test]
    fn what_rten_computes_is_left_alone_and_other_sizes_are_refused() {
        let tensors = |whole: &[u8]| {
            [
                tensor("q", UINT8, &[2, 1, 8], whole),
                tensor("half", FLOAT16, &[2, 1], &HALVES),
            ]
        };
        for (inputs, known) in [(&["x", "q", "s"][..], true), (&["x", "q", "s", ""], false)] {
            let onnx = graph([16, 2, 4], inputs, &tensors(&[0x98; 16]));
            assert_eq!(widen("unet", &onnx, &[]).unwrap().is_none(), known);
            // Of two numbers one is 0 and one 1.
            assert_eq!(run(&onnx, vec![1.0; 16]), [4.0, 8.0]);
        }
        for (inputs, bits) in [
            (&["x", "q", "s"][..], 8),
            (&["x", "q", "s", "q"], 4),
            (&["x", "x", "s"], 8),
        ] {
            let onnx = graph([16, 2, bits], inputs, &tensors(&[0x98; 16]));
            let error = widen("unet", &onnx, &[]).err().unwrap();
            let kind = ErrorKind::InvalidModel {
                component: "unet".to_owned(),
            };
            assert_eq!(*error.kind(), kind, "{inputs:?}");
        }
        // Of data in a file that is not there.
        let missing = with_number(message(&[(TENSOR_NAME, b"q")]), DATA_LOCATION, 1);
        let half = tensor("half", FLOAT16, &[2, 1], &HALVES);
        let onnx = graph([16, 2, 8], &["x", "q", "s"], &[missing, half]);
        assert!(widen("unet", &onnx, &[]).is_err());
    }
}
