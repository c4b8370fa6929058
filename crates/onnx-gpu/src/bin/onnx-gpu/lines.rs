//! `onnx-gpu lines`: runs on demand, for programs that time several engines in turns.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use onnx_gpu::{Result, npy};

use super::{Source, files};

/// Answers until standard input ends; a failure is a line `{"error": …}`. Whether all went well.
pub fn serve(source: &Source, save: &Path) -> bool {
    match answer(source, save) {
        Ok(()) => true,
        Err(error) => {
            println!("{{\"error\":{:?}}}", error.to_string());
            false
        }
    }
}

fn answer(source: &Source, save: &Path) -> Result<()> {
    let inputs = files::inputs(&source.inputs)?;
    let inputs = files::borrowed(&inputs);
    let start = Instant::now();
    let session = source.open()?;
    let open = start.elapsed();
    let outputs = session.run_blocking(&inputs)?;
    let first = start.elapsed();
    std::fs::create_dir_all(save)?;
    for (name, tensor) in &outputs {
        let file = save.join(format!("{}.npy", name.replace('/', "_")));
        std::fs::write(file, npy::write(tensor))?;
    }
    let stats = session.stats();
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{{\"open_ms\":{},\"first_ms\":{},\"adapter\":{:?},\"dispatches\":{},\"pipelines\":{},\"gpu_peak_bytes\":{}}}",
        open.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3,
        session.gpu().info().name,
        stats.dispatches,
        stats.pipelines,
        stats.weight_bytes + stats.peak_bytes
    )?;
    for line in std::io::stdin().lock().lines() {
        if line?.trim() == "run" {
            let start = Instant::now();
            session.run_blocking(&inputs)?;
            writeln!(out, "{{\"ms\":{}}}", start.elapsed().as_secs_f64() * 1e3)?;
        }
    }
    Ok(())
}
