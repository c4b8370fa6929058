//! Reads a model file without the raw data of its initializers.
//!
//! The result is a model of its own: what was left out is named as
//! [external data](https://onnx.ai/onnx/repo-docs/ExternalData.html) in the file that it was read from.

use super::WeightSource;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::malformed;

/// Raw data of up to this many bytes are kept.
const MAX_KEPT: u64 = 1 << 10;
/// Bytes read at a time.
const WINDOW: u64 = 256 << 10;
/// Largest graph without raw data.
const MAX_GRAPH: usize = 256 << 20;

/// A `ModelProto` whose raw data of more than a kilobyte are references to `file`, which is read without them.
///
/// # Errors
/// [`ErrorKind::Parse`] for what is not protobuf, [`ErrorKind::Limit`] for a graph of more than 256 MiB, and whatever the source
/// reports.
pub async fn skeleton(source: &dyn WeightSource, file: &str) -> Result<Vec<u8>> {
    let size = source.size(file).await?;
    let mut input = Input {
        source,
        file,
        size,
        at: 0,
        window: Vec::new(),
        start: 0,
    };
    let mut model = Vec::new();
    while input.at < size {
        let field = input.field(size).await?;
        if field.number == 7 && field.wire == 2 {
            let graph = read_graph(&mut input, field.end).await?;
            put_bytes(&mut model, 7, &graph);
        } else {
            input.copy(&field, &mut model).await?;
        }
    }
    Ok(model)
}

async fn read_graph(input: &mut Input<'_>, end: u64) -> Result<Vec<u8>> {
    let mut graph = Vec::new();
    while input.at < end {
        let field = input.field(end).await?;
        if field.number == 5 && field.wire == 2 {
            let tensor = read_tensor(input, field.end).await?;
            put_bytes(&mut graph, 5, &tensor);
        } else {
            input.copy(&field, &mut graph).await?;
        }
        if graph.len() > MAX_GRAPH {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("the graph without its weights exceeds {MAX_GRAPH} bytes"),
            ));
        }
    }
    Ok(graph)
}

async fn read_tensor(input: &mut Input<'_>, end: u64) -> Result<Vec<u8>> {
    let mut tensor = Vec::new();
    // What the tensor itself says of where its data lie; of a field given twice the last counts.
    let (mut own, mut elsewhere) = (Vec::new(), false);
    let mut raw = None;
    while input.at < end {
        let field = input.field(end).await?;
        let length = field.end - input.at;
        match (field.number, field.wire) {
            (9, 2) if length > MAX_KEPT => {
                raw = Some((input.at, length));
                input.at = field.end;
            }
            (9, 2) => {
                raw = None;
                input.copy(&field, &mut tensor).await?;
            }
            (13, 2) => input.copy(&field, &mut own).await?,
            (14, 0) => elsewhere = field.value == 1,
            _ => input.copy(&field, &mut tensor).await?,
        }
    }
    match raw {
        Some((offset, length)) if !elsewhere => {
            for (key, value) in [
                ("location", input.file),
                ("offset", &offset.to_string()),
                ("length", &length.to_string()),
            ] {
                let mut entry = Vec::new();
                put_bytes(&mut entry, 1, key.as_bytes());
                put_bytes(&mut entry, 2, value.as_bytes());
                put_bytes(&mut tensor, 13, &entry);
            }
            elsewhere = true;
        }
        _ => tensor.extend(own),
    }
    tensor.extend([14 << 3, u8::from(elsewhere)]);
    Ok(tensor)
}

/// The head of a field; the input stands at its payload.
struct Field {
    number: u64,
    wire: u64,
    /// The payload of a varint field.
    value: u64,
    /// The tag and, for a length-delimited field, the length.
    head: Vec<u8>,
    /// Where the payload ends.
    end: u64,
}

struct Input<'a> {
    source: &'a dyn WeightSource,
    file: &'a str,
    size: u64,
    at: u64,
    window: Vec<u8>,
    start: u64,
}

impl Input<'_> {
    async fn byte(&mut self) -> Result<u8> {
        let inside = self.start..self.start + self.window.len() as u64;
        if !inside.contains(&self.at) {
            if self.at >= self.size {
                return Err(malformed("the file ends inside a field"));
            }
            let length = WINDOW.min(self.size - self.at) as usize;
            self.window = self
                .source
                .read(self.file, self.at, length)
                .await?
                .into_owned();
            self.start = self.at;
        }
        let index = (self.at - self.start) as usize;
        self.at += 1;
        self.window
            .get(index)
            .copied()
            .ok_or_else(|| super::ended(self.file, self.at, 1))
    }

    /// Appends what was read to `head`.
    async fn varint(&mut self, head: &mut Vec<u8>) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte().await?;
            head.push(byte);
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number is longer than 64 bits"))
    }

    /// The next field of a message that ends at `end`.
    async fn field(&mut self, end: u64) -> Result<Field> {
        let mut head = Vec::new();
        let tag = self.varint(&mut head).await?;
        let wire = tag & 7;
        let mut value = 0;
        let length = match wire {
            // The number itself is copied with the head.
            0 => {
                value = self.varint(&mut head).await?;
                0
            }
            1 => 8,
            2 => self.varint(&mut head).await?,
            5 => 4,
            other => return Err(malformed(format!("wire type {other} is not in use"))),
        };
        let field_end = self
            .at
            .checked_add(length)
            .filter(|&field_end| field_end <= end)
            .ok_or_else(|| {
                malformed(format!(
                    "a field claims {length} bytes where {} are left",
                    end.saturating_sub(self.at)
                ))
            })?;
        Ok(Field {
            number: tag >> 3,
            wire,
            value,
            head,
            end: field_end,
        })
    }

    /// Copies a field as it is.
    async fn copy(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<()> {
        let length = (field.end - self.at) as usize;
        if length > MAX_GRAPH {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("a field of {length} bytes is neither a graph nor raw data"),
            ));
        }
        out.extend_from_slice(&field.head);
        let index = (self.at.saturating_sub(self.start)) as usize;
        let held = self.window.get(index..index + length);
        match held {
            Some(held) if self.at >= self.start => out.extend_from_slice(held),
            _ => out.extend_from_slice(&self.source.read(self.file, self.at, length).await?),
        }
        self.at = field.end;
        Ok(())
    }
}

/// Appends a length-delimited field.
fn put_bytes(out: &mut Vec<u8>, number: u8, payload: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = payload.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(payload);
}
