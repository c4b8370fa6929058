//! Runs launches on the device and compares with references.

use std::sync::OnceLock;

use onnx_gpu::Tolerance;
use onnx_gpu::gpu::{AdapterChoice, Buffer, Gpu, Recording};
use onnx_gpu::kernels::{AdapterClass, Extent, Launch, Tile, Tiles};

pub const CLASSES: [AdapterClass; 2] = [AdapterClass::Software, AdapterClass::Hardware];

/// Tables of tiles that together use every tile.
pub fn tables() -> Vec<Tiles> {
    let mut tables: Vec<Tiles> = CLASSES.map(Tiles::from).to_vec();
    let direct = |rows| Tile::Direct { rows, columns: 128 };
    for tiles in [
        [direct(1), direct(8), direct(8), direct(8)],
        [Tile::Shared { side: 64 }; 4],
    ] {
        let table = Extent::ALL.into_iter().zip(tiles).fold(
            Tiles::from(AdapterClass::Hardware),
            |table, (extent, tile)| {
                table
                    .with_product(extent, tile)
                    .with_convolution(extent, tile)
            },
        );
        tables.push(table);
    }
    tables
}

/// The device that all tests share; a test without one fails here.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let choice: AdapterChoice = std::env::var("ONNX_GPU_ADAPTER")
            .unwrap_or_else(|_| "default".into())
            .parse()
            .unwrap();
        pollster::block_on(Gpu::request(&choice)).unwrap_or_else(|error| {
            panic!("these tests need a GPU adapter (Mesa's lavapipe will do): {error}")
        })
    })
}

/// An input or initial output value.
pub enum Data<'a> {
    F(&'a [f32]),
    I(&'a [i32]),
}

impl Data<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::F(v) => bytemuck::cast_slice(v),
            Self::I(v) => bytemuck::cast_slice(v),
        }
    }
}

/// Runs one launch whose output starts as `len` words of garbage.
pub fn run_words(launch: Launch, inputs: &[Data<'_>], len: usize) -> Vec<u32> {
    let garbage = vec![0x7fc0_1234_u32.cast_signed(); len];
    run_onto(launch, inputs, &Data::I(&garbage))
}

/// Runs one launch onto an output with given contents.
pub fn run_onto(launch: Launch, inputs: &[Data<'_>], initial: &Data<'_>) -> Vec<u32> {
    let gpu = gpu();
    pollster::block_on(async {
        let mut buffers: Vec<Buffer> = Vec::new();
        for data in inputs {
            buffers.push(gpu.upload(data.bytes()).await.unwrap());
        }
        let out = gpu.upload(initial.bytes()).await.unwrap();
        buffers.push(out.clone());
        let recording = Recording::new(gpu, &[(launch, buffers)]).await.unwrap();
        recording.execute().await.unwrap();
        let bytes = gpu.read(&out, initial.bytes().len() as u64).await.unwrap();
        bytemuck::pod_collect_to_vec(&bytes)
    })
}

pub fn run(launch: Launch, inputs: &[&[f32]], len: usize) -> Vec<f32> {
    let inputs: Vec<Data<'_>> = inputs.iter().map(|v| Data::F(v)).collect();
    floats(&run_words(launch, &inputs, len))
}

pub fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&w| f32::from_bits(w)).collect()
}

pub fn ints(words: &[u32]) -> Vec<i32> {
    words.iter().map(|&w| w.cast_signed()).collect()
}

/// Repeatable values in [-1, 1), a xorshift of the seed.
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Fails unless every element is within `absolute + relative * |expected|`; NaN and infinities only equal themselves.
pub fn assert_close(got: &[f32], expected: &[f64], absolute: f64, relative: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let tolerance = Tolerance { absolute, relative };
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        let ok = tolerance.accepts(g.into(), e);
        assert!(ok, "{what}: element {i} is {g}, expected {e}");
    }
}

/// Every index of a shape in row-major order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &dim in shape {
        all = all
            .into_iter()
            .flat_map(|prefix: Vec<usize>| {
                (0..dim).map(move |i| {
                    let mut index = prefix.clone();
                    index.push(i);
                    index
                })
            })
            .collect();
    }
    all
}

/// Row-major position of an index.
pub fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |at, (&i, &d)| at * d + i)
}

/// Position in a tensor of `shape` broadcast to the space of `index`.
pub fn broadcast(index: &[usize], shape: &[usize]) -> usize {
    let tail = &index[index.len() - shape.len()..];
    tail.iter()
        .zip(shape)
        .fold(0, |at, (&i, &d)| at * d + if d == 1 { 0 } else { i })
}
