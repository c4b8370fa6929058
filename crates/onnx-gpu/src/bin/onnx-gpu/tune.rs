//! `onnx-gpu tune`.

use onnx_gpu::gpu::{TileFile, TileStore};
use onnx_gpu::{AdapterChoice, Gpu, Result};

/// Measures every tile on an adapter, prints the times, and keeps the table of the fastest.
pub fn print(adapter: &AdapterChoice) -> Result<()> {
    let gpu = pollster::block_on(Gpu::request(adapter))?;
    println!("{}", gpu.info().name);
    println!("kernel  extent  tile             ms   GFLOP/s");
    let tiles = pollster::block_on(gpu.fastest_tiles(|time| {
        println!(
            "{:7} {:7} {:12} {:9.3} {:9.2}",
            if time.convolution { "conv2d" } else { "matmul" },
            format!("{:?}", time.extent),
            time.tile.to_string(),
            time.seconds * 1e3,
            time.flops as f64 / time.seconds / 1e9
        );
    }))?;
    let file = TileFile::in_cache()?;
    file.save(&gpu.tuning_key(), &tiles.to_string())?;
    println!("{tiles}");
    println!("written to {}", file.path().display());
    Ok(())
}

/// An open adapter with the tiles that were measured on it, now if not before.
pub fn tuned(adapter: &AdapterChoice) -> Result<Gpu> {
    let gpu = pollster::block_on(Gpu::request(adapter))?;
    pollster::block_on(gpu.tune(&TileFile::in_cache()?))?;
    Ok(gpu)
}
