//! `onnx-gpu bench`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onnx_gpu::{DType, Dim, Error, ErrorKind, KernelTime, Result, Tensor, ValueInfo};

use super::{Source, files, memory};

/// Prints times and sizes.
pub fn print(
    source: &Source,
    given: Vec<(String, Tensor)>,
    runs: usize,
    profile: bool,
) -> Result<()> {
    let start = Instant::now();
    let session = source.open()?;
    let open = start.elapsed();
    let mut inputs = given;
    for info in session.inputs() {
        if !inputs.iter().any(|(name, _)| *name == info.name) {
            inputs.push((info.name.clone(), random(info)?));
        }
    }
    let inputs = files::borrowed(&inputs);
    let start = Instant::now();
    session.run_blocking(&inputs)?;
    let first = start.elapsed();
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        session.run_blocking(&inputs)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("open       {:10.3} ms", millis(open));
    println!("first run  {:10.3} ms", millis(first));
    if let (Some(best), Some(median)) = (times.first(), times.get(times.len() / 2)) {
        println!("median     {:10.3} ms of {runs} runs", millis(*median));
        println!("best       {:10.3} ms", millis(*best));
    }
    let stats = session.stats();
    println!(
        "{} nodes, {} dispatches, {} pipelines, {:.1} MB weights, {:.1} MB working memory",
        stats.nodes,
        stats.dispatches,
        stats.pipelines,
        stats.weight_bytes as f64 / 1e6,
        stats.peak_bytes as f64 / 1e6
    );
    memory::print();
    if profile {
        table(&session.profile_blocking(&inputs)?);
    }
    Ok(())
}

/// One line per kernel family, the slowest first.
fn table(times: &[KernelTime]) {
    let mut families: BTreeMap<&str, (usize, f64, u64, u64)> = BTreeMap::new();
    for time in times {
        let entry = families.entry(time.label).or_default();
        entry.0 += 1;
        entry.1 += time.seconds;
        entry.2 += time.flops;
        entry.3 += time.bytes;
    }
    let mut rows: Vec<_> = families.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    println!(" calls          ms   GFLOP/s          MB  kernel");
    for (label, (calls, seconds, flops, bytes)) in rows {
        let rate = match flops {
            0 => "-".to_owned(),
            _ => format!("{:.2}", flops as f64 / seconds / 1e9),
        };
        println!(
            "{calls:6}  {:10.3}  {rate:>8}  {:10.3}  {label}",
            seconds * 1e3,
            bytes as f64 / 1e6
        );
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Uniform numbers in [-1, 1) from a fixed seed, or zeros for other types.
fn random(info: &ValueInfo) -> Result<Tensor> {
    let shape = info
        .shape
        .iter()
        .flatten()
        .map(|dim| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Symbol(_) => None,
        })
        .collect::<Option<Vec<_>>>()
        .filter(|_| info.shape.is_some())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "input '{}' has no fixed shape: give it with --input",
                    info.name
                ),
            )
        })?;
    let zeros = Tensor::zeros(info.dtype, shape.clone())?;
    if !info.dtype.is_float() {
        return Ok(zeros);
    }
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let values = (0..zeros.len())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    let tensor = Tensor::f32(shape, values)?;
    Ok(if info.dtype == DType::F16 {
        tensor.cast(DType::F16)
    } else {
        tensor
    })
}
