//! Reads the constants that main memory keeps.

use super::{MAX_HOST_BYTES, Origin, Weight};
use crate::error::Result;
use crate::proto::{Contents, Initializer, Location, Storage};
use crate::tensor::Tensor;

/// Most bytes between two constants that are read in one go.
const GAP: u64 = 16 << 10;
/// Most bytes read in one go.
const RUN: u64 = 1 << 20;

/// The named constants of a graph, parted by where they live.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    pub host: Vec<(String, Tensor)>,
    pub device: Vec<(String, Weight)>,
}

/// Whether a constant stays in main memory.
fn is_small(initializer: &Initializer) -> bool {
    let limit = match initializer.storage {
        Storage::I64 | Storage::I32 | Storage::Bool => MAX_HOST_BYTES * 16,
        _ => MAX_HOST_BYTES,
    };
    initializer.bytes() <= limit
}

/// Parts the constants and reads the small ones, neighbours together.
pub(crate) async fn read_small(
    initializers: Vec<Initializer>,
    origin: &Origin<'_>,
) -> Result<Constants> {
    let mut constants = Constants::default();
    let mut wanted: Vec<(Initializer, Location)> = Vec::new();
    for initializer in initializers {
        if !is_small(&initializer) {
            constants
                .device
                .push((initializer.name.clone(), Weight::new(initializer)));
            continue;
        }
        match initializer.contents.clone() {
            Contents::Known(tensor) => constants.host.push((initializer.name, tensor)),
            Contents::Stored(location) => wanted.push((initializer, location)),
        }
    }
    wanted.sort_by(|(_, a), (_, b)| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
    let mut rest = wanted.as_slice();
    while let Some(run) = first_run(rest) {
        let span = Location {
            length: run.end - run.start,
            offset: run.start,
            file: rest[0].1.file.clone(),
        };
        let fail = |e: crate::Error| e.about(format_args!("constant '{}'", rest[0].0.name));
        let bytes = origin
            .read(&span, 0, span.length as usize)
            .await
            .map_err(fail)?;
        for (initializer, location) in &rest[..run.count] {
            let start = (location.offset - run.start) as usize;
            let raw = &bytes[start..start + location.length as usize];
            let tensor = initializer.storage.tensor(&initializer.shape, raw)?;
            constants.host.push((initializer.name.clone(), tensor));
        }
        rest = &rest[run.count..];
    }
    Ok(constants)
}

/// Constants that are read together.
struct Run {
    count: usize,
    start: u64,
    end: u64,
}

fn first_run(sorted: &[(Initializer, Location)]) -> Option<Run> {
    let (_, first) = sorted.first()?;
    let mut run = Run {
        count: 1,
        start: first.offset,
        end: first.offset + first.length,
    };
    for (_, next) in &sorted[1..] {
        let end = run.end.max(next.offset + next.length);
        let near = next.file == first.file
            && next.offset <= run.end.saturating_add(GAP)
            && end - run.start <= RUN;
        if !near {
            break;
        }
        run.end = end;
        run.count += 1;
    }
    Some(run)
}
